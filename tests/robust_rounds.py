"""Rounds for the tests of defences: replies of random shapes, their whole products, and Flower's view of them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import strategies as st

from fedlora_tui.aggregation.method import Reply, Start
from fedlora_tui.lora.adapter import Adapter, Factors

MODULES = {"h.0": (9, 4), "h.1": (3, 8)}
"""Outputs and inputs: one layer higher than wide, one wider than high."""


def adapter(rng, modules=MODULES, rank=2, alpha=4.0, dtype=torch.float64, size=1.0):
    def drawn(*shape):
        return torch.tensor(size * rng.standard_normal(shape)).to(dtype)

    return Adapter({m: Factors(drawn(rank, i), drawn(o, rank)) for m, (o, i) in modules.items()}, rank, alpha)


def moved(sent, rng, size, toward=None):
    """Train a little: every factor of the sent adapter goes a random way, and with `toward` also a common one."""

    def step(tensor, common):
        return tensor + torch.tensor(size * rng.standard_normal(tuple(tensor.shape))).to(tensor.dtype) + common

    ways = {m: (f.a, f.b) for m, f in toward.factors.items()} if toward else {}
    factors = {
        m: Factors(step(f.a, ways.get(m, (0, 0))[0]), step(f.b, ways.get(m, (0, 0))[1]))
        for m, f in sent.factors.items()
    }
    return replace(sent, factors=factors)


def names(count):
    return [f"org-{index:02}" for index in range(count)]


def replies_of(adapters, weights=None):
    return [
        Reply(name, each, weight)
        for name, each, weight in zip(names(len(adapters)), adapters, weights or [1.0] * len(adapters), strict=True)
    ]


def start(sent):
    return Start(1, sent, lambda: sent)


def dense(one):
    """The definition: the product s B A of every module formed whole, all of them in one row."""
    return np.concatenate(
        [
            (one.alphas.get(m, one.alpha) / f.a.shape[0] * f.b.double().numpy() @ f.a.double().numpy()).ravel()
            for m, f in sorted(one.factors.items())
        ]
    )


def dense_all(replies):
    return np.stack([dense(reply.adapter) for reply in replies])


def dense_distances(replies):
    rows = dense_all(replies)
    return np.linalg.norm(rows[:, None] - rows[None], axis=2)


def raw(one):
    """The factors themselves in one row: what a defence must not measure."""
    return np.concatenate([tensor.double().numpy().ravel() for _, tensor in sorted(one.tensors().items())])


def turned(one, rng):
    """The same update in another basis, (B R, R^-1 A) with a well-conditioned R for every module."""
    factors = {}
    for module, f in one.factors.items():
        rank = f.a.shape[0]
        turn = torch.linalg.qr(torch.tensor(rng.standard_normal((rank, rank)))).Q
        basis = turn * torch.tensor(np.exp(rng.uniform(-1.5, 1.5, rank)))
        factors[module] = Factors(
            torch.linalg.solve(basis, f.a.double()).to(f.a.dtype), (f.b.double() @ basis).to(f.b.dtype)
        )
    return replace(one, factors=factors)


def all_turned(replies, rng):
    return [replace(reply, adapter=turned(reply.adapter, rng)) for reply in replies]


def scaled(one, by):
    """An adapter whose product is `by` times as large."""
    return replace(one, factors={m: Factors(f.a, by * f.b) for m, f in one.factors.items()})


def content(one):
    return {name: tensor.numpy().tobytes() for name, tensor in one.tensors().items()}


def same_bytes(one, other):
    """Whether two outcomes of a defence are the same to the byte."""
    return (
        [(r.organization, r.weight, content(r.adapter)) for r in one.replies]
        == [(r.organization, r.weight, content(r.adapter)) for r in other.replies]
        and (one.left_out, one.shortened) == (other.left_out, other.shortened)
        and (one.adapter is None) == (other.adapter is None)
        and (one.adapter is None or content(one.adapter) == content(other.adapter))
    )


@st.composite
def rounds(draw, least=1, most=9, own_ranks=True):
    """Replies of random shapes (layers wider than high and the other way) and ranks, and the adapter sent to them."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    modules = {
        f"h.{index}": (draw(st.integers(1, 12)), draw(st.integers(1, 12))) for index in range(draw(st.integers(1, 3)))
    }
    rank = draw(st.integers(1, 5))
    sent = adapter(rng, modules, rank)
    adapters = []
    for _ in range(draw(st.integers(least, most))):
        if own_ranks and draw(st.booleans()):
            adapters.append(adapter(rng, modules, draw(st.integers(1, rank)), draw(st.floats(0.5, 32))))
        else:
            adapters.append(moved(sent, rng, draw(st.sampled_from([0.01, 0.1, 1.0]))))
    return replies_of(adapters, [float(weight) for weight in rng.integers(1, 99, len(adapters))]), sent, rng


def record(arrays, weight):
    """What a Flower strategy reads of a reply: named arrays and a weight."""
    from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

    return RecordDict(
        {
            "arrays": ArrayRecord(OrderedDict((key, Array(np.ascontiguousarray(v))) for key, v in arrays.items())),
            "metrics": MetricRecord({"num-examples": weight}),
        }
    )


def factor_records(replies):
    return [record({k: t.numpy() for k, t in r.adapter.tensors().items()}, r.weight) for r in replies]


def product_records(replies):
    return [record({"products": dense(r.adapter)}, r.weight) for r in replies]


def flower_aggregate(strategy, records):
    """Let a Flower strategy aggregate; of a Message it reads no more than its content and whether it is an error."""
    messages = [SimpleNamespace(content=each, has_error=lambda: False) for each in records]
    arrays, _ = strategy.aggregate_train(1, messages)
    return {key: array.numpy() for key, array in arrays.items()}
