"""A run of another process, followed by its journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fedlora_tui.engine import journal
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.events import ENDS, Event, Record, RoundFinished, RunFinished, from_json

START_SECONDS = 900.0
"""How long the start of a run, or one of its rounds, may take."""

POLL_SECONDS = 0.25


class Followed:
    """A run's journal, read while it grows."""

    def __init__(self, runs: Path) -> None:
        self.records: list[Record] = []
        self._runs = runs
        self._read = 0

    @property
    def ended(self) -> bool:
        """True once the run is over."""
        return self.has(*ENDS)

    def has(self, *kinds: type[Event]) -> bool:
        """Tell whether something of these kinds happened."""
        return any(isinstance(record.event, kinds) for record in self.records)

    def look(self) -> Followed:
        """Read the lines that came since the last look."""
        for file in self._runs.glob(f"*/{journal.NAME}"):
            with file.open("rb") as lines:
                lines.seek(self._read)
                whole = lines.read().rpartition(b"\n")[0]
            if whole:
                self._read += len(whole) + 1
                self.records += [from_json(line.decode()) for line in whole.split(b"\n")]
        return self

    def wait(self, enough: Callable[[], bool], read: Callable[[float], object]) -> None:
        """Look again and again, and `read` for some seconds in between, until it is enough.

        Raises UserError where the run tells nothing for long.
        """
        end, told = time.monotonic() + START_SECONDS, 0
        while True:
            self.look()
            if enough():
                return
            if len(self.records) > told:
                end, told = time.monotonic() + START_SECONDS, len(self.records)
            elif time.monotonic() > end:
                raise UserError(f"fedlora-tui told nothing for {START_SECONDS:g} s")
            read(POLL_SECONDS)

    @property
    def rounds(self) -> list[RoundFinished]:
        """The rounds that ended, in their order."""
        return [record.event for record in self.records if isinstance(record.event, RoundFinished)]

    def check(self) -> None:
        """Raise UserError unless the run ended as it should."""
        last = self.records[-1].event
        if not self.has(RunFinished):
            raise UserError(f"fedlora-tui: the run ended as {last.type}: {getattr(last, 'reason', '')}")
