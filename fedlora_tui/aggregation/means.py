"""Weighted means of replies' factors, taken in one after the other: sum n_i x_i / sum n_i.

The sum is exact (`exact.py`), so a mean does not depend on who came first, nor on whether the replies were kept until
all were in or each was let go of as soon as it was added.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from fedlora_tui.aggregation.exact import ExactSum
from fedlora_tui.aggregation.stacking import Weighted
from fedlora_tui.lora.adapter import BOTH, Adapter, is_one_of


class RunningMean:
    """The mean of adapters of the shapes of one, or of some of their factors ("A", "B")."""

    def __init__(self, like: Adapter, factors: Collection[str] = BOTH) -> None:
        self._shapes = {name: tensor.shape for name, tensor in like.tensors().items() if is_one_of(name, factors)}
        self._sum = ExactSum(sum(math.prod(shape) for shape in self._shapes.values()))
        self._weights: list[float] = []

    def add(self, tensors: Mapping[str, Tensor], weight: float) -> None:
        """Add an adapter's tensors, by their names, so many times."""
        if weight > 0:
            self._sum.add(torch.cat([tensors[name].flatten() for name in self._shapes]), weight)
            self._weights.append(weight)

    def mean(self, over: float | None = None) -> dict[str, Tensor]:
        """Give the mean of each tensor in float64, or the sum over a number that is fixed beforehand."""
        whole = self._sum.total() / (math.fsum(self._weights) if over is None else over)
        found, at = {}, 0
        for name, shape in self._shapes.items():
            found[name] = whole[at : at + math.prod(shape)].reshape(shape)
            at += math.prod(shape)
        return found

    @property
    def bytes(self) -> int:
        """What it keeps."""
        return self._sum.bytes


def means(weighted: Weighted, factors: Collection[str] = BOTH) -> dict[str, Tensor]:
    """Give the mean of each tensor of some factors of replies that fit together, by its name, in float64.

    A single reply's is what it holds.
    """
    if len(weighted) == 1:
        tensors = weighted[0][1].adapter.tensors()
        return {name: tensor.double() for name, tensor in tensors.items() if is_one_of(name, factors)}
    running = RunningMean(weighted[0][1].adapter, factors)
    for _, reply in weighted:
        running.add(reply.adapter.tensors(), reply.weight)
    return running.mean()
