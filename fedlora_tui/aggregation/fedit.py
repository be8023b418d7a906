"""FedIT: the weighted mean of A and, apart from it, of B (Zhang et al. 2023, https://arxiv.org/abs/2305.05644).

A' = sum p_i A_i, B' = sum p_i B_i. Cheap, and a sum is all it needs; B' A' is not the mean of the products B_i A_i,
and drift says by how much. Up and down travels one adapter an organization and round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.means import rounded_means
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start
from fedlora_tui.lora.adapter import A_SUFFIX, B_SUFFIX, Factors


def fedit(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Average the factors; the result has the ranks and alphas of the adapter sent, and the replies' number format."""
    weighted = fitting(replies, start.sent)
    mean = rounded_means(weighted)
    factors = {
        module: Factors(mean[module + A_SUFFIX], mean[module + B_SUFFIX]) for module in weighted[0][1].adapter.factors
    }
    return Aggregated(replace(start.sent, factors=factors))


METHOD = Method("fedit", fedit, needs="sum")
