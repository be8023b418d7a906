"""Rounds of replies for the tests of aggregation: random shapes, ranks and weights, and the dense definitions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import strategies as st

from fedlora_tui.aggregation import Aggregated, Reply, Start, shares
from fedlora_tui.lora.adapter import Adapter, Factors


@dataclass(frozen=True)
class Shape:
    """Modules as (outputs, inputs, rank of their own or 0, alpha of their own or 0), and the common rank and alpha."""

    modules: tuple[tuple[int, int, int, float], ...]
    rank: int
    alpha: float


def random_adapter(shape, rng, dtype=torch.float64, rank=None):
    """Random factors; with `rank`, modules without a rank of their own have that one, and the same scale."""
    rank = rank or shape.rank
    factors, alphas = {}, {}
    for index, (outputs, inputs, own, alpha) in enumerate(shape.modules):
        rows = own or rank
        factors[f"h.{index}"] = Factors(
            torch.tensor(rng.standard_normal((rows, inputs)), dtype=dtype),
            torch.tensor(rng.standard_normal((outputs, rows)), dtype=dtype),
        )
        if alpha:
            alphas[f"h.{index}"] = alpha if own else alpha * rank / shape.rank
        elif own and rank != shape.rank:
            alphas[f"h.{index}"] = shape.alpha
    return Adapter(factors, rank, shape.alpha * rank / shape.rank, alphas)


def a_round(shape, weights, seed, ranks=(), dtype=torch.float64, number=1):
    """Replies and the start of their round; `ranks` are those of the first organizations."""
    rng = np.random.default_rng(seed)
    sent, anew = random_adapter(shape, rng, dtype), random_adapter(shape, rng, dtype)
    anew = with_factors(anew, lambda module, own: Factors(own.a, torch.zeros_like(own.b)))
    adapters = [
        random_adapter(shape, rng, dtype, ranks[index] if index < len(ranks) else None) for index in range(len(weights))
    ]
    replies = [
        Reply(f"org-{i}", adapter, weight) for i, (adapter, weight) in enumerate(zip(adapters, weights, strict=True))
    ]
    return replies, Start(number, sent, lambda: anew)


sides = st.tuples(st.integers(1, 9), st.integers(1, 9))


@st.composite
def shapes(draw):
    modules = tuple(
        (m, n, draw(st.sampled_from([0, 0, 1, 2, 4])), draw(st.sampled_from([0, 0, 0.5, 3.0])))
        for m, n in draw(st.lists(sides, min_size=1, max_size=3))
    )
    return Shape(modules, draw(st.integers(1, 5)), draw(st.sampled_from([0.5, 1.0, 6.0, 7.3, 16.0])))


weights = st.lists(st.integers(0, 10**6), min_size=1, max_size=5).filter(any)


@st.composite
def rounds(draw, unequal=False):
    """Replies and a start, float64; `unequal` ranks are at most that of the adapter sent."""
    shape, given = draw(shapes()), draw(weights)
    ranks = draw(st.lists(st.integers(1, shape.rank), max_size=len(given))) if unequal else ()
    return a_round(shape, given, draw(st.integers(0, 10**6)), ranks)


# One round that every mutant is tried on: layers wider than high and the other way, ranks and alphas of their own.
SHAPE = Shape(((9, 4, 0, 0), (3, 8, 2, 0), (7, 6, 0, 3.0)), 3, 6.0)
WEIGHTS = (3, 1, 10, 7)


def with_factors(adapter, change):
    """The adapter with every module's factors as `change(module, factors)` gives them."""
    return replace(adapter, factors={module: change(module, own) for module, own in adapter.factors.items()})


def sharing(given_round, factor):
    """The round in which every reply has the adapter sent's A (or B), as where that one was frozen."""
    replies, start = given_round

    def frozen(module, own):
        sent = start.sent.factors[module]
        return Factors(sent.a, own.b) if factor == "A" else Factors(own.a, sent.b)

    return [replace(reply, adapter=with_factors(reply.adapter, frozen)) for reply in replies], start


def as_dtype(given_round, dtype):
    """The same round in another number format."""
    replies, start = given_round

    def rounded(adapter):
        return with_factors(adapter, lambda module, own: Factors(own.a.to(dtype), own.b.to(dtype)))

    return (
        [replace(reply, adapter=rounded(reply.adapter)) for reply in replies],
        Start(start.round, rounded(start.sent), lambda: rounded(start.anew)),
    )


def dense(adapter):
    """Every module's update as a whole matrix, by the definition alpha / rank * B A."""
    return {
        module: adapter.alphas.get(module, adapter.alpha)
        / own.a.shape[0]
        * own.b.double().numpy()
        @ own.a.double().numpy()
        for module, own in adapter.factors.items()
    }


def dense_ideal(replies):
    """The mean of the products."""
    total = sum(reply.weight for reply in replies)
    updates = [(reply.weight / total, dense(reply.adapter)) for reply in replies]
    return {module: sum(share * update[module] for share, update in updates) for module in updates[0][1]}


def dense_made(aggregated):
    """What the next round starts from: the adapter's product and what joined the base."""
    made = dense(aggregated.adapter)
    for module, own in aggregated.delta.items():
        made[module] = made[module] + own.b.double().numpy() @ own.a.double().numpy()
    return made


def apart(one, other):
    """||one - other|| / ||other|| over all modules jointly."""
    lost = sum(float(((one[module] - other[module]) ** 2).sum()) for module in other)
    return (lost / sum(float((value**2).sum()) for value in other.values())) ** 0.5


def mean_of(replies, module, factor):
    """numpy's own weighted mean of one factor."""
    stack = np.stack([getattr(reply.adapter.factors[module], factor).double().numpy() for reply in replies])
    return np.average(stack, axis=0, weights=[float(reply.weight) for reply in replies])


def content(adapter):
    return {
        name: (tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes())
        for name, tensor in adapter.tensors().items()
    }


def whole_content(aggregated: Aggregated):
    """Every byte of a result."""
    delta = {m: content(Adapter({m: own}, own.a.shape[0], 1.0)) for m, own in aggregated.delta.items()}
    return content(aggregated.adapter), delta, {name: content(own) for name, own in aggregated.own.items()}


def positive(replies):
    """Shares and replies that count."""
    return [(share, reply) for share, reply in shares(replies) if share > 0]
