"""Whether replies fit the adapter that was sent: nothing is broadcast, and who does not fit is named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from fedlora_tui.aggregation.method import Reply, shares
from fedlora_tui.lora.adapter import Adapter

Ranks = Literal["equal", "lower", "any"]


def fitting(replies: Sequence[Reply], sent: Adapter, ranks: Ranks = "equal") -> list[tuple[float, Reply]]:
    """Pair the replies that count (a weight over zero) with their shares, in the order of names.

    `ranks` says which ranks a reply's modules may have beside those of the adapter sent: no other, lower ones, any.
    ValueError, with the organization's name, where a reply has other modules, shapes or scales; see also `shares`.
    """
    weighted = shares(replies)
    for _, reply in weighted:
        misfit = _misfit(reply.adapter, sent, ranks)
        if misfit:
            raise ValueError(f"{reply.organization}: {misfit}")
    return [(share, reply) for share, reply in weighted if share > 0]


def check_fits(reply: Reply, sent: Adapter) -> None:
    """Raise ValueError where a reply has other modules, shapes or scales than what was sent, or a weight below 0."""
    misfit = _misfit(reply.adapter, sent, "equal")
    if misfit or reply.weight < 0:
        raise ValueError(f"{reply.organization}: {misfit or f'a weight of {reply.weight}'}")


def _misfit(adapter: Adapter, sent: Adapter, ranks: Ranks) -> str:
    """Say what does not fit; nothing where all does."""
    if adapter.factors.keys() != sent.factors.keys():
        return "an adapter of other modules than the one sent"
    for module, asked in sent.factors.items():
        own = adapter.factors[module]
        rank = own.a.shape[0]
        fits = {"equal": rank == asked.a.shape[0], "lower": 1 <= rank <= asked.a.shape[0], "any": rank >= 1}[ranks]
        shapes = (rank, asked.a.shape[1]), (asked.b.shape[0], rank)
        if not fits or (tuple(own.a.shape), tuple(own.b.shape)) != shapes:
            return (
                f"an adapter whose {module} has A {list(own.a.shape)} and B {list(own.b.shape)} "
                f"where A {list(asked.a.shape)} and B {list(asked.b.shape)} were sent"
            )
        scale, wanted = adapter.scale_of(module), sent.scale_of(module)
        # An alpha that moved with its rank may be off by a rounding.
        if not math.isclose(scale, wanted, rel_tol=1e-12):
            return f"an adapter whose {module} is scaled by {scale:g} where the one sent is by {wanted:g}"
    return ""
