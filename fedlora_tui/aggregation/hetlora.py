"""HetLoRA: factors of different ranks, filled up with zeros and averaged (Cho et al. 2024, https://arxiv.org/abs/2401.06432).

A' = sum w_i [A_i; 0], B' = sum w_i [B_i, 0], filled up to the global rank. w_i = n_i / sum n_j with
n_i = ||s B_i A_i||_F over all modules jointly: who changed more weighs more, and the tokens of a text do not count (but
zero tokens are nobody). An organization of a lower rank starts from the first rows of the global adapter
(`lora.resize.first_rows`). A row that is zero in A' and B' would have no gradient ever again, so a row that no reply
trained keeps the A that was sent; its product stays nothing. Up travels one adapter of the organization's own rank,
down the global one, which it measures. The paper's pruning of ranks while training is not part of this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start
from fedlora_tui.aggregation.products import product_norm
from fedlora_tui.aggregation.stacking import Weighted
from fedlora_tui.lora.adapter import Adapter, Factors


def hetlora(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Average what was filled up to the ranks sent, by the norms of the products; by tokens where all are nothing."""
    weighted = by_norm(fitting(replies, start.sent, ranks="lower"))
    factors = {module: _padded_mean(weighted, module, own) for module, own in start.sent.factors.items()}
    return Aggregated(replace(start.sent, factors=factors))


def by_norm(weighted: Weighted) -> Weighted:
    """Weigh replies by the norms of their products and leave out those of none; as they are where all are of none."""
    norms = [_norm(reply.adapter) for _, reply in weighted]
    total = sum(norms)
    if total == 0:
        return weighted
    return [(norm / total, reply) for norm, (_, reply) in zip(norms, weighted, strict=True) if norm > 0]


def _norm(adapter: Adapter) -> float:
    return math.sqrt(
        sum(
            (adapter.scale_of(module) * product_norm([own.b.double()], [own.a.double()])) ** 2
            for module, own in adapter.factors.items()
        )
    )


def _padded_mean(weighted: Weighted, module: str, sent: Factors) -> Factors:
    a, b = torch.zeros(sent.a.shape, dtype=torch.float64), torch.zeros(sent.b.shape, dtype=torch.float64)
    trained = 0
    for share, reply in weighted:
        own = reply.adapter.factors[module]
        rank = own.a.shape[0]
        a[:rank] += share * own.a.double()
        b[:, :rank] += share * own.b.double()
        trained = max(trained, rank)
    a[trained:] = sent.a[trained:].double()
    first = weighted[0][1].adapter.factors[module]
    return Factors(a.to(first.a.dtype), b.to(first.b.dtype))


METHOD = Method("hetlora", hetlora, needs="replies", unequal_ranks=True, weighs=True)
