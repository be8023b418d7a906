"""FedSVD: B is trained, and a decomposition turns A after every round (Lee et al. 2025, https://arxiv.org/abs/2505.12805).

B = sum p_i B_i under the A that was sent, U Sigma V^T = B A; A' = V^T, B' = U Sigma. The product stays what it was, and
is the mean of the products; A' has orthonormal rows in the span of A's, also where B A has a lower rank than A, so that
gradients of B have a bound. With A^T = Q T only the small B T^T is decomposed. Up travels B alone; down both factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedlora_tui.aggregation.ffa import trains
from fedlora_tui.aggregation.fitting import fitting
from fedlora_tui.aggregation.means import means
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start
from fedlora_tui.lora.adapter import B_SUFFIX, Factors
from fedlora_tui.lora.truncation import completed, filled


def fedsvd(replies: Sequence[Reply], start: Start) -> Aggregated:
    """Average B under the A that was sent, and factor the product anew."""
    weighted = fitting(replies, start.sent)
    mean = means(weighted, trains(start.round))
    factors = {}
    for module, own in weighted[0][1].adapter.factors.items():
        turned = orthonormal(mean[module + B_SUFFIX], start.sent.factors[module].a.double())
        factors[module] = Factors(turned.a.to(own.a.dtype), turned.b.to(own.b.dtype))
    return Aggregated(replace(start.sent, factors=factors))


def orthonormal(b: Tensor, a: Tensor) -> Factors:
    """Factor b [m, r] a [r, n] anew, float64: rows of A orthonormal (as many as n allows), B its singular vectors."""
    q, t = torch.linalg.qr(a.T)
    q_left, t_left = torch.linalg.qr(b @ t.T)
    # All of V, so that there is a row for every direction of A, those whose singular value is nothing included.
    u, values, vt = torch.linalg.svd(t_left, full_matrices=True)
    left = q_left @ u[:, : values.numel()] * values
    return Factors(completed(vt @ q.T, a), filled(left, a.shape[0]))


METHOD = Method("fedsvd", fedsvd, needs="sum", keeps_rank=True, continues=False, trains=trains)
