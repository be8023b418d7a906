"""The replies' factors side by side: weighted means of one factor, and the mean of their products as one product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply
from fedlora_tui.lora.adapter import Factors

Weighted = Sequence[tuple[float, Reply]]
"""Shares and replies as `shares` and `fitting` give them."""


def mean_a(weighted: Weighted, module: str) -> Tensor:
    """Give sum p_i A_i in float64."""
    return _mean([(share, reply.adapter.factors[module].a) for share, reply in weighted])


def mean_b(weighted: Weighted, module: str) -> Tensor:
    """Give sum p_i B_i in float64."""
    return _mean([(share, reply.adapter.factors[module].b) for share, reply in weighted])


def stacked(weighted: Weighted, module: str) -> Factors:
    """Give sum p_i s_i B_i A_i as one product of float64 factors, [m, sum r_i] and [sum r_i, n].

    Share and scale stand in B alone: on both sides each would count twice.
    """
    left, right = [], []
    for share, reply in weighted:
        own = reply.adapter.factors[module]
        left.append(share * reply.adapter.scale_of(module) * own.b.double())
        right.append(own.a.double())
    return Factors(torch.cat(right), torch.cat(left, dim=1))


def _mean(weighted: Sequence[tuple[float, Tensor]]) -> Tensor:
    total = torch.zeros(weighted[0][1].shape, dtype=torch.float64)
    for share, tensor in weighted:
        total += share * tensor.double()
    return total
