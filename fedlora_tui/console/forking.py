"""A fork that is being started: in a thread, for it takes seconds and keys are answered meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

from fedlora_tui.protocol.handle import Fork, Forked
from fedlora_tui.protocol.naming import called
from fedlora_tui.protocol.state import RunState


class Forking:
    """One start of a fork; `answer` is there when it has begun, or cannot."""

    def __init__(self, fork: Fork, run: str, round: int, changes: tuple[str, ...]) -> None:
        self.answer: Forked | None = None
        self._fork, self._run, self._round, self._changes = fork, run, round, changes
        # Nobody waits for it when the console is left: the fork begins all the same.
        threading.Thread(target=self._start, name="forking", daemon=True).start()

    def _start(self) -> None:
        try:
            self.answer = self._fork(self._run, self._round, self._changes)
        except Exception as error:
            self.answer = Forked(refusal=f"it cannot be started: {error}")


def forked_words(run: str, state: RunState) -> str:
    """Say how a fork of a run is called that goes on beside it; its id stands first: on a narrow screen a path is cut.

    It lies in the folder in which the run lies.
    """
    fork = Path(state.started.folder).with_name(run) if state.started is not None else Path(run)
    which = "it" if called(fork) == run else run
    return f"forked: {which} goes on beside; fedlora-tui attach {called(fork)}"
