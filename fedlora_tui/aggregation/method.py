"""What every aggregation method takes and gives, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from fedlora_tui.lora.adapter import Adapter, Factors

Factor = Literal["A", "B"]

BOTH: frozenset[Factor] = frozenset(("A", "B"))


@dataclass(frozen=True)
class Reply:
    """One organization's trained adapter and its weight (the target tokens of its training data)."""

    organization: str
    adapter: Adapter
    weight: float


@dataclass(frozen=True)
class Start:
    """Where a round began.

    `sent` is the global adapter that organizations trained from; the next one has its ranks and alphas. `draw` makes
    what `anew` is.
    """

    round: int
    sent: Adapter
    draw: Callable[[], Adapter]

    @cached_property
    def anew(self) -> Adapter:
        """An adapter of the same shapes that has learned nothing: A random, from the seed and the round, and B zero."""
        return self.draw()


@dataclass(frozen=True)
class Aggregated:
    """What a round's replies became.

    `adapter` is what the next round starts from. `delta` is what joins the base, by module: the plain product `b @ a`
    of its factors, the scale already in b. `own` are adapters of organizations that go on from one of their own.
    """

    adapter: Adapter
    delta: Mapping[str, Factors] = field(default_factory=dict)
    own: Mapping[str, Adapter] = field(default_factory=dict)


def both(round: int) -> frozenset[Factor]:
    """Train A and B in every round."""
    return BOTH


@dataclass(frozen=True)
class Method:
    """One way to make replies into an adapter, and what it asks of a run.

    `aggregate` takes one reply or more and raises ValueError where they do not fit together. `needs` is "sum" where
    weighted sums of the factors are enough, else "replies". `trains` gives the factors that a round trains, and that
    travel up. `continues` is False where the next adapter's factors are not those sent, moved a little: then no server
    optimizer can go on from them. `keeps_rank` is True where the rank that a run began with cannot be turned: what
    stays at home, or what the method makes of a factor, is of that rank. `weighs` is True where it weighs replies
    itself, whatever their weights.
    """

    name: str
    aggregate: Callable[[Sequence[Reply], Start], Aggregated]
    needs: Literal["sum", "replies"]
    changes_base: bool = False
    unequal_ranks: bool = False
    keeps_b_at_home: bool = False
    keeps_rank: bool = False
    continues: bool = True
    weighs: bool = False
    trains: Callable[[int], frozenset[Factor]] = both

    def sends(self, round: int) -> frozenset[Factor]:
        """Give the factors that travel up in a round: those that it trains, without a B that stays at home."""
        return self.trains(round) - ({"B"} if self.keeps_b_at_home else frozenset())


def shares(replies: Sequence[Reply]) -> list[tuple[float, Reply]]:
    """Pair each reply with its share p_i (weights over their sum), in the order of names.

    ValueError where there is no reply, a weight is negative, or all are zero.
    """
    ordered = sorted(replies, key=lambda reply: reply.organization)
    total = sum(reply.weight for reply in ordered)
    if not total > 0 or any(reply.weight < 0 for reply in ordered):
        raise ValueError(f"{len(ordered)} replies with a total weight of {total}: nothing to take a mean of")
    return [(reply.weight / total, reply) for reply in ordered]
