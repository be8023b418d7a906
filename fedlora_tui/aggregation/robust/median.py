"""Median: of every coordinate of the factors, apart from all others (Yin et al. 2018, https://arxiv.org/abs/1803.01498).

Of an even count it is the mean of the middle two. Replies count alike, whatever their weights. It holds while more than
half of the replies are right (2f + 1), and uses f for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.aggregation.robust.coordinates import coordinate_wise, middle
from fedlora_tui.aggregation.robust.defence import SUMS, Defence, Defended


def _apply(replies: Sequence[Reply], start: Start, byzantine: int) -> Defended:
    return Defended(tuple(replies), adapter=coordinate_wise("median", replies, middle))


MEDIAN = Defence("median", _apply, per_byzantine=2, beyond=1, goes_with=SUMS, products=False, unequal_ranks=False)
