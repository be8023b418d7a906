"""Replies taken in one by one come to what they come to together, whatever their order; what that leaves unknown."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.aggregation import METHODS, shares, streaming
from fedlora_tui.aggregation.drift import losses
from fedlora_tui.aggregation.products import updates
from fedlora_tui.aggregation.streaming import Intake, streams
from fedlora_tui.engine.one_by_one import Taking, impossible, one_by_one, unstreamable
from fedlora_tui.federation.messages import Refused, TrainReply
from fedlora_tui.lora.adapter import Factors
from fedlora_tui.privacy.clipping import Limit
from fedlora_tui.privacy.noise import Seeded
from fedlora_tui.privacy.summing import Terms, noised_mean
from tests.federations import SHAPE, WEIGHTS, a_round, as_dtype, content, random_adapter, rounds, sharing, with_factors
from tests.tiny_runs import configured

STREAMED = sorted(name for name, method in METHODS.items() if streams(method))
FROZEN = {("fedit", 1): "", ("fedit", 2): "", ("rolora", 2): "B"}
"""Which factor a round does not train; A where nothing stands here."""

every_round = pytest.mark.parametrize(("name", "number"), [(name, number) for name in STREAMED for number in (1, 2)])


def as_trained(given_round, name, number):
    """The round as organizations answer it, in float32: what is not trained comes back as it was sent."""
    replies, start = as_dtype(given_round, torch.float32)
    frozen = FROZEN.get((name, number), "A")
    replies, start = sharing((replies, start), frozen) if frozen else (replies, start)
    return replies, replace(start, round=number)


def taken(name, given_round, order=None):
    replies, start = given_round
    intake = Intake(METHODS[name], start)
    for place in order or range(len(replies)):
        intake.add(replies[place])
    return intake


def test_methods_that_need_a_sum_alone_can_be_streamed():
    assert STREAMED == ["fedit", "fedsvd", "ffa", "rolora"]


@every_round
@given(rounds(), st.randoms())
@settings(max_examples=25)
def test_one_by_one_in_any_order_gives_the_bytes_of_all_together(name, number, given_round, random):
    given_round = as_trained(given_round, name, number)
    replies, start = given_round
    order = list(range(len(replies)))
    random.shuffle(order)
    assert content(taken(name, given_round, order).finish().adapter) == content(
        METHODS[name].aggregate(replies, start).adapter
    )


@every_round
def test_drift_norms_and_shares_are_those_of_all_together(name, number):
    given_round = as_trained(a_round(SHAPE, (*WEIGHTS, 0), 8), name, number)
    replies, start = given_round
    intake = taken(name, given_round, (3, 1, 4, 0, 2))
    aggregated = METHODS[name].aggregate(replies, start)
    expected = losses(replies, aggregated)
    for module, found in intake.losses(aggregated).items():
        assert found.ideal == pytest.approx(expected[module].ideal, rel=1e-12)
        assert found.lost == pytest.approx(expected[module].lost, rel=1e-9, abs=1e-12)
    whole = updates(replies, start.sent)
    for organization, found in intake.updates.items():
        assert found.norm == pytest.approx(whole[organization].norm, rel=1e-9)
        assert math.isnan(found.cosine)
        for module, (norm, cosine) in found.modules.items():
            assert norm == pytest.approx(whole[organization].modules[module][0], rel=1e-9)
            assert math.isnan(cosine)
    assert intake.shares() == [(share, reply.organization) for share, reply in shares(replies)]


def test_where_both_factors_train_and_products_are_too_large_to_hold_there_is_no_drift(monkeypatch):
    monkeypatch.setattr(streaming, "MOST_IDEAL", 100)
    whole = as_trained(a_round(SHAPE, WEIGHTS, 8), "fedit", 1)
    intake = taken("fedit", whole)
    assert intake.losses(intake.finish()) is None
    frozen = taken("ffa", as_trained(a_round(SHAPE, WEIGHTS, 8), "ffa", 1))
    assert frozen.losses(frozen.finish()) is not None


def test_a_reply_that_does_not_fit_or_comes_twice_is_refused_and_nothing_of_it_is_taken():
    given_round = as_trained(a_round(SHAPE, WEIGHTS, 8), "fedit", 1)
    replies, start = given_round
    taking = Taking(METHODS["fedit"], start, None)

    def reply(place, adapter=None):
        return TrainReply(adapter or replies[place].adapter, replies[place].weight, 1.0, 4, 1)

    for place, own in enumerate(replies):
        taking.take(own.organization, reply(place))
    narrow = random_adapter(SHAPE, np.random.default_rng(1), torch.float32, rank=2)
    with pytest.raises(Refused, match=r"someone: an adapter whose h\.0 has A"):
        taking.take("someone", reply(0, narrow))
    with pytest.raises(Refused, match="replied before"):
        taking.take(replies[1].organization, reply(2))
    assert content(taking.made(None).adapter) == content(METHODS["fedit"].aggregate(replies, start).adapter)


@pytest.mark.parametrize("name", STREAMED)
def test_under_a_protection_it_is_the_noised_mean_of_all_together(name):
    replies, start = as_trained(a_round(SHAPE, WEIGHTS, 8), name, 1)
    method, terms = METHODS[name], Terms(Limit(0.7), 0.5, expected=3.0)
    taking = Taking(method, start, terms)
    for reply in reversed(replies):
        taking.take(reply.organization, TrainReply(reply.adapter, 1, 1.0, 4, 1))
    adapters = [reply.adapter for reply in replies]
    mean = noised_mean(adapters, start.sent, method.sends(1), terms, Seeded(3, "noise"))
    expected = method.aggregate([replace(replies[0], adapter=mean)], start)
    assert content(taking.made(Seeded(3, "noise")).adapter) == content(expected.adapter)


def test_no_reply_is_held_after_it_was_taken_and_what_is_kept_does_not_grow():
    shape = replace(SHAPE, modules=((90, 40, 0, 0),))
    replies, start = as_trained(a_round(shape, (3,), 8), "fedit", 1)
    intake, living, kept = Intake(METHODS["fedit"], start), [], []
    for number in range(30):
        adapter = with_factors(replies[0].adapter, lambda _, own: Factors(own.a.clone(), own.b.clone()))
        living.append(weakref.ref(adapter.factors["h.0"].a))
        intake.add(replace(replies[0], adapter=adapter, organization=f"org-{number}"))
        del adapter
        gc.collect()
        assert not [tensor for tensor in living if tensor() is not None]
        kept.append(intake.bytes)
    assert kept[-1] == kept[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"federation.aggregation": "fedex"}, 'aggregation = "fedex" needs them'),
        ({"federation.aggregation": "fedsa"}, "fedit, ffa, rolora, fedsvd a sum is enough"),
        ({"federation.robust": "median", "federation.byzantine": 1}, 'robust = "median" compares them'),
        ({"privacy.secure_sum": "true"}, "secure_sum = true has none that could be read"),
        ({"federation.deadline": 2.0}, "late is known when all are in"),
        ({"faults.alpha": "slow x3"}, "late is known when all are in"),
    ],
)
def test_what_needs_the_replies_themselves_is_refused_and_left_alone_by_auto(settings, said):
    asked = configured(settings, federation__streaming="true")
    reason = unstreamable(asked)
    assert reason is not None
    assert said in reason
    assert "\n" not in reason
    assert reason.endswith('set it to "auto"')
    auto = configured(settings)
    assert impossible(auto) is not None
    assert unstreamable(auto) is None
    adapter = random_adapter(SHAPE, np.random.default_rng(1), torch.float32)
    assert not one_by_one(auto, adapter, 10**6, 1, gives_so=True)


def test_over_a_superlink_a_deadline_needs_no_replies():
    given = {"federation.deadline": 2.0, "federation.runtime": "superlink", "superlink.address": "127.0.0.1:9093"}
    assert impossible(configured(given)) is None
    assert impossible(configured(given | {"federation.oversample": 0.5})) is not None


def test_auto_begins_where_replies_would_take_a_quarter_of_what_is_free():
    adapter = random_adapter(SHAPE, np.random.default_rng(1), torch.float32)
    free = 4 * 8 * 100 * adapter.parameters
    asked = configured({})
    assert not one_by_one(asked, adapter, 100, free, gives_so=True)
    assert one_by_one(asked, adapter, 101, free, gives_so=True)
    assert not one_by_one(asked, adapter, 101, free, gives_so=False)
    assert one_by_one(configured({"federation.streaming": "true"}), adapter, 1, free, gives_so=False)
    assert not one_by_one(configured({"federation.streaming": "false"}), adapter, 10**6, 1, gives_so=True)
