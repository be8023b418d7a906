"""FlexLoRA: the best approximation of the ideal update that the rank allows (Bai et al. 2024, https://arxiv.org/abs/2402.11505).

U Sigma V^T = sum p_i s_i B_i A_i, cut at the r largest singular values; A' = V^T, B' = U Sigma / s. The decomposition
is that of a small matrix between QRs of the stacked factors, never of an m x n one. All of Sigma stands in B', so a
direction whose singular value is 0 keeps a row of A that can be trained; where the stack has fewer rows than the rank,
the rows that start anew fill A' up, made orthonormal. The rows are in the order of their weight: an organization of a
lower rank starts from the first ones, which are the best of that rank. Up travels one adapter of its own rank, down the
global one, which it measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start
from fedlora_tui.aggregation.stacking import stacked
from fedlora_tui.lora.adapter import Factors
from fedlora_tui.lora.truncation import best_rank, completed, filled


def flexlora(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Cut the ideal update down to the ranks of the adapter sent."""
    weighted = fitting(replies, start.sent, ranks="any")
    factors = {}
    for module, own in weighted[0][1].adapter.factors.items():
        anew = start.anew.factors[module].a
        stack = stacked(weighted, module)
        cut = best_rank(stack.b, stack.a, anew.shape[0])
        b = filled(cut.left * (cut.values / start.sent.scale_of(module)), anew.shape[0])
        factors[module] = Factors(completed(cut.right, anew).to(own.a.dtype), b.to(own.b.dtype))
    return Aggregated(replace(start.sent, factors=factors))


METHOD = Method("flexlora", flexlora, needs="replies", unequal_ranks=True, continues=False)
