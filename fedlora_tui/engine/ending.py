"""How a process that carries runs ends when a signal asks it to: with its step done and its journals whole, if it can.

The first interrupt or termination ends the runs within one local step, and lets a checkpoint or an export that is being
written become whole; a second one, or what takes too long, ends the process. A terminal that hangs up ends nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from fedlora_tui.engine.past import TERMINATED
from fedlora_tui.engine.race import Race
from fedlora_tui.protocol.commands import Stop

LAST_STEP_SECONDS, LAST_LINE_SECONDS = 2.0, 1.0
"""How long an interrupted run may take to end its local step, and its journal to be closed, before its process ends."""

LAST_TOLD_SECONDS = 0.5
"""How much of the last line's time who watches may take to be told it."""

LAST_WRITE_SECONDS = 8.0
"""The same where a checkpoint or an export is being written: who stops containers gives them 10 s."""

LAST_SAID_SECONDS = 5.0
"""How long a process that a signal ends may take when its runs are over: who reads it may have stopped reading."""

LOOK_SECONDS = 0.05

EXIT_DONE, EXIT_FAILED = 0, 1
NOBODY = "the process"
"""Who asks for an end where no signal did."""

REASONS = {signal.SIGINT: "interrupted", signal.SIGTERM: TERMINATED}

ASKED = signal.SIGUSR1
"""What a console sends the process of its runs when it is terminated itself: where the termination came to both, it is
no second one, and changes nothing."""


class Signals:
    """The first interrupt or termination ends the runs; a second one ends the process; a hang-up is noted.

    A thread of its own sees to that, whatever the main thread waits for.
    """

    def __init__(self, race: Race, last: Callable[[float], None] = lambda seconds: None) -> None:
        """`last` is what else has to be done before a process ends amid its work, within so many seconds."""
        self.caught: signal.Signals | None = None
        self.hung_up = False
        self.since = self._wrote = 0.0
        self._race, self._last = race, last
        # Taken by who asks the runs to end, and never given back.
        self._asked = threading.Lock()
        self._let_go = threading.Event()
        for kind in REASONS:
            signal.signal(kind, self._catch)
        signal.signal(ASKED, self._ask)
        signal.signal(signal.SIGHUP, self._hang_up)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None:
            self.leave_now()
        self.caught, self.since = signal.Signals(number), time.monotonic()
        # What the main thread is amid of may hold the locks that asking takes, or be a write that nobody reads.
        threading.Thread(target=self._see_to_it, args=(self.caught,), name="ending", daemon=True).start()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.caught is None:
            self._catch(signal.SIGTERM, frame)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self.hung_up = True

    @property
    def exit_status(self) -> int:
        """What a shell gives a process that a signal ended."""
        return 128 + (self.caught or 0)

    @property
    def status(self) -> int:
        """What the process exits with when its runs are over."""
        if self.caught is not None:
            return self.exit_status
        return EXIT_DONE if all(run.state.phase == "done" for run in self._race.runs) else EXIT_FAILED

    @property
    def late(self) -> bool:
        """True when the runs have had their time to end their step, and what they write."""
        if self.caught is None:
            return False
        now = time.monotonic()
        if self._race.writing:
            self._wrote = now
            return now - self.since > LAST_WRITE_SECONDS
        # What was written is told afterwards, which is a step of its own.
        return now - max(self.since, self._wrote) > LAST_STEP_SECONDS

    def end(self, reason: str, by: str = NOBODY) -> None:
        """Ask the runs to end, once."""
        if self._asked.acquire(blocking=False):
            self._race.send(Stop(reason), by)

    def let_go(self) -> None:
        """Leave the end of the process to others from here on."""
        self._let_go.set()

    def _see_to_it(self, caught: signal.Signals) -> None:
        """Ask the runs to end, and end the process where they, or what is said of them, take too long."""
        self.end(REASONS[caught], caught.name)
        while not self.late and (self._race.writing or not self._race.over):
            time.sleep(LOOK_SECONDS)
        if not self._race.over or not self._let_go.wait(LAST_SAID_SECONDS):
            self.leave_now()

    def let_exports_end(self) -> None:
        """Wait for the exports of runs that are over; after a signal for so long only, and say what is not written."""
        while self._race.writing and not self.late:
            time.sleep(LOOK_SECONDS)
        self._race.give_up_exports(REASONS[self.caught] if self.caught is not None else "")

    def leave_now(self) -> None:
        """End the process without its workers, the journals' last lines written."""
        # Written down by a thread of its own, for this may run while the main thread holds a lock that it needs, or is
        # amid a write to what is flushed.
        last_line = threading.Thread(target=self._write_last, daemon=True)
        last_line.start()
        last_line.join(LAST_LINE_SECONDS)
        os._exit(self.exit_status)

    def _write_last(self) -> None:
        self._race.abandon(REASONS[self.caught] if self.caught else "interrupted")
        self._last(LAST_TOLD_SECONDS)
        with contextlib.suppress(OSError):
            sys.stderr.flush()
