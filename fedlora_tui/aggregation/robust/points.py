"""Adapters as points: few numbers for each, with the distances that their whole products have.

The update that an adapter stands for is the product s B A of every module, and (B R, R^-1 A) is the same update in
another basis: so distances are those between products, over all modules jointly. Products of one module have columns
in the span of all B and rows in the span of all A. Thin QRs [s B_1 ... s B_K] = Q_L T_L and [A_1; ...; A_K]^T = Q_R T_R
leave of each a small core, T_L,i T_R,i^T, with the same distances. A last QR of all cores, one a column, leaves each
product as a column of at most K numbers.

Distances are then norms of differences, exact to rounding of the products; taken from traces, as ||P_i||^2 + ||P_j||^2
- 2 <P_i, P_j>, those between close products would keep half of the digits. Householder's QR keeps every column's digits
apart, so one huge reply takes none from the others. No m x n matrix is formed, and memory is bounded however many
replies there are: cores are taken a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply
from fedlora_tui.lora.adapter import Adapter, Factors

Product = Mapping[str, Factors]
"""The product b @ a of every module in float64, its scale already in b."""

ROUNDING = 1e-13
"""The part of a product's norm below which a distance is rounding: what is equal in whole products has distance 0."""

MOST_NUMBERS = 2**17
"""How many numbers of cores are taken at a time: 1 MiB, which a processor keeps near; 32 MiB took twice as long."""


def products(replies: Sequence[Reply], beside: Adapter) -> list[Product]:
    """Give each reply's product.

    ValueError, with the organization's name, where a reply's layers are others than those of `beside`; ranks may
    differ, from reply to reply and from module to module.
    """
    layers = _layers(beside)
    for reply in replies:
        if _layers(reply.adapter) != layers:
            raise ValueError(f"{reply.organization}: an adapter of other layers cannot be compared")
    return [product(reply.adapter) for reply in replies]


def product(adapter: Adapter) -> Product:
    """Give the product that an adapter stands for."""
    return {
        module: Factors(factors.a.double(), adapter.scale_of(module) * factors.b.double())
        for module, factors in adapter.factors.items()
    }


def points(given: Sequence[Product]) -> Tensor:
    """Give each product as a row of at most as many numbers as there are products, in float64.

    Norms, inner products and distances of rows are those of the products in the Frobenius norm, all modules jointly,
    to rounding. The coordinates themselves mean nothing. All products must have the same layers.
    """
    flat = torch.zeros(0, len(given), dtype=torch.float64)
    for module in sorted(given[0]):
        for cores in _cores([product[module] for product in given]):
            flat = torch.linalg.qr(torch.cat([flat, cores]), mode="r").R
    return flat.T


def distances(rows: Tensor) -> Tensor:
    """Give the distance of every row from every other; 0 where rounding alone keeps two apart."""
    # torch's faster way for many rows is the difference of squares that this module is there to avoid.
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    norms = rows.norm(dim=1)
    return torch.where(apart > ROUNDING * (norms[:, None] + norms), apart, 0.0)


def between(replies: Sequence[Reply]) -> Tensor:
    """Give the distance between the products of every two replies."""
    return distances(points(products(replies, replies[0].adapter)))


def _cores(factors: Sequence[Factors]) -> Iterator[Tensor]:
    """Give the cores of one module's products, one a column, a few of their rows at a time."""
    left = torch.linalg.qr(torch.cat([each.b for each in factors], dim=1), mode="r").R
    right = torch.linalg.qr(torch.cat([each.a for each in factors]).T, mode="r").R
    ranks = [each.a.shape[0] for each in factors]
    pairs = list(zip(left.split(ranks, dim=1), right.split(ranks, dim=1), strict=True))
    rows = max(1, MOST_NUMBERS // (len(factors) * right.shape[0]))
    for first in range(0, left.shape[0], rows):
        yield torch.stack([(b[first : first + rows] @ a.T).flatten() for b, a in pairs], dim=1)


def _layers(adapter: Adapter) -> dict[str, tuple[int, int]]:
    """Give every layer's outputs and inputs; (-1, -1) where A and B are of different ranks."""
    return {
        module: (factors.b.shape[0], factors.a.shape[1]) if factors.b.shape[1] == factors.a.shape[0] else (-1, -1)
        for module, factors in adapter.factors.items()
    }
