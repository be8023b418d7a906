"""FedEx-LoRA: FedIT, and what it loses joins the base (Singhal et al. 2024, https://arxiv.org/abs/2410.09432).

A' = sum p_i A_i, B' = sum p_i B_i, delta = s (sum p_i B_i A_i - B' A'). Together they are the ideal update. Because
sum p_i (A_i - A') = 0, the delta is s sum_{i<K} p_i (B_i - B_K) (A_i - A'): rank (K-1) r, and no two large products are
subtracted. Up travels one adapter; down one adapter and the delta. The base grows by that rank in every round.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedlora_tui.aggregation.fedit import fedit
from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start
from fedlora_tui.aggregation.stacking import Weighted, mean_a
from fedlora_tui.lora.adapter import Factors


def fedex(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Average the factors, and give the residual as what joins the base: nothing where one organization counts."""
    weighted = fitting(replies, start.sent)
    adapter = fedit(replies, start).adapter
    if len(weighted) == 1:
        return Aggregated(adapter)
    return Aggregated(adapter, {module: _residual(weighted, module) for module in adapter.factors})


def _residual(weighted: Weighted, module: str) -> Factors:
    mean = mean_a(weighted, module)
    *others, (_, last) = weighted
    anchor = last.adapter.factors[module]
    left, right = [], []
    for share, reply in others:
        own = reply.adapter.factors[module]
        left.append(share * reply.adapter.scale_of(module) * (own.b.double() - anchor.b.double()))
        right.append(own.a.double() - mean)
    return Factors(torch.cat(right).to(anchor.a.dtype), torch.cat(left, dim=1).to(anchor.b.dtype))


METHOD = Method("fedex", fedex, needs="replies", changes_base=True)
