"""Norms of sums of products, and how far each organization's update goes with the mean: no m x n matrix is formed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply, shares
from fedlora_tui.aggregation.stacking import Weighted
from fedlora_tui.aggregation.triangles import triangles
from fedlora_tui.lora.adapter import Adapter

MOST_KEPT = 2**22
"""Numbers of one module's changes that are held at once: 32 MiB of them."""


@dataclass(frozen=True)
class Update:
    """What one organization changed in a round: its Frobenius norm over all modules, and its cosine to the mean update.

    The cosine is nan where either of the two is nothing. `modules` has both for each module alone.
    """

    norm: float
    cosine: float
    modules: Mapping[str, tuple[float, float]] = field(default_factory=dict)


Product = tuple[Sequence[Tensor], Sequence[Tensor]]
"""sum_i left_i right_i for left_i [m, r_i] and right_i [r_i, n], as the two sequences."""


def product_norm(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Give ||sum_i left_i right_i||_F without forming an m x n matrix."""
    return next(product_norms([(left, right)]))


def product_norms(products: Iterable[Product], threads: int = 1) -> Iterator[float]:
    """Give the norm of each such product; `threads` factorize at once."""
    both = (side for left, right in products for side in (_joined(left, 1), _joined(right, 0).T))
    found = triangles(both, threads)
    for t_left in found:
        yield float(torch.linalg.matrix_norm(t_left @ next(found).T))


def updates(
    replies: Sequence[Reply], sent: Adapter, begun: Mapping[str, Adapter] | None = None, threads: int = 1
) -> dict[str, Update]:
    """Compare what each organization changed, U_i = s B_i A_i - (the product it began with), with U = sum_i p_i U_i.

    U is the ideal update, whatever the method made of it. `begun` holds the adapters of organizations that began with
    another than `sent` (a lower rank, a B of their own). Each module's products are written in the bases that QRs of
    the stacked factors give, where norms and inner products are what they were: a small update of a large product loses
    no digits, as it would in differences of traces. `threads` factorize at once.
    """
    weighted = shares(replies)
    starts = {reply.organization: (begun or {}).get(reply.organization, sent) for _, reply in weighted}
    norms, dots = dict.fromkeys(starts, 0.0), dict.fromkeys(starts, 0.0)
    modules: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in starts}
    mean_square = 0.0
    for basis in _bases(list(sent.factors), [*(reply.adapter for _, reply in weighted), *starts.values()], threads):
        parts = basis.changes(weighted, starts)
        mean = torch.zeros(basis.shape, dtype=torch.float64)
        for own in parts():
            for (share, _), change in zip(own.weighted, own.changes, strict=True):
                mean += share * change
        here = float((mean**2).sum())
        mean_square += here
        for own in parts():
            squares, inner = (own.changes**2).sum((1, 2)).tolist(), (own.changes * mean).sum((1, 2)).tolist()
            for (_, reply), square, dot in zip(own.weighted, squares, inner, strict=True):
                norms[reply.organization] += square
                dots[reply.organization] += dot
                modules[reply.organization][basis.module] = math.sqrt(square), _cosine(dot, math.sqrt(square * here))
    length = math.sqrt(mean_square)
    return {
        name: Update(math.sqrt(square), _cosine(dots[name], math.sqrt(square) * length), modules[name])
        for name, square in norms.items()
    }


def _joined(parts: Sequence[Tensor], side: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=side)


@dataclass(frozen=True)
class _Some:
    """What some of the organizations changed in a module, [organizations, ...]."""

    weighted: Weighted
    changes: Tensor


@dataclass(frozen=True)
class _Basis:
    """The products of several adapters' module in common orthonormal bases, as blocks of two triangular factors."""

    module: str
    left: Tensor
    right: Tensor
    places: Mapping[int, slice]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a product as this basis writes it."""
        return self.left.shape[0], self.right.shape[0]

    def changes(self, weighted: Weighted, starts: Mapping[str, Adapter]) -> Callable[[], Iterable[_Some]]:
        """Give a way to what all organizations changed: a few are kept, of many all would take much memory at once."""
        share = max(1, MOST_KEPT // (self.shape[0] * self.shape[1]))
        some = [weighted[at : at + share] for at in range(0, len(weighted), share)]
        if len(some) == 1:
            kept = [self._changes(weighted, starts)]
            return lambda: kept
        return lambda: (self._changes(own, starts) for own in some)

    def _changes(self, weighted: Weighted, starts: Mapping[str, Adapter]) -> _Some:
        began: dict[int, Tensor] = {}
        found = torch.empty(len(weighted), *self.shape, dtype=torch.float64)
        for own, (_, reply) in zip(found, weighted, strict=True):
            start = starts[reply.organization]
            if id(start) not in began:
                began = {id(start): self._product(start)}
            torch.sub(self._product(reply.adapter), began[id(start)], out=own)
        return _Some(weighted, found)

    def _product(self, adapter: Adapter) -> Tensor:
        place = self.places[id(adapter)]
        return adapter.scale_of(self.module) * self.left[:, place] @ self.right[:, place].T


def _bases(modules: Sequence[str], adapters: Sequence[Adapter], threads: int) -> Iterator[_Basis]:
    """Give the basis of each module; every adapter is stacked once, whoever begins with it."""
    distinct = list({id(adapter): adapter for adapter in adapters}.values())

    def sides() -> Iterator[Tensor]:
        for module in modules:
            yield torch.cat([adapter.factors[module].b for adapter in distinct], dim=1).double()
            yield torch.cat([adapter.factors[module].a for adapter in distinct]).double().T

    found = triangles(sides(), threads)
    for module, left in zip(modules, found, strict=False):
        ends = list(accumulate((adapter.factors[module].a.shape[0] for adapter in distinct), initial=0))
        places = {id(adapter): slice(*ends[at : at + 2]) for at, adapter in enumerate(distinct)}
        yield _Basis(module, left, next(found), places)


def _cosine(dot: float, lengths: float) -> float:
    return max(-1.0, min(1.0, dot / lengths)) if lengths else math.nan
