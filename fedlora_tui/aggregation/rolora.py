"""RoLoRA: B is trained in odd rounds and A in even ones (Chen et al. 2024, https://arxiv.org/abs/2409.02346).

Odd: A' = A as sent, B' = sum p_i B_i. Even: A' = sum p_i A_i, B' = B as sent. The other factor is the same for all in
either phase, so B' A' is the mean of the products in each. Up travels the factor that was trained; down the one that
changed, and both to who joins. A round moves half the numbers, so the same way takes more rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.means import rounded_means
from fedlora_tui.aggregation.method import Aggregated, Factor, Method, Reply, Start
from fedlora_tui.lora.adapter import A_SUFFIX, B_SUFFIX, Factors


def rolora(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Average the factor that the round trained beside the other one as it was sent."""
    weighted = fitting(replies, start.sent)
    mean = rounded_means(weighted, trains(start.round))
    factors = {}
    for module in weighted[0][1].adapter.factors:
        sent = start.sent.factors[module]
        if "A" in trains(start.round):
            factors[module] = Factors(mean[module + A_SUFFIX], sent.b)
        else:
            factors[module] = Factors(sent.a, mean[module + B_SUFFIX])
    return Aggregated(replace(start.sent, factors=factors))


def trains(round: int) -> frozenset[Factor]:
    """Train B first: it begins at zero, where A has no gradient."""
    return frozenset(("B",)) if round % 2 else frozenset(("A",))


METHOD = Method("rolora", rolora, needs="sum", trains=trains)
