"""Weighted means of replies' factors, taken in one after the other: sum n_i x_i / sum n_i.

The sum is exact (`exact.py`), or as good as that, so a mean does not depend on who came first, nor on whether the
replies were kept until all were in or each was let go of as soon as it was added.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from fedlora_tui.aggregation.exact import ExactSum, largest
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


def rounded_means(weighted: Weighted, factors: Collection[str] = BOTH) -> dict[str, Tensor]:
    """Give the same means in the replies' own number format, for float32 to the bit, and sooner.

    A plain sum in float64 has a known bound of its error (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
    section 4.2): where both ends of it are rounded to one float32 number, that is the exact sum's. The rest is added up
    exactly.
    """
    every = [reply.adapter.tensors() for _, reply in weighted]
    names = [name for name in every[0] if is_one_of(name, factors)]
    if len(weighted) == 1 or any(every[0][name].dtype != torch.float32 for name in names):
        return {name: mean.to(every[0][name].dtype) for name, mean in means(weighted, factors).items()}
    heavy = [(tensors, reply.weight) for tensors, (_, reply) in zip(every, weighted, strict=True) if reply.weight > 0]
    return {name: _rounded([(tensors[name], weight) for tensors, weight in heavy]) for name in names}


def _rounded(addends: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Give the weighted mean of float32 tensors of one shape, rounded to float32."""
    over = math.fsum(weight for _, weight in addends)
    plain = torch.zeros(addends[0][0].shape, dtype=torch.float64)
    for numbers, weight in addends:
        plain.add_(numbers, alpha=weight)
    size = math.fsum(largest(numbers) * weight for numbers, weight in addends)
    # Twice what is lost at the most by adding in any order, by rounding the exact sum, and by the ends themselves.
    off = math.inf if math.isnan(size) else size * (len(addends) + 8) * torch.finfo(torch.float64).eps
    low, high = ((plain - off) / over).float(), ((plain + off) / over).float()
    # By their bits, for a zero may have a sign.
    unsettled = low.view(torch.int32) != high.view(torch.int32)
    if count := int(unsettled.count_nonzero()):
        exact = ExactSum(count)
        for numbers, weight in addends:
            exact.add(numbers[unsettled], weight)
        low[unsettled] = (exact.total() / over).float()
    return low
