"""Norm bound: no update is longer than the round's median (Sun et al. 2019, https://arxiv.org/abs/1911.07963).

An organization's update is its product minus the product that was sent, and its length the Frobenius norm over all
modules jointly. The bound is the median of the round's lengths (of an even count the mean of the middle two), so while
most replies are right no others can lift it above the longest right one.

The paper shortens an update by a factor; of a product that would need the rank of both. Here the factors go a part of
the way, x0 + c (x - x0), with x0 the adapter sent. Its update is c L + c^2 Q with L = s (B0 dA + dB A0), Q = s dB dA,
and c is where its length first reaches the bound: all that lies nearer to x0 is within it. How long updates are, the
bound and who is shortened do not depend on the basis of a reply; where on the bound a shortened one lands does, unless
x0 is written in the same basis.

A reply of another rank than the sent adapter is filled up with zeros to the larger of the two, and has it once it is
shortened. Replies keep their weights. f is used for nothing but the number of replies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.aggregation.robust.coordinates import middle
from fedlora_tui.aggregation.robust.defence import ANY, Defence, Defended
from fedlora_tui.aggregation.robust.points import Product, points, product, products
from fedlora_tui.lora.adapter import Adapter, Factors

SLACK = 1e-9
"""By what part an update may be longer than the bound before it counts as longer: rounding shortens nobody."""


def lengths(replies: Sequence[Reply], sent: Adapter) -> Tensor:
    """Give the length of every reply's update; ValueError where a reply has other layers than the sent adapter."""
    rows = points([*products(replies, sent), product(sent)])
    updates: Tensor = rows[:-1] - rows[-1]
    return torch.sqrt(updates.square().sum(dim=1))


def reach(linear: Tensor, square: Tensor, bound: float) -> float:
    """Give the first c in (0, 1) where ||c linear + c^2 square|| is the bound, from below; it is longer at 1.

    The square of that length rises, and falls between its critical points if it has any: a c^2 + 2 b c^3 + q c^4 has
    them where a + 3 b c + 2 q c^2 = 0.
    """
    largest = float(torch.maximum(linear.abs().max(), square.abs().max()))
    linear, square, bound = linear / largest, square / largest, bound / largest
    a, b, q = float(linear @ linear), float(linear @ square), float(square @ square)

    def length(c: float) -> float:
        return float(torch.linalg.vector_norm(c * linear + c * c * square))

    low, high = 0.0, 1.0
    under_root = 9 * b * b - 8 * a * q
    if b < 0 and under_root > 0:
        far = -3 * b + math.sqrt(under_root)
        top, bottom = 2 * a / far, far / (4 * q)
        if top < 1:
            low, high = (0.0, top) if length(top) > bound else (bottom, 1.0)
    while low < (half := (low + high) / 2) < high:
        low, high = (half, high) if length(half) <= bound else (low, half)
    return low


def _shortened(adapter: Adapter, sent: Adapter, bound: float) -> Adapter:
    """Give the adapter on the way from the sent one to another whose update first has the length of the bound."""
    begin = {module: _filled(sent, sent, adapter, module) for module in sent.factors}
    end = {module: _filled(adapter, sent, adapter, module) for module in sent.factors}
    step = {module: Factors(end[module].a - x0.a, end[module].b - x0.b) for module, x0 in begin.items()}
    linear: Product = {
        module: Factors(
            torch.cat([step[module].a, x0.a]),
            sent.scale_of(module) * torch.cat([x0.b, step[module].b], dim=1),
        )
        for module, x0 in begin.items()
    }
    square: Product = {module: Factors(d.a, sent.scale_of(module) * d.b) for module, d in step.items()}
    first, second = points([linear, square])
    c = reach(first, second, bound)
    factors = {
        module: Factors(
            (x0.a + c * step[module].a).to(adapter.factors[module].a.dtype),
            (x0.b + c * step[module].b).to(adapter.factors[module].b.dtype),
        )
        for module, x0 in begin.items()
    }
    # A module that grew keeps the sent scale: its alpha grows with it.
    grown = {
        module: sent.scale_of(module) * each.a.shape[0]
        for module, each in factors.items()
        if each.a.shape[0] != sent.factors[module].a.shape[0]
    }
    return replace(sent, factors=factors, alphas={**sent.alphas, **grown})


def _filled(adapter: Adapter, sent: Adapter, other: Adapter, module: str) -> Factors:
    """Give a module's factors under the sent scale, filled up with zeros to the larger rank of two adapters."""
    a, b = adapter.factors[module].a.double(), adapter.factors[module].b.double()
    missing = max(sent.factors[module].a.shape[0], other.factors[module].a.shape[0]) - a.shape[0]
    b = adapter.scale_of(module) / sent.scale_of(module) * b
    return Factors(
        torch.cat([a, a.new_zeros(missing, a.shape[1])]),
        torch.cat([b, b.new_zeros(b.shape[0], missing)], dim=1),
    )


def _apply(replies: Sequence[Reply], start: Start, byzantine: int) -> Defended:
    long = lengths(replies, start.sent)
    bound = float(middle(long.sort().values))
    over = [float(each) > bound * (1 + SLACK) for each in long]
    return Defended(
        tuple(
            replace(reply, adapter=_shortened(reply.adapter, start.sent, bound)) if too_long else reply
            for reply, too_long in zip(replies, over, strict=True)
        ),
        shortened=tuple(reply.organization for reply, too_long in zip(replies, over, strict=True) if too_long),
    )


NORM_BOUND = Defence("norm-bound", _apply, per_byzantine=2, beyond=1, goes_with=ANY, products=True, unequal_ranks=True)
