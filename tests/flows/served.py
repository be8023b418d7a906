"""A real run, or a race, with its control sockets, as `fedlora-tui run` has them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fedlora_tui.engine.control import Control
from fedlora_tui.engine.race import Entry, Race
from fedlora_tui.engine.run import Manner
from fedlora_tui.protocol.commands import Finish

PATIENCE = 60.0


def until(found: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.005)


class Served:
    """The runs at work, from the first round on."""

    def __init__(self, given: list[Entry]) -> None:
        self.race = Race(given, Manner(on_folder=lambda folder: self.control.open_in(folder)))
        self.control = Control(self.race.racers)
        self.race.start()
        until(lambda: all(run.state.round for run in self.race.runs), "the start")

    @property
    def folder(self) -> Path:
        """The folder of the first run."""
        folder = self.race.runs[0].folder
        assert folder is not None
        return folder

    def finished(self, rounds: int) -> None:
        """Wait until every run has so many rounds behind it."""
        until(lambda: all(len(run.state.history) > rounds for run in self.race.runs), f"{rounds} rounds")

    def close(self) -> None:
        """Let the runs end after their round, and all who watch hear of it."""
        self.race.send(Finish())
        self.race.wait(PATIENCE)
        self.control.settle(PATIENCE)
        self.control.close()
        self.race.close()
