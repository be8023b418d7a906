"""In which order the runs of a race stand below each other, and which of them are in the chart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedlora_tui.protocol.state import RunState

NUMBERS: Mapping[str, Callable[[RunState], float | None]] = {
    "hold-out": lambda state: state.eval_loss,
    "gain": lambda state: state.gain,
    "round": lambda state: float(state.round),
    "MiB": lambda state: (state.bytes_up + state.bytes_down) / 2**20,
}
ORDERS = ("", *NUMBERS)
"""The orders that one key goes through; the empty one is that of the race."""

LEAST_FIRST = ("hold-out", "MiB")
"""The orders that begin with the least: where less is better."""


@dataclass(frozen=True)
class RunOrder:
    """The runs by their places in the race (`places`) as they stand, by what, and those that the chart leaves out."""

    places: tuple[int, ...] = ()
    by: str = ""
    turned: bool = False
    hidden: frozenset[int] = frozenset()

    @property
    def words(self) -> str:
        """Say the order: `by hold-out, least first`; that of the race has none unless it is turned round."""
        if not self.by:
            return "turned round" if self.turned else ""
        return f"by {self.by}, {'least' if (self.by in LEAST_FIRST) != self.turned else 'most'} first"

    @property
    def next_by(self) -> str:
        """Give the order after this one."""
        return ORDERS[(ORDERS.index(self.by) + 1) % len(ORDERS)]


def places_of(states: Sequence[RunState], by: str, *, turned: bool) -> tuple[int, ...]:
    """Sort the runs' places; of which nothing is known stand last, equals stand as in the race."""
    places = range(len(states))
    if not by:
        return tuple(reversed(places) if turned else places)
    rising = (by in LEAST_FIRST) != turned

    def key(place: int) -> float:
        value = NUMBERS[by](states[place])
        if value is None or math.isnan(value):
            return math.inf
        return value if rising else -value

    return tuple(sorted(places, key=key))
