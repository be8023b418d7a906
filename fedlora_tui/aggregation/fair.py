"""LoRA-FAIR: the mean of B corrected towards the ideal update (Bian et al. 2024, https://arxiv.org/abs/2411.14961).

A' = sum p_i A_i, B' = B + dB with B = sum p_i B_i, where dB makes ||I/s - (B + dB) A'||_F^2 + lambda ||dB||_F^2 least
for the ideal update I. The squared distance is this project's choice of the paper's measure, because it has a closed
form: dB = (I/s - B A') A'^T (A' A'^T + lambda 1)^-1. Because sum p_i (A_i - A') = 0, its left part is
sum p_i B_i (A_i - A') A'^T, which needs factors alone. Up and down travels one adapter; a solve of r x r a module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start
from fedlora_tui.aggregation.stacking import Weighted, mean_a, mean_b
from fedlora_tui.lora.adapter import Factors

LAMBDA = 0.01
"""How much a correction has to be worth, against squared norms of A's rows: those that start a run have 1/3."""


def fair(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Average A, and B with its correction; never further from the ideal update than the means are."""
    weighted = fitting(replies, start.sent)
    factors = {}
    for module, own in weighted[0][1].adapter.factors.items():
        a = mean_a(weighted, module)
        b = mean_b(weighted, module) + correction(weighted, module, a)
        factors[module] = Factors(a.to(own.a.dtype), b.to(own.b.dtype))
    return Aggregated(replace(start.sent, factors=factors))


def correction(weighted: Weighted, module: str, a: Tensor) -> Tensor:
    """Give dB [m, r] in float64 for the mean A [r, n]."""
    missed = torch.zeros(weighted[0][1].adapter.factors[module].b.shape, dtype=torch.float64)
    for share, reply in weighted:
        own = reply.adapter.factors[module]
        missed += share * own.b.double() @ ((own.a.double() - a) @ a.T)
    gram = a @ a.T + LAMBDA * torch.eye(a.shape[0], dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(gram, missed, left=False)
    return solved


METHOD = Method("fair", fair, needs="replies")
