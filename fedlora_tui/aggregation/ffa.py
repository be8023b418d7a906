"""FFA-LoRA: A is frozen and the same for all; B is trained and averaged (Sun et al. 2024, https://arxiv.org/abs/2403.12313).

A' = A as sent, B' = sum p_i B_i. With one A for all, B' A is the mean of the products: nothing drifts. Up travels B
alone; down B too, where A was brought once. Costs nothing but room: what cannot be said in A's random rows is never
learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.means import rounded_means
from fedlora_tui.aggregation.method import Aggregated, Factor, Method, Reply, Start
from fedlora_tui.lora.adapter import B_SUFFIX, Factors


def ffa(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Average B under the A that was sent."""
    weighted = fitting(replies, start.sent)
    mean = rounded_means(weighted, trains(start.round))
    factors = {
        module: Factors(start.sent.factors[module].a, mean[module + B_SUFFIX])
        for module in weighted[0][1].adapter.factors
    }
    return Aggregated(replace(start.sent, factors=factors))


def trains(round: int) -> frozenset[Factor]:
    """Train B in every round."""
    return frozenset(("B",))


METHOD = Method("ffa", ffa, needs="sum", trains=trains)
