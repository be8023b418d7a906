"""The replies' factors side by side: weighted means of one factor, and the mean of their products as one product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply
from fedlora_tui.lora.adapter import Adapter, Factors

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
    adapters = [(share, reply.adapter) for share, reply in weighted]
    return Factors(stacked_a(adapters, module), stacked_b(adapters, module))


def stacked_a(adapters: Sequence[tuple[float, Adapter]], module: str) -> Tensor:
    """Give the A of several adapters' module one below the other, in float64."""
    return torch.cat([own.factors[module].a for _, own in adapters]).double()


def stacked_b(adapters: Sequence[tuple[float, Adapter]], module: str) -> Tensor:
    """Give their B side by side in float64, each times its number and its scale."""
    by_column = [
        number for share, own in adapters for number in [share * own.scale_of(module)] * own.factors[module].a.shape[0]
    ]
    columns = torch.cat([own.factors[module].b for _, own in adapters], dim=1).double()
    return columns.mul_(torch.tensor(by_column, dtype=torch.float64))


def _mean(weighted: Sequence[tuple[float, Tensor]]) -> Tensor:
    total = torch.zeros(weighted[0][1].shape, dtype=torch.float64)
    for share, tensor in weighted:
        total += share * tensor.double()
    return total
