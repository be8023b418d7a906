"""Bulyan: repeated Krum, then what lies around the median (El Mhamdi et al. 2018, https://arxiv.org/abs/1802.07927).

First theta = n - 2f replies are chosen, one at a time: Krum's choice among those left, by distances between products.
Then, for every coordinate of A and apart from it of B, the mean of the beta = theta - 2f of the chosen values that lie
nearest to their median (of two at equal distance the smaller goes first). The choice does not depend on the basis that
an update is written in; the second stage does, as every coordinate-wise rule on factors. What the paper bounds, each
coordinate, is then a coordinate of a factor. Replies count alike, whatever their weights.

With f = 0 all are chosen, and the result is the unweighted mean of the factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.aggregation.robust.coordinates import coordinate_wise, middle
from fedlora_tui.aggregation.robust.defence import SUMS, Defence, Defended, chosen
from fedlora_tui.aggregation.robust.krum import ranked
from fedlora_tui.aggregation.robust.points import between


def selected(distances: Tensor, byzantine: int) -> list[int]:
    """Give the places of the n - 2f replies that repeated Krum chooses, in the order in which it does."""
    left, taken = list(range(distances.shape[0])), list[int]()
    while len(taken) < distances.shape[0] - 2 * byzantine:
        best = ranked(distances[left][:, left], byzantine)[0]
        taken.append(left.pop(best))
    return taken


def _apply(replies: Sequence[Reply], start: Start, byzantine: int) -> Defended:
    defended = chosen(replies, selected(between(replies), byzantine))
    keep = len(defended.replies) - 2 * byzantine

    def rule(ordered: Tensor) -> Tensor:
        nearest = (ordered - middle(ordered)).abs().argsort(dim=0, stable=True)[:keep]
        return ordered.gather(0, nearest).mean(dim=0)

    return replace(defended, adapter=coordinate_wise("bulyan", defended.replies, rule))


BULYAN = Defence("bulyan", _apply, per_byzantine=4, beyond=3, goes_with=SUMS, products=True, unequal_ranks=False)
