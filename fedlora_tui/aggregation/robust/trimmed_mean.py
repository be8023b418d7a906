"""Trimmed mean: of every coordinate without its f smallest and f largest (Yin et al. 2018, arXiv 1803.01498).

Replies count alike, whatever their weights. With 2f + 1 replies one value is left, the median; with f = 0 it is the
plain unweighted mean of the factors.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.aggregation.robust.coordinates import coordinate_wise
from fedlora_tui.aggregation.robust.defence import SUMS, Defence, Defended


def _apply(replies: Sequence[Reply], start: Start, byzantine: int) -> Defended:
    def rule(ordered: Tensor) -> Tensor:
        return ordered[byzantine : ordered.shape[0] - byzantine].mean(dim=0)

    return Defended(tuple(replies), adapter=coordinate_wise("trimmed-mean", replies, rule))


TRIMMED_MEAN = Defence(
    "trimmed-mean", _apply, per_byzantine=2, beyond=1, goes_with=SUMS, products=False, unequal_ranks=False
)
