"""An adapter as named factors with one rank and one alpha: how it starts, what it weighs, how it compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

A_SUFFIX = ".lora_A.weight"
B_SUFFIX = ".lora_B.weight"
"""PEFT's own names of the two factors, so that an adapter's tensors are called the same everywhere."""


@dataclass(frozen=True)
class TargetModule:
    """A layer of the base that carries an adapter; `transposed` is GPT-2's Conv1D, whose weight is [in, out]."""

    name: str
    in_features: int
    out_features: int
    transposed: bool


@dataclass(frozen=True)
class Factors:
    """LoRA's A [rank, in_features] and B [out_features, rank] of one target module."""

    a: Tensor
    b: Tensor


@dataclass(frozen=True)
class Adapter:
    """The factors of every target module, by its name, under one rank and one alpha.

    The update of a weight is `scale * B @ A` (Hu et al. 2021, https://arxiv.org/abs/2106.09685).
    """

    factors: Mapping[str, Factors]
    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        """What the product B A is scaled by."""
        return self.alpha / self.rank

    @property
    def parameters(self) -> int:
        """How many numbers train."""
        return sum(f.a.numel() + f.b.numel() for f in self.factors.values())

    def tensors(self) -> dict[str, Tensor]:
        """Give the factors under PEFT's names, in the order of the modules."""
        named: dict[str, Tensor] = {}
        for module, factors in self.factors.items():
            named[module + A_SUFFIX] = factors.a
            named[module + B_SUFFIX] = factors.b
        return named


def from_tensors(tensors: Mapping[str, Tensor], rank: int, alpha: float) -> Adapter:
    """Build an adapter from the names that `tensors` gives; KeyError where a factor has no partner."""
    modules = [name[: -len(A_SUFFIX)] for name in tensors if name.endswith(A_SUFFIX)]
    factors = {module: Factors(tensors[module + A_SUFFIX], tensors[module + B_SUFFIX]) for module in modules}
    return Adapter(factors, rank, alpha)


def initial(targets: Sequence[TargetModule], rank: int, alpha: float, seed: int) -> Adapter:
    """Start an adapter as PEFT does: A Kaiming-uniform with a = sqrt(5), B zero; from the seed, on the CPU, float32.

    Kaiming-uniform with that slope is the uniform distribution on (-1/sqrt(in), 1/sqrt(in)).
    """
    generator = torch.Generator().manual_seed(seed % 2**63)
    factors = {}
    for target in targets:
        a = torch.empty(rank, target.in_features)
        torch.nn.init.kaiming_uniform_(a, a=5**0.5, generator=generator)
        factors[target.name] = Factors(a, torch.zeros(target.out_features, rank))
    return Adapter(factors, rank, alpha)


def shapes(targets: Sequence[TargetModule], rank: int) -> dict[str, tuple[int, int]]:
    """Give the shape of every tensor that an adapter of this rank has, by its name."""
    named: dict[str, tuple[int, int]] = {}
    for target in targets:
        named[target.name + A_SUFFIX] = (rank, target.in_features)
        named[target.name + B_SUFFIX] = (target.out_features, rank)
    return named
