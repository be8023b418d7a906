"""One rule for every coordinate of A and, apart from it, of B: what coordinate-wise defences share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply
from fedlora_tui.lora.adapter import Adapter, Factors

Rule = Callable[[Tensor], Tensor]
"""Values [replies, ...], sorted in every coordinate, in float64 -> one value for every coordinate."""


def coordinate_wise(defence: str, replies: Sequence[Reply], rule: Rule) -> Adapter:
    """Make one adapter by a rule; it has the replies' ranks, alphas and number format.

    Values are sorted before the rule sees them, so the order of replies changes no byte. ValueError, with the
    organization's name, where a reply has other modules, ranks or alphas than the first: then their coordinates do not
    mean the same.
    """
    first = replies[0].adapter
    for reply in replies:
        if not _alike(reply.adapter, first):
            raise ValueError(
                f"{reply.organization}: {defence} goes coordinate by coordinate, and an adapter of other modules, "
                f"another rank or alpha has others"
            )

    def ruled(tensors: list[Tensor]) -> Tensor:
        values = torch.stack([tensor.double() for tensor in tensors]).sort(dim=0).values
        return rule(values).to(tensors[0].dtype)

    factors = {
        module: Factors(
            ruled([reply.adapter.factors[module].a for reply in replies]),
            ruled([reply.adapter.factors[module].b for reply in replies]),
        )
        for module in first.factors
    }
    return replace(first, factors=factors)


def middle(ordered: Tensor) -> Tensor:
    """Give the median of sorted values along their first dimension; of an even count the mean of the middle two."""
    count = ordered.shape[0]
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


def _alike(adapter: Adapter, first: Adapter) -> bool:
    return (
        (adapter.rank, adapter.alpha, adapter.alphas) == (first.rank, first.alpha, first.alphas)
        and adapter.factors.keys() == first.factors.keys()
        and all(
            factors.a.shape == first.factors[module].a.shape and factors.b.shape == first.factors[module].b.shape
            for module, factors in adapter.factors.items()
        )
    )
