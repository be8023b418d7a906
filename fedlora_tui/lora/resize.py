"""An adapter made over to another rank: larger without a change of any product, smaller with the least error."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora_tui.lora.adapter import Adapter, Factors, TargetModule, alpha_at, initial, own_ranked
from fedlora_tui.lora.truncation import Truncated, best_rank, completed, filled


@dataclass(frozen=True)
class Resized:
    """An adapter of another rank, and the share of its update that was lost: Frobenius, over all modules jointly."""

    adapter: Adapter
    lost: float


def resize(adapter: Adapter, rank: int, seed: int, keep: Collection[str] | None = None) -> Resized:
    """Make an adapter over to another rank; every module's scale stays, so alpha moves with the rank.

    Up, the factors keep their bytes: A gets Kaiming-uniform rows as at the start, from the seed, B columns of zeros.
    (Zeros in both would have no gradient, ever.) Down, each product becomes its best approximation, A orthonormal.
    `keep` names modules that stay at a rank of their own; left out, those whose rank is not the adapter's. ValueError
    where the rank is not positive.
    """
    if rank < 1:
        raise ValueError(f"rank {rank}: an adapter has a rank of 1 or more")
    generator = torch.Generator().manual_seed(seed % 2**63)
    stay = adapter.ranks if keep is None else keep
    factors: dict[str, Factors] = {}
    cuts: dict[str, Truncated] = {}
    for module, own in adapter.factors.items():
        if module in stay or own.a.shape[0] == rank:
            factors[module] = own
        elif own.a.shape[0] < rank:
            fresh = _fresh(rank - own.a.shape[0], own.a, generator)
            factors[module] = Factors(torch.cat([own.a, fresh]), filled(own.b, rank))
        else:
            cut = cuts[module] = best_rank(own.b, own.a, rank)
            a = completed(cut.right, _fresh(rank, own.a, generator))
            factors[module] = Factors(a.to(own.a.dtype), filled(cut.left * cut.values, rank).to(own.b.dtype))
    return Resized(_at_rank(adapter, factors, rank), _lost(adapter, cuts))


def started(targets: Sequence[TargetModule], rank: int, alpha: float, seed: int, wanted: int) -> Adapter:
    """Start an adapter at a rank other than the one that alpha is meant for; every scale stays, and rows in common too.

    ValueError where `wanted` is no rank.
    """
    start = initial(targets, rank, alpha, seed)
    keep = own_ranked(targets)
    return resize(start, wanted, seed, keep).adapter if wanted > rank else first_rows(start, wanted, keep)


def first_rows(adapter: Adapter, rank: int, keep: Collection[str] | None = None) -> Adapter:
    """Give an organization of a lower rank its part of the global adapter: the first rows of A and columns of B.

    Every module's scale stays. `keep` is as for `resize`; a module that has no more rows than that stays whole.
    """
    stay, rank = adapter.ranks if keep is None else keep, min(rank, adapter.rank)
    factors = {
        module: own if module in stay else Factors(own.a[:rank].clone(), own.b[:, :rank].clone())
        for module, own in adapter.factors.items()
    }
    return _at_rank(adapter, factors, rank)


def _lost(adapter: Adapter, cuts: Mapping[str, Truncated]) -> float:
    """Give the relative error of all modules jointly, of which those in `cuts` lost something."""
    tail = whole = 0.0
    for module, own in adapter.factors.items() if cuts else ():
        scale = adapter.scale_of(module)
        cut = cuts.get(module) or best_rank(own.b, own.a, own.a.shape[0])
        whole += (scale * cut.whole) ** 2
        tail += (scale * cut.tail) ** 2
    return math.sqrt(tail / whole) if whole else 0.0


def _fresh(rows: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw rows of A as `lora.adapter.initial` does."""
    a = torch.empty(rows, like.shape[1])
    return torch.nn.init.kaiming_uniform_(a, a=5**0.5, generator=generator).to(like.dtype)


def _at_rank(adapter: Adapter, factors: Mapping[str, Factors], rank: int) -> Adapter:
    """Put factors under another rank, with alphas that leave every module's scale as it was."""
    alpha = alpha_at(adapter.alpha, adapter.rank, rank)
    alphas: dict[str, float] = {}
    for module, own in factors.items():
        before = adapter.factors[module].a.shape[0]
        wanted = alpha_at(adapter.alphas.get(module, adapter.alpha), before, own.a.shape[0])
        if module in adapter.alphas or wanted != alpha:
            alphas[module] = wanted
    return Adapter(factors, rank, alpha, alphas)
