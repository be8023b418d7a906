"""Drift: the share of the ideal update that a method loses in a round.

drift = ||I - P||_F / ||I||_F over all modules jointly, where I = sum_i p_i s B_i A_i is the mean of the products and
P the product that the next round starts from. Both are kept as stacks of factors: with L = [p_i s B_i ..., -s B'] and
R = [A_i; ...; A'], I - P = L R, and for thin QRs L = Q_L T_L, R^T = Q_R T_R the norm is ||T_L T_R^T||_F. No m x n
matrix is formed, and no two large traces are subtracted (that would leave an error of about 1e-4 of the norm).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply, shares
from fedlora_tui.lora.adapter import Adapter


def drift(replies: Sequence[Reply], following: Adapter) -> float:
    """Give the drift of a round; 0 where the ideal update is nothing and none was lost, nan where it is lost wholly."""
    weighted = shares(replies)
    lost, ideal = 0.0, 0.0
    for module, next_factors in following.factors.items():
        left = [
            share * reply.adapter.scale_of(module) * reply.adapter.factors[module].b.double()
            for share, reply in weighted
        ]
        right = [reply.adapter.factors[module].a.double() for _, reply in weighted]
        ideal += product_norm(left, right) ** 2
        after = -following.scale_of(module) * next_factors.b.double()
        lost += product_norm([*left, after], [*right, next_factors.a.double()]) ** 2
    if ideal == 0:
        return 0.0 if lost == 0 else math.nan
    return math.sqrt(lost / ideal)


def product_norm(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Give ||sum_i left_i right_i||_F for left_i [m, r_i] and right_i [r_i, n] without forming an m x n matrix."""
    columns, rows = torch.cat(list(left), dim=1), torch.cat(list(right), dim=0)
    t_left = torch.linalg.qr(columns, mode="r").R
    t_right = torch.linalg.qr(rows.T, mode="r").R
    return float(torch.linalg.matrix_norm(t_left @ t_right.T))
