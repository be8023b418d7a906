"""How far organizations moved and whether they moved together, against whole matrices."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from fedlora_tui.aggregation import Reply
from fedlora_tui.aggregation.products import updates
from fedlora_tui.lora.adapter import Adapter, Factors
from fedlora_tui.lora.resize import first_rows
from tests.federations import SHAPE, WEIGHTS, a_round, dense, rounds, with_factors


def flat(update):
    return np.concatenate([value.ravel() for value in update.values()])


def dense_updates(replies, begun):
    """Norms and cosines by the definition."""
    moved = [flat(dense(reply.adapter)) - flat(dense(start)) for reply, start in zip(replies, begun, strict=True)]
    mean = np.average(moved, axis=0, weights=[float(reply.weight) for reply in replies])
    return {
        reply.organization: (
            np.linalg.norm(own),
            own @ mean / np.linalg.norm(own) / np.linalg.norm(mean),
        )
        for reply, own in zip(replies, moved, strict=True)
    }


def check(measured, expected):
    assert list(measured) == list(expected)
    for name, (norm, cosine) in expected.items():
        assert measured[name].norm == pytest.approx(norm, rel=1e-9)
        assert measured[name].cosine == pytest.approx(cosine, rel=1e-9, abs=1e-9)


@given(rounds())
@settings(max_examples=40)
def test_norms_and_cosines_are_their_dense_definition(given_round):
    replies, start = given_round
    check(updates(replies, start.sent), dense_updates(replies, [start.sent] * len(replies)))


@given(rounds(unequal=True))
@settings(max_examples=40)
def test_who_began_with_another_adapter_is_compared_with_that(given_round):
    replies, start = given_round
    begun = {reply.organization: first_rows(start.sent, reply.adapter.rank) for reply in replies[1:]}
    starts = [begun.get(reply.organization, start.sent) for reply in replies]
    check(updates(replies, start.sent, begun), dense_updates(replies, starts))


def test_products_that_are_not_compared_with_where_they_began_are_found_out():
    replies, start = a_round(SHAPE, WEIGHTS, 5)
    expected = dense_updates(replies, [start.sent] * len(replies))
    for mutant in (
        updates(replies, start.anew),
        updates([replace(reply, weight=1) for reply in replies], start.sent),
        updates([replace(reply, adapter=replace(reply.adapter, alphas={})) for reply in replies], start.sent),
    ):
        with pytest.raises(AssertionError):
            check(mutant, expected)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
def test_a_small_update_of_a_large_product_keeps_its_digits(size):
    rng = np.random.default_rng(3)
    a, b = torch.tensor(rng.standard_normal((4, 30))), torch.tensor(rng.standard_normal((50, 4)))
    e = torch.tensor(rng.standard_normal((50, 4)))
    sent, moved = (Adapter({"h": Factors(a, left)}, 4, 4.0) for left in (b, b + size * e))
    away = Adapter({"h": Factors(a, b - size * e)}, 4, 4.0)
    measured = updates([Reply("a", moved, 3), Reply("b", away, 1)], sent)
    assert measured["a"].norm == pytest.approx(size * float(torch.linalg.matrix_norm(e @ a)), rel=1e-14 / size + 1e-10)
    assert measured["a"].cosine == pytest.approx(1.0, abs=1e-6)
    assert measured["b"].cosine == pytest.approx(-1.0, abs=1e-6)


def test_who_did_not_move_has_no_direction_and_orders_do_not_matter():
    replies, start = a_round(SHAPE, WEIGHTS, 5)
    still = [*replies, Reply("org-9", start.sent, 2)]
    measured = updates(still, start.sent)
    assert measured["org-9"].norm == 0
    assert math.isnan(measured["org-9"].cosine)
    assert updates(still[::-1], start.sent) == measured
    nobody = [replace(reply, adapter=start.sent) for reply in replies]
    assert all(math.isnan(update.cosine) for update in updates(nobody, start.sent).values())


def test_one_organization_goes_with_itself():
    replies, start = a_round(SHAPE, (5,), 5)
    assert updates(replies, start.sent)["org-0"].cosine == pytest.approx(1.0)
    turned = with_factors(start.sent, lambda module, own: Factors(own.a, -own.b))
    opposite = updates([Reply("a", start.sent, 3), Reply("b", turned, 1)], start.anew)
    assert opposite["a"].cosine == pytest.approx(1.0)
    assert opposite["b"].cosine == pytest.approx(-1.0)


@given(rounds())
@settings(max_examples=25)
def test_each_modules_norm_and_cosine_are_their_dense_definition(given_round):
    replies, start = given_round
    began = dense(start.sent)
    moved = {reply.organization: {m: own - began[m] for m, own in dense(reply.adapter).items()} for reply in replies}
    weights = [float(reply.weight) for reply in replies]
    for name, update in updates(replies, start.sent).items():
        assert list(update.modules) == list(start.sent.factors)
        for module, (norm, cosine) in update.modules.items():
            own = moved[name][module]
            mean = np.average([moved[reply.organization][module] for reply in replies], axis=0, weights=weights)
            assert norm == pytest.approx(np.linalg.norm(own), rel=1e-9)
            lengths = np.linalg.norm(own) * np.linalg.norm(mean)
            assert cosine == pytest.approx(float((own * mean).sum() / lengths), rel=1e-9, abs=1e-9)
