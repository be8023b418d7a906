"""Where work waits while its run is paused. Runs whose work goes together, as in a race, wait together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection


class Gate:
    """Holds the lanes of one run, or of several, and knows when all that work wait."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._at_work = self._waiting = 0
        self._tell_paused: list[Callable[[], None]] = []
        self._resting: list[Callable[[], None]] = []

    def add(self, tell_paused: Callable[[], None]) -> None:
        """Let a run tell its pause, where it has one, when all lanes wait."""
        self._tell_paused.append(tell_paused)

    def wait(self, tell_own: Callable[[], None], holds: Callable[[], bool]) -> None:
        """Keep the calling thread here for as long as it `holds`; call with `changed` held.

        A pause is told when the last of several lanes has come. Between passes every run has a thread of its own, and
        tells its own pause, and that of those that cannot go on without it.
        """
        self._waiting += 1
        while holds():
            if self._waiting >= self._at_work:
                for tell in self._tell_paused if self._at_work else (tell_own, *self._resting):
                    tell()
            self.changed.wait()
        self._waiting -= 1

    def rest(self, tell_paused: Callable[[], None]) -> None:
        """A run goes on no further by itself: until lanes begin, it is paused when another one is."""
        with self.changed:
            self._resting.append(tell_paused)
            self.changed.notify_all()

    def lanes_begin(self, count: int) -> None:
        """So many lanes begin to work."""
        with self.changed:
            self._at_work = count
            self._resting.clear()

    def lane_began(self, lane: int) -> None:
        """Who works in it does not matter here."""

    def lane_has(self, runs: Collection[int]) -> None:
        """Of which runs its messages are does not matter here."""

    def lane_ended(self) -> None:
        """One lane is done with its share."""
        with self.changed:
            self._at_work -= 1
            self.changed.notify_all()

    def shrunk(self, cohort: int) -> None:
        """How many go together does not matter here."""
