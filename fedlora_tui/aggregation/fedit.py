"""FedIT: the weighted mean of A and, apart from it, of B (Zhang et al. 2023, https://arxiv.org/abs/2305.05644).

A' = sum p_i A_i, B' = sum p_i B_i. Cheap, and a sum is all it needs; B' A' is not the mean of the products B_i A_i,
and drift says by how much. Up and down travels one adapter an organization and round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Aggregated, Reply, shares
from fedlora_tui.lora.adapter import Factors


def fedit(replies: Sequence[Reply]) -> Aggregated:
    """Average the factors; the result has the replies' rank, alpha and number format."""
    weighted = shares(replies)
    first = weighted[0][1].adapter
    for _, reply in weighted:
        own = reply.adapter
        if own.rank != first.rank or own.factors.keys() != first.factors.keys() or own.alphas != first.alphas:
            raise ValueError(f"{reply.organization}: an adapter of other modules or another rank cannot be averaged")
    factors = {
        module: Factors(
            _mean([(share, reply.adapter.factors[module].a) for share, reply in weighted]),
            _mean([(share, reply.adapter.factors[module].b) for share, reply in weighted]),
        )
        for module in first.factors
    }
    return Aggregated(replace(first, factors=factors))


def _mean(weighted: Sequence[tuple[float, Tensor]]) -> Tensor:
    first = weighted[0][1]
    total = torch.zeros(first.shape, dtype=torch.float64)
    for share, tensor in weighted:
        if tensor.shape != first.shape:
            raise ValueError(f"shapes {tuple(tensor.shape)} and {tuple(first.shape)} cannot be averaged")
        total += share * tensor.double()
    return total.to(first.dtype)
