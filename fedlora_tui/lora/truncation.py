"""Sums of products cut down to a lower rank through their factors, and orthonormal rows filled up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Truncated:
    """The best approximation of a matrix by one of lower rank, `left * values @ right`, in float64.

    `left` [m, k] has orthonormal columns, `right` [k, n] orthonormal rows, `values` [k] fall and are never negative.
    `tail` is the Frobenius norm of what is left out, `whole` that of the matrix.
    """

    left: Tensor
    values: Tensor
    right: Tensor
    tail: float
    whole: float

    @property
    def lost(self) -> float:
        """The relative Frobenius error; 0 where the matrix is nothing."""
        return self.tail / self.whole if self.whole else 0.0


def best_rank(left: Tensor, right: Tensor, rank: int) -> Truncated:
    """Cut the product of `left` [m, R] and `right` [R, n] down to a rank, with the least Frobenius error there is.

    With thin QRs left = Q_L T_L and right^T = Q_R T_R the singular values are those of T_L T_R^T, which is no larger
    than R x R (Eckart and Young 1936). Fewer than `rank` come back where m, n or R is smaller.
    """
    q_left, t_left = torch.linalg.qr(left.double())
    q_right, t_right = torch.linalg.qr(right.double().T)
    u, values, vt = torch.linalg.svd(t_left @ t_right.T, full_matrices=False)
    kept = min(rank, values.numel())
    norm = torch.linalg.vector_norm
    return Truncated(
        q_left @ u[:, :kept],
        values[:kept],
        vt[:kept] @ q_right.T,
        float(norm(values[kept:])),
        float(norm(values)),
    )


def completed(rows: Tensor, fresh: Tensor) -> Tensor:
    """Fill orthonormal rows [k, n] up to as many as `fresh` [r, n] has, in float64: the first k stay as they are.

    The others are fresh's own, made orthonormal to all before them. There are n orthonormal rows at most: those beyond
    are fresh's as they stand, so that no row is zero and every one can be trained.
    """
    have, most = rows.shape[0], min(fresh.shape)
    if have < most:
        # Householder's Q is orthonormal even where fresh rows lie in the span of the others; Gram-Schmidt's is not.
        q = torch.linalg.qr(torch.cat([rows, fresh[have:most].double()]).T).Q
        rows = torch.cat([rows, q.T[have:]])
    return torch.cat([rows, fresh[rows.shape[0] :].double()])


def filled(columns: Tensor, count: int) -> Tensor:
    """Fill a matrix [m, k] up with columns of zeros, to [m, count]."""
    return torch.cat([columns, columns.new_zeros(columns.shape[0], count - columns.shape[1])], dim=1)
