"""Geometric median: weights that make the mean the point of least summed distance (Pillutla et al. 2019, RFA).

Smoothed Weiszfeld (https://arxiv.org/abs/1912.13445): from v, the mean, weights w_i = alpha_i / max(nu, ||P_i - v||)
over their sum, then v = sum w_i P_i, and again until the weights stand still. Distances are between products. The
replies go on with w_i for weights: the mean of their products is then the geometric median.

Two things are ours. alpha_i is 1 here, in the paper an organization's share of the data: that is what it says of
itself, and one that says it has more than all others together would be the median. And nu is no fixed 1e-6 but that
part of a typical distance between replies, so that the size of updates does not matter (and never below rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.aggregation.robust.defence import ANY, Defence, Defended
from fedlora_tui.aggregation.robust.points import ROUNDING, distances, points, products

SMOOTHING = 1e-6
STILL = 1e-13
"""How little weights move in the last step."""
MOST_STEPS = 2000
LEAST = 1e-150
"""In place of nu where most replies are nothing at all: no weight is infinite then."""


def weiszfeld(rows: Tensor, alphas: Tensor) -> Tensor:
    """Give the weights of rows [n, k], adding up to 1, that make their mean the geometric median."""
    nu = max(SMOOTHING * _typical(distances(rows)), ROUNDING * float(rows.norm(dim=1).median()), LEAST)
    weights = alphas / alphas.sum()
    for _ in range(MOST_STEPS):
        apart = torch.linalg.vector_norm(rows - weights @ rows, dim=1)
        after = alphas / apart.clamp(min=nu)
        after = after / after.sum()
        moved = float((after - weights).abs().max())
        weights = after
        if moved <= STILL:
            break
    return weights


def _typical(apart: Tensor) -> float:
    """Give the median over replies of the median distance to others: while most are right, no others can raise it."""
    count = apart.shape[0]
    if count == 1:
        return 0.0
    others = apart.sort(dim=1).values[:, 1:]
    return float(others.median(dim=1).values.median())


def _apply(replies: Sequence[Reply], start: Start, byzantine: int) -> Defended:
    rows = points(products(replies, replies[0].adapter))
    weights = weiszfeld(rows, torch.ones(len(replies), dtype=torch.float64))
    return Defended(tuple(replace(reply, weight=float(weight)) for reply, weight in zip(replies, weights, strict=True)))


GEOMETRIC_MEDIAN = Defence(
    "geometric-median",
    _apply,
    per_byzantine=2,
    beyond=1,
    goes_with=ANY,
    products=True,
    unequal_ranks=True,
    weighs=True,
)
