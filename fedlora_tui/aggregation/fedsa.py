"""FedSA-LoRA: A is averaged, each organization keeps its B (Guo et al. 2024, https://arxiv.org/abs/2410.01463).

A' = sum p_i A_i for all; organization i goes on with its own B_i. The global adapter is A' with the B that was sent,
which nobody trained: an organization that is new starts from it, and what is learned is measured with each one's own.
Up and down travels A alone. B_i never leaves its organization: where the server runs beside them, a reply carries it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.means import rounded_means
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start
from fedlora_tui.lora.adapter import A_SUFFIX, Factors


def fedsa(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Average A, and put it before every organization's own B; `own` holds who replied, whatever its weight."""
    weighted = fitting(replies, start.sent)
    mean = rounded_means(weighted, ("A",))
    as_sent = weighted[0][1].adapter.factors
    new_a = {module: mean[module + A_SUFFIX] for module in as_sent}
    adapter = replace(start.sent, factors={m: Factors(a, start.sent.factors[m].b) for m, a in new_a.items()})
    own = {
        reply.organization: replace(
            reply.adapter, factors={module: Factors(a, reply.adapter.factors[module].b) for module, a in new_a.items()}
        )
        for reply in sorted(replies, key=lambda reply: reply.organization)
    }
    return Aggregated(adapter, own=own)


METHOD = Method("fedsa", fedsa, needs="sum", keeps_b_at_home=True, keeps_rank=True)
