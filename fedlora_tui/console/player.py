"""A journal that is played: which of its records have come by now, at what speed, and what time it is in it."""

from __future__ import annotations

import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

from fedlora_tui.console.replaying import Playing
from fedlora_tui.protocol.commands import Command
from fedlora_tui.protocol.events import Record, RoundFinished, RoundStarted

LONGEST_SILENCE = 5.0
"""To how many recorded seconds a silence is cut: nobody waits an hour for a pause of an hour."""

PORTION = 500
"""The most records given at once, whatever the speed: keys are answered between two portions."""

JUST_PASSED_SECONDS = 1.0
"""How long after the end of a round, as it is watched, the key that goes back means the round before."""


class Replay:
    """The records of a journal, given as time passes; a `RunHandle`.

    Places are counted in records given: at place 3 the first three have come. `marks` are the places that one key
    goes to: the beginning, the first round's start, the end of each round, the end.
    """

    label = ""
    refusal: str | None = None

    def __init__(
        self, records: Sequence[Record], speed: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """At least one record; `speed` is in recorded seconds a second, and may be infinite."""
        self.records = tuple(records)
        self.speed = speed
        self.marks = _marks(self.records)
        self._moments = _moments(self.records)
        self._clock = clock
        self._looked = clock()
        self._plays = False
        self._place = 0
        self._moment = 0.0

    def start(self) -> None:
        """Begin to play."""
        self._looked = self._clock()
        self._plays = not self.over

    def stop(self) -> None:
        """Stand still until it is started again."""
        self._plays = False

    def send(self, command: Command) -> None:
        """Nobody is there to take a command."""

    @property
    def over(self) -> bool:
        """True at the end; going back leaves it."""
        return self._place == len(self.records)

    @property
    def playing(self) -> Playing:
        """How it stands."""
        return Playing(self.speed, self._plays, self._place == 0, self.over)

    def drain(self) -> Sequence[Record]:
        """Give the records whose time has come since the last call."""
        now = self._clock()
        passed, self._looked = max(0.0, now - self._looked), now
        if not self._plays:
            return ()
        self._moment = math.inf if math.isinf(self.speed) else self._moment + passed * self.speed
        begin, due = self._place, bisect_right(self._moments, self._moment, self._place)
        self._place = min(due, begin + PORTION)
        if self._place < due or self.over:
            # What could not be given yet is not skipped: time waits for it.
            self._moment = self._moments[self._place - 1]
        self._plays = not self.over
        return self.records[begin : self._place]

    def time(self) -> float:
        """Give what time it is in the recording, in seconds since the epoch; through a cut silence it runs faster."""
        last = self.records[max(0, self._place - 1)].t
        if self._place == 0 or self.over:
            return last
        before, after = self._moments[self._place - 1 : self._place + 1]
        share = min(1.0, (self._moment - before) / (after - before)) if after > before else 0.0
        return last + share * max(0.0, self.records[self._place].t - last)

    def mark_before(self) -> int:
        """Give the mark to go back to; shortly after one, while it plays, it is the one before."""
        found = bisect_left(self.marks, self._place) - 1
        if found > 0 and self._plays and not math.isinf(self.speed):
            since = self._moment - self._moment_at(self.marks[found])
            found -= since < JUST_PASSED_SECONDS * self.speed
        return self.marks[max(0, found)]

    def mark_after(self) -> int:
        """Give the mark to go on to."""
        return self.marks[min(bisect_right(self.marks, self._place), len(self.marks) - 1)]

    def go(self, place: int) -> None:
        """Go to a place; whether it plays stays as it was."""
        self._place, self._moment, self._looked = place, self._moment_at(place), self._clock()
        self._plays = self._plays and not self.over

    def _moment_at(self, place: int) -> float:
        return self._moments[place - 1] if place else 0.0


def _moments(records: Sequence[Record]) -> list[float]:
    """Give when each record comes, in seconds from the first at speed 1: silences cut, a clock set back ignored."""
    gaps = (min(max(0.0, after.t - before.t), LONGEST_SILENCE) for before, after in pairwise(records))
    return list(accumulate(gaps, initial=0.0))


def _marks(records: Sequence[Record]) -> tuple[int, ...]:
    begun = next((place for place, record in enumerate(records) if isinstance(record.event, RoundStarted)), 0)
    ends = [place for place, record in enumerate(records, 1) if isinstance(record.event, RoundFinished)]
    return tuple(sorted({0, begun, *ends, len(records)}))
