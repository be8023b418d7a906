"""Multi-Krum: the n - f replies of the lowest Krum scores (Blanchard et al. 2017, https://arxiv.org/abs/1703.02757).

The paper leaves the number that goes on open: 1 is Krum, and n the mean. Here it is n - f, as many as are right;
Flower's default is 1. Those that go on keep their weights, as in Flower; in the paper they count alike.
With f = 0 all go on.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.aggregation.robust.defence import ANY, Defence, Defended, chosen
from fedlora_tui.aggregation.robust.krum import ranked
from fedlora_tui.aggregation.robust.points import between


def _apply(replies: Sequence[Reply], start: Start, byzantine: int) -> Defended:
    return chosen(replies, ranked(between(replies), byzantine)[: len(replies) - byzantine])


MULTI_KRUM = Defence("multi-krum", _apply, per_byzantine=2, beyond=3, goes_with=ANY, products=True, unequal_ranks=True)
