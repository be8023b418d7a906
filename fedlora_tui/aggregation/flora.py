"""FLoRA: the replies' factors are stacked and join the base (Wang et al. 2024, https://arxiv.org/abs/2409.05976).

delta = [p_1 s_1 B_1, p_2 s_2 B_2, ...] [A_1; A_2; ...] = sum p_i s_i B_i A_i, the ideal update. The shares stand on one
side only: on both, each product would count p_i^2. The next adapter starts anew, A random and B zero. Organizations may
have different ranks. Up travels one adapter; down the whole stack, of rank sum r_i, and the new A, which the seed gives
too. The base grows by the stack in every round, and training begins each round with a B that is zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start
from fedlora_tui.aggregation.stacking import stacked
from fedlora_tui.lora.adapter import Factors


def flora(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Give the stack as what joins the base, and an adapter that has learned nothing to go on with."""
    weighted = fitting(replies, start.sent, ranks="any")
    delta = {}
    for module, own in weighted[0][1].adapter.factors.items():
        stack = stacked(weighted, module)
        delta[module] = Factors(stack.a.to(own.a.dtype), stack.b.to(own.b.dtype))
    return Aggregated(start.anew, delta)


METHOD = Method("flora", flora, needs="replies", changes_base=True, unequal_ranks=True, continues=False)
