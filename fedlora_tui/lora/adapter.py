"""An adapter as named factors with one rank and one alpha: how it starts, what it weighs, how it compares."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

A_SUFFIX = ".lora_A.weight"
B_SUFFIX = ".lora_B.weight"
"""PEFT's own names of the two factors, so that an adapter's tensors are called the same everywhere."""

SUFFIXES = {"A": A_SUFFIX, "B": B_SUFFIX}

BOTH = frozenset(SUFFIXES)
"""The two factors, as a method names those that it trains or sends."""


def is_one_of(name: str, factors: Collection[str]) -> bool:
    """Tell whether a tensor's name is that of one of some factors ("A", "B")."""
    return any(name.endswith(SUFFIXES[factor]) for factor in factors)


@dataclass(frozen=True)
class TargetModule:
    """A layer of the base that carries an adapter; `transposed` is GPT-2's Conv1D, whose weight is [in, out].

    `rank` and `alpha` are what lora.rank_pattern and lora.alpha_pattern say of it; None where they say nothing.
    """

    name: str
    in_features: int
    out_features: int
    transposed: bool
    rank: int | None = None
    alpha: float | None = None


@dataclass(frozen=True)
class Factors:
    """LoRA's A [rank, in_features] and B [out_features, rank] of one target module."""

    a: Tensor
    b: Tensor


@dataclass(frozen=True)
class Adapter:
    """The factors of every target module, by its name, under one rank and one alpha.

    The update of a weight is `scale * B @ A` (Hu et al. 2021, https://arxiv.org/abs/2106.09685). Some modules may have
    another rank (that of their factors) or another alpha (in `alphas`). As in PEFT's rank_pattern and alpha_pattern a
    module's scale is its own alpha over its own rank: half the rank under the same alpha is twice the scale.
    """

    factors: Mapping[str, Factors]
    rank: int
    alpha: float
    alphas: Mapping[str, float] = field(default_factory=dict)

    @property
    def scale(self) -> float:
        """What the product B A is scaled by in every module that has no rank or alpha of its own."""
        return self.alpha / self.rank

    def scale_of(self, module: str) -> float:
        """What the product B A of one module is scaled by."""
        return self.alphas.get(module, self.alpha) / self.factors[module].a.shape[0]

    @property
    def ranks(self) -> dict[str, int]:
        """The rank of every module that has one of its own."""
        ranks = {module: factors.a.shape[0] for module, factors in self.factors.items()}
        return {module: rank for module, rank in ranks.items() if rank != self.rank}

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


def with_b_of(adapter: Adapter, other: Adapter) -> Adapter:
    """Give an adapter with another's B beside its own A."""
    factors = {module: Factors(own.a, other.factors[module].b) for module, own in adapter.factors.items()}
    return replace(adapter, factors=factors)


def from_tensors(
    tensors: Mapping[str, Tensor], rank: int, alpha: float, alphas: Mapping[str, float] | None = None
) -> Adapter:
    """Build an adapter from the names that `tensors` gives; KeyError where a factor has no partner."""
    modules = [name[: -len(A_SUFFIX)] for name in tensors if name.endswith(A_SUFFIX)]
    factors = {module: Factors(tensors[module + A_SUFFIX], tensors[module + B_SUFFIX]) for module in modules}
    return Adapter(factors, rank, alpha, alphas or {})


def initial(targets: Sequence[TargetModule], rank: int, alpha: float, seed: int) -> Adapter:
    """Start an adapter as PEFT does: A Kaiming-uniform with a = sqrt(5), B zero; from the seed, on the CPU, float32.

    Kaiming-uniform with that slope is the uniform distribution on (-1/sqrt(in), 1/sqrt(in)).
    """
    generator = torch.Generator().manual_seed(seed % 2**63)
    factors = {}
    for target in targets:
        own = target.rank or rank
        a = torch.empty(own, target.in_features)
        torch.nn.init.kaiming_uniform_(a, a=5**0.5, generator=generator)
        factors[target.name] = Factors(a, torch.zeros(target.out_features, own))
    return Adapter(factors, rank, alpha, own_alphas(targets))


def shapes(targets: Sequence[TargetModule], rank: int) -> dict[str, tuple[int, int]]:
    """Give the shape of every tensor that an adapter of this rank has, by its name."""
    named: dict[str, tuple[int, int]] = {}
    for target in targets:
        own = target.rank or rank
        named[target.name + A_SUFFIX] = (own, target.in_features)
        named[target.name + B_SUFFIX] = (target.out_features, own)
    return named


def own_ranked(targets: Sequence[TargetModule]) -> frozenset[str]:
    """Name the modules that have a rank of their own, which no change of the adapter's rank touches."""
    return frozenset(target.name for target in targets if target.rank is not None)


def own_alphas(targets: Sequence[TargetModule]) -> dict[str, float]:
    """Give the alpha of every module that has one of its own, by its name."""
    return {target.name: target.alpha for target in targets if target.alpha is not None}


def alpha_at(alpha: float, before: int, now: int) -> float:
    """Move an alpha along from one rank to another, so that the scale stays."""
    return alpha if now == before else alpha * now / before
