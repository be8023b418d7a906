"""What a defence takes and gives, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.lora.adapter import Adapter

Needs = Literal["sum", "replies"]
"""What an aggregation method needs (`Method.needs`): weighted sums of factors, or the replies themselves."""

SUMS: frozenset[Needs] = frozenset(("sum",))
ANY: frozenset[Needs] = frozenset(("sum", "replies"))


@dataclass(frozen=True)
class Defended:
    """What a defence made of a round's replies.

    `replies` go on, in the order of names, with the weights that they count with from here. Where `adapter` is there,
    the defence aggregated them itself and it is the result; else any aggregation method goes on with `replies`.
    `left_out` and `shortened` name organizations, in the order of names.
    """

    replies: tuple[Reply, ...]
    adapter: Adapter | None = None
    left_out: tuple[str, ...] = ()
    shortened: tuple[str, ...] = ()


@dataclass(frozen=True)
class Defence:
    """One way to live with some replies that are wrong on purpose, and what it asks of a run.

    `apply` takes replies of positive weight in the order of names, where the round began, and f, how many of them may
    be wrong. The theory asks for `per_byzantine` f + `beyond` replies. `goes_with` says by their `needs` which
    aggregation methods it may stand before: a defence that makes the adapter itself takes the place of a plain average
    of factors, and of nothing else. `products` is True where it judges B A, so both factors of a reply must be there.
    `unequal_ranks` is True where replies may have ranks of their own, `weighs` where all that it does is to weigh them.
    """

    name: str
    apply: Callable[[Sequence[Reply], Start, int], Defended]
    per_byzantine: int
    beyond: int
    goes_with: frozenset[Needs]
    products: bool
    unequal_ranks: bool
    weighs: bool = False

    def least(self, byzantine: int) -> int:
        """Give the fewest replies with which it holds what the theory promises."""
        return self.per_byzantine * byzantine + self.beyond


def chosen(replies: Sequence[Reply], places: Sequence[int]) -> Defended:
    """Let the replies at some places go on with the weights that they have, and name the others."""
    kept = set(places)
    return Defended(
        tuple(reply for place, reply in enumerate(replies) if place in kept),
        left_out=tuple(reply.organization for place, reply in enumerate(replies) if place not in kept),
    )
