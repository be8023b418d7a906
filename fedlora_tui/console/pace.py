"""When to paint what: steps at the data's pace, slow things once a second, what matters at once, at rest nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

from fedlora_tui.protocol.state import RunState

SLOW_SECONDS = 1.0
SETTLE_SECONDS = 2.5
"""How long a run that came to rest is still painted, so that its last measurements are seen."""

AT_REST = ("paused", "done", "failed", "stopped")


@dataclass
class Pace:
    """Remembers what was painted when, and tells what is due; times are of a clock that never goes back.

    It is asked with the states of all runs that are shown, always in the same order. Where `at_once` is False, as in a
    replay, in which twenty rounds may end in a second, what matters is painted whole, but no sooner than steps are.

    `allowance` is the processor time, in seconds a second, that showing steps may take; 0: as much as they do. Steps
    wait until what was `spent` since the last paint is earned again, slow things and what matters never do: a console
    takes the time of few processors from the run, and of many it paints as often as it may.
    """

    seconds: float
    allowance: float = 0.0
    spent: Callable[[], float] = time.process_time
    _painted: tuple[RunState, ...] = ()
    _fast_at: float = -1e9
    _slow_at: float = -1e9
    _rest_since: float = 0.0
    _spent_before: float = 0.0
    at_once: bool = True

    def due(self, states: tuple[RunState, ...], now: float) -> str | None:
        """Tell what to paint: `all`, `fast` (steps and states only) or nothing.

        A clock that ticks is a reason to paint only while something runs; at rest, measurements alone are none.
        """
        pairs = self._pairs(states)
        may_paint = self.at_once or now - self._fast_at >= self.seconds - 0.01
        if may_paint and any(is_urgent(before, after) for before, after in pairs):
            return self._take(states, now, slow=True)
        if all(state.phase in AT_REST for state in states) and now - self._rest_since > SETTLE_SECONDS:
            grew = any(_log_grew(before, after) for before, after in pairs)
            return self._take(states, now, slow=True) if grew else None
        if now - self._slow_at >= SLOW_SECONDS - 0.01:
            return self._take(states, now, slow=True)
        moved = any(before is not after for before, after in pairs)
        if moved and now - self._fast_at >= self.seconds - 0.01 and self._earned(now):
            return self._take(states, now, slow=False)
        return None

    def _earned(self, now: float) -> bool:
        """Tell whether what was spent since the last paint, that paint included, is within the allowance."""
        return not self.allowance or self.spent() - self._spent_before <= self.allowance * (now - self._fast_at)

    def painted(self, states: tuple[RunState, ...], now: float) -> None:
        """Note that everything was painted for another reason: a key, a new size."""
        self._take(states, now, slow=True)

    def _pairs(self, states: tuple[RunState, ...]) -> list[tuple[RunState, RunState]]:
        """Give each run as it was painted and as it is now."""
        return list(zip_longest(self._painted, states, fillvalue=RunState()))

    def _take(self, states: tuple[RunState, ...], now: float, *, slow: bool) -> str:
        if any(before.phase != after.phase for before, after in self._pairs(states)):
            self._rest_since = now
        self._painted = states
        self._fast_at = now
        self._spent_before = self.spent()
        if slow:
            self._slow_at = now
        return "all" if slow else "fast"


def is_urgent(before: RunState, after: RunState) -> bool:
    """Tell whether something happened that is painted at once, whatever the pace."""
    return (
        before.phase != after.phase
        or before.answer is not after.answer
        or before.export is not after.export
        or before.started is not after.started
        or len(before.history) != len(after.history)
        or before.waiting != after.waiting
        or before.organizations.keys() != after.organizations.keys()
    )


def _log_grew(before: RunState, after: RunState) -> bool:
    return (before.log[-1:] or None) != (after.log[-1:] or None)
