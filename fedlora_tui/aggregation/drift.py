"""Drift: the share of the ideal update that a method loses in a round.

drift = ||I - P||_F / ||I||_F over all modules jointly, where I = sum_i p_i s B_i A_i is the mean of the products and
P what the next round starts from beyond the base of this one: the product of the aggregated adapter and what joins the
base. Where organizations go on from adapters of their own, P is the mean of their products. All are kept as stacks of
factors: with L = [p_i s B_i ..., -s B'] and R = [A_i; ...; A'], I - P = L R, and for thin QRs L = Q_L T_L and
R^T = Q_R T_R the norm is ||T_L T_R^T||_F. No m x n matrix is formed, and no two large traces are subtracted (that would
leave an error of about 1e-4 of the norm).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Aggregated, Reply, shares
from fedlora_tui.aggregation.products import Product, product_norms
from fedlora_tui.aggregation.stacking import Weighted, stacked_a, stacked_b


@dataclass(frozen=True)
class Loss:
    """Of one module: ||I - P||_F and ||I||_F."""

    lost: float
    ideal: float


def drift(replies: Sequence[Reply], aggregated: Aggregated) -> float:
    """Give the drift of a round; 0 where the ideal update is nothing and none was lost, nan where it is lost wholly."""
    return ratio(losses(replies, aggregated).values())


def drift_by_module(replies: Sequence[Reply], aggregated: Aggregated) -> dict[str, float]:
    """Give the drift of each module by itself, as `drift` does of all."""
    return {module: ratio([loss]) for module, loss in losses(replies, aggregated).items()}


def losses(replies: Sequence[Reply], aggregated: Aggregated, threads: int = 1) -> dict[str, Loss]:
    """Measure every module once, for who wants both the drift and that of each module.

    `threads` factorize at once. ValueError where the replies have no mean; KeyError where one lacks a module of the
    aggregated adapter.
    """
    weighted = [(share, reply) for share, reply in shares(replies) if share > 0]
    modules = list(aggregated.adapter.factors)

    def products() -> Iterator[Product]:
        for module in modules:
            columns, rows, ideal = _left_of_ideal(weighted, aggregated, module)
            yield [columns], [rows]
            yield [columns[:, :ideal]], [rows[:ideal]]

    norms = product_norms(products(), threads)
    return {module: Loss(lost=lost, ideal=next(norms)) for module, lost in zip(modules, norms, strict=False)}


def ratio(parts: Iterable[Loss]) -> float:
    """Give the drift over some modules jointly."""
    lost = ideal = 0.0
    for part in parts:
        lost += part.lost**2
        ideal += part.ideal**2
    if ideal == 0:
        return 0.0 if lost == 0 else math.nan
    return math.sqrt(lost / ideal)


def _left_of_ideal(weighted: Weighted, aggregated: Aggregated, module: str) -> tuple[Tensor, Tensor, int]:
    """Give L and R of I - P of one module, and how many of their columns and rows are I's, which stand first."""
    following = [(1.0, aggregated.adapter)]
    if aggregated.own:
        following = [(share, aggregated.own.get(r.organization, aggregated.adapter)) for share, r in weighted]
    replied = [(share, reply.adapter) for share, reply in weighted]
    both = [*replied, *((-share, adapter) for share, adapter in following)]
    columns, rows = stacked_b(both, module), stacked_a(both, module)
    if module in aggregated.delta:
        columns = torch.cat([columns, -aggregated.delta[module].b.double()], dim=1)
        rows = torch.cat([rows, aggregated.delta[module].a.double()])
    return columns, rows, sum(adapter.factors[module].a.shape[0] for _, adapter in replied)
