"""FedIT: Flower's own weighted average of A and of B, in float64 and in the order of names."""

from __future__ import annotations

import itertools
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fedlora_tui.federation  # noqa: F401  (takes Flower's log handler away)
from fedlora_tui.aggregation import METHODS, Reply, Start, shares
from fedlora_tui.lora.adapter import Adapter, Factors

MODULES = (("h.0.attn", 5, 12), ("h.1.mlp", 7, 3))


def adapter(seed, rank=2, modules=MODULES, alpha=4.0):
    generator = torch.Generator().manual_seed(seed)
    return Adapter(
        {
            name: Factors(
                torch.randn(rank, inputs, generator=generator), torch.randn(outputs, rank, generator=generator)
            )
            for name, inputs, outputs in modules
        },
        rank,
        alpha,
    )


def fedit(sent):
    """FedIT after a round that began with another adapter of the same shapes."""
    return METHODS["fedit"].aggregate(sent, Start(1, adapter(1000), lambda: adapter(1001)))


def replies(*weights):
    return [Reply(f"org-{index}", adapter(index), weight) for index, weight in enumerate(weights)]


def content(result):
    return {name: tensor.numpy().tobytes() for name, tensor in result.tensors().items()}


weights = st.lists(st.integers(0, 10**7), min_size=1, max_size=6).filter(any)


@given(weights)
def test_fedit_is_flowers_own_average_of_the_same_replies(given_weights):
    from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
    from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

    sent = replies(*given_weights)
    records = [
        RecordDict(
            {
                "arrays": ArrayRecord(OrderedDict((k, Array(v.numpy())) for k, v in r.adapter.tensors().items())),
                "metrics": MetricRecord({"num-examples": r.weight}),
            }
        )
        for r in sent
    ]
    flowers = aggregate_arrayrecords(records, "num-examples")
    ours = fedit(sent).adapter.tensors()
    assert list(ours) == list(flowers)
    for name, tensor in ours.items():
        np.testing.assert_allclose(tensor.numpy(), flowers[name].numpy(), rtol=0, atol=2e-6)
        assert tensor.dtype == torch.float32


@given(weights)
def test_fedit_is_the_mean_in_float64_rounded_once(given_weights):
    sent = replies(*given_weights)
    ours = fedit(sent).adapter
    for name, tensor in ours.tensors().items():
        stacked = np.stack([reply.adapter.tensors()[name].numpy().astype(np.float64) for reply in sent])
        mean = np.average(stacked, axis=0, weights=np.array(given_weights, dtype=np.float64))
        np.testing.assert_allclose(tensor.numpy(), mean, rtol=6.1e-8, atol=1e-14)
    assert (ours.rank, ours.alpha) == (2, 4.0)


def test_the_order_of_replies_changes_no_byte():
    sent = replies(3, 1, 10, 7)
    first = content(fedit(sent).adapter)
    assert all(content(fedit(list(order)).adapter) == first for order in itertools.permutations(sent))


def test_an_organization_of_weight_zero_changes_no_byte():
    sent = replies(3, 1, 10)
    nobody = Reply("aaa", adapter(99), 0)
    assert content(fedit([nobody, *sent]).adapter) == content(fedit(sent).adapter)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=7))
def test_equal_organizations_give_the_organization(given_weights):
    same = [Reply(f"org-{index}", adapter(5), weight) for index, weight in enumerate(given_weights)]
    assert content(fedit(same).adapter) == content(adapter(5))


def test_the_replies_stay_as_they_were():
    sent = replies(3, 1)
    before = [content(reply.adapter) for reply in sent]
    fedit(sent)
    assert [content(reply.adapter) for reply in sent] == before


@pytest.mark.parametrize(
    "other",
    [
        adapter(9, rank=3),
        adapter(9, modules=MODULES[:1]),
        adapter(9, modules=(*MODULES, ("h.2", 2, 2))),
        # Of the same rank by name, but a factor that would broadcast.
        Adapter({n: Factors(f.a[:1], f.b[:, :1]) for n, f in adapter(9).factors.items()}, 2, 4.0),
        Adapter({n: Factors(f.a, f.b[:1]) for n, f in adapter(9).factors.items()}, 2, 4.0),
    ],
    ids=["rank", "fewer modules", "more modules", "rank 1 inside", "one row of B"],
)
@pytest.mark.parametrize("first", [True, False])
def test_adapters_that_do_not_fit_together_are_refused(other, first):
    name = "aaa" if first else "zzz"
    with pytest.raises(ValueError, match=f"^{name}: an adapter"):
        fedit([*replies(1, 1), Reply(name, other, 1)])


def test_shares_add_up_in_the_order_of_names_and_refuse_what_has_no_mean():
    given_shares = shares([Reply("b", adapter(1), 3), Reply("a", adapter(2), 1)])
    assert [(share, reply.organization) for share, reply in given_shares] == [(0.25, "a"), (0.75, "b")]
    for bad in ([], replies(0, 0), replies(-1, 3), replies(float("nan"), 1)):
        with pytest.raises(ValueError, match="nothing to take a mean of"):
            shares(bad)
