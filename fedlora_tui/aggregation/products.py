"""Norms of sums of products, and how far each organization's update goes with the mean: no m x n matrix is formed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply, shares
from fedlora_tui.aggregation.stacking import Weighted
from fedlora_tui.lora.adapter import Adapter


@dataclass(frozen=True)
class Update:
    """What one organization changed in a round: its Frobenius norm over all modules, and its cosine to the mean update.

    The cosine is nan where either of the two is nothing.
    """

    norm: float
    cosine: float


def product_norm(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Give ||sum_i left_i right_i||_F for left_i [m, r_i] and right_i [r_i, n] without forming an m x n matrix."""
    columns, rows = torch.cat(list(left), dim=1), torch.cat(list(right), dim=0)
    t_left = torch.linalg.qr(columns, mode="r").R
    t_right = torch.linalg.qr(rows.T, mode="r").R
    return float(torch.linalg.matrix_norm(t_left @ t_right.T))


def updates(replies: Sequence[Reply], sent: Adapter, begun: Mapping[str, Adapter] | None = None) -> dict[str, Update]:
    """Compare what each organization changed, U_i = s B_i A_i - (the product it began with), with U = sum_i p_i U_i.

    U is the ideal update, whatever the method made of it. `begun` holds the adapters of organizations that began with
    another than `sent` (a lower rank, a B of their own). Each module's products are written in the bases that QRs of
    the stacked factors give, where norms and inner products are what they were: a small update of a large product loses
    no digits, as it would in differences of traces.
    """
    weighted = shares(replies)
    starts = {reply.organization: (begun or {}).get(reply.organization, sent) for _, reply in weighted}
    norms, dots = dict.fromkeys(starts, 0.0), dict.fromkeys(starts, 0.0)
    mean_square = 0.0
    for module in sent.factors:
        basis = _Basis.of(module, [reply.adapter for _, reply in weighted], list(starts.values()))
        mean = torch.zeros(basis.shape, dtype=torch.float64)
        for (share, _), own in zip(weighted, basis.changes(weighted, starts), strict=True):
            mean += share * own
        mean_square += float((mean**2).sum())
        for (_, reply), own in zip(weighted, basis.changes(weighted, starts), strict=True):
            norms[reply.organization] += float((own**2).sum())
            dots[reply.organization] += float((own * mean).sum())
    length = math.sqrt(mean_square)
    return {
        name: Update(math.sqrt(norms[name]), _cosine(dots[name], math.sqrt(norms[name]) * length)) for name in starts
    }


@dataclass(frozen=True)
class _Basis:
    """The products of several adapters' module in common orthonormal bases, as blocks of two triangular factors."""

    module: str
    left: Tensor
    right: Tensor
    places: Mapping[int, slice]

    @classmethod
    def of(cls, module: str, trained: Sequence[Adapter], starts: Sequence[Adapter]) -> _Basis:
        """Stack every adapter once, whoever begins with it."""
        distinct = {id(adapter): adapter for adapter in [*trained, *starts]}
        columns = [adapter.factors[module].b.double() for adapter in distinct.values()]
        rows = [adapter.factors[module].a.double() for adapter in distinct.values()]
        places, end = {}, 0
        for key, block in zip(distinct, rows, strict=True):
            places[key] = slice(end, end + block.shape[0])
            end += block.shape[0]
        left = torch.linalg.qr(torch.cat(columns, dim=1), mode="r").R
        right = torch.linalg.qr(torch.cat(rows).T, mode="r").R
        return cls(module, left, right, places)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a product as this basis writes it."""
        return self.left.shape[0], self.right.shape[0]

    def changes(self, weighted: Weighted, starts: Mapping[str, Adapter]) -> Iterator[Tensor]:
        """Give what each organization changed, one after the other: all at once would take their number in memory."""
        for _, reply in weighted:
            yield self._product(reply.adapter) - self._product(starts[reply.organization])

    def _product(self, adapter: Adapter) -> Tensor:
        place = self.places[id(adapter)]
        return adapter.scale_of(self.module) * self.left[:, place] @ self.right[:, place].T


def _cosine(dot: float, lengths: float) -> float:
    return max(-1.0, min(1.0, dot / lengths)) if lengths else math.nan
