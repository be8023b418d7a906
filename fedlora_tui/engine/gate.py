"""Where work waits while its run is paused. Runs whose work goes together, as in a race, wait together.

While all that works stands here, or nothing does, the base can be lent: to texts that the operator tries on it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager


class Gate:
    """Holds the lanes of one run, or of several, and knows when all that work wait.

    `pressed` counts what was asked of the runs: who has the base on loan gives it back when it changes.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.pressed = 0
        self._held: list[Callable[[], bool]] = []
        self._wanted = self._lent = False
        self._loan = self._aside = self._beginning = 0
        self._stood_aside = self._aside_since = 0.0
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
        self._held.append(holds)
        self.changed.notify_all()
        while holds() or self._lent:
            if holds() and self._waiting >= self._at_work:
                for tell in self._tell_paused if self._at_work else (tell_own, *self._resting):
                    tell()
            self.changed.wait()
        self._held.remove(holds)
        self._waiting -= 1

    def step_aside(self) -> None:
        """Keep the calling lane here while the base is wanted elsewhere, for one loan; call with `changed` held."""
        if not self._wanted or not self._at_work:
            return
        loan = self._loan
        self._stands_aside()
        self._aside += 1
        self.changed.notify_all()
        while self._loan == loan:
            self.changed.wait()

    @contextmanager
    def lent(self, wanted: Callable[[], bool]) -> Iterator[bool]:
        """Lend the base as soon as nothing works with it, for as long as the context is open.

        False, and nothing lent, where it was not `wanted` any more before that. One at a time may ask.
        """
        with self.changed:
            self._wanted = True
            while wanted() and not self._free:
                self.changed.wait()
            self._lent = wanted()
        try:
            yield self._lent
        finally:
            with self.changed:
                self._wanted = self._lent = False
                # Who stood aside is at work from here on, whenever it wakes: the next loan has to wait for it.
                self._loan, self._aside = self._loan + 1, 0
                self._stood_aside, self._aside_since = self.aside_seconds, 0.0
                self.changed.notify_all()

    @property
    def aside_seconds(self) -> float:
        """How long work has stood aside for loans of the base by now."""
        with self.changed:
            return self._stood_aside + (time.monotonic() - self._aside_since if self._aside_since else 0.0)

    @property
    def _free(self) -> bool:
        """True while nothing works with the base, and nothing is about to."""
        return not self._beginning and self._aside + sum(holds() for holds in self._held) >= self._at_work

    def _stands_aside(self) -> None:
        self._aside_since = self._aside_since or time.monotonic()

    def rest(self, tell_paused: Callable[[], None]) -> None:
        """A run goes on no further by itself: until lanes begin, it is paused when another one is."""
        with self.changed:
            self._resting.append(tell_paused)
            self.changed.notify_all()

    def lanes_begin(self, count: int) -> None:
        """So many lanes begin to work."""
        with self.changed:
            self._beginning += 1
            while self._lent:
                self._stands_aside()
                self.changed.wait()
            self._beginning -= 1
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
