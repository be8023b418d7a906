"""Krum: the one reply that stands nearest to its neighbours (Blanchard et al. 2017, https://arxiv.org/abs/1703.02757).

A reply's score is the sum of squared distances to its n - f - 2 nearest others; the lowest score goes on, alone. Among
equal scores the first name does. Distances are between products. With f = 0 it still chooses one, out of 3 or more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.aggregation.robust.defence import ANY, Defence, Defended, chosen
from fedlora_tui.aggregation.robust.points import between


def ranked(distances: Tensor, byzantine: int) -> list[int]:
    """Give the places of replies by their scores, the lowest first, from the distances [n, n] between them.

    Where fewer than f + 3 are left, as in Bulyan's last choices, the nearest one neighbour makes the score.
    """
    count = distances.shape[0]
    neighbours = min(max(1, count - byzantine - 2), count - 1)
    squares = distances.square()
    squares.fill_diagonal_(math.inf)
    scores = squares.sort(dim=1).values[:, :neighbours].sum(dim=1)
    return [int(place) for place in torch.argsort(scores, stable=True)]


def _apply(replies: Sequence[Reply], start: Start, byzantine: int) -> Defended:
    return chosen(replies, ranked(between(replies), byzantine)[:1])


KRUM = Defence("krum", _apply, per_byzantine=2, beyond=3, goes_with=ANY, products=True, unequal_ranks=True)
