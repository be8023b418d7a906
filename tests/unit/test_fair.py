"""LoRA-FAIR: the correction of B is the dense ridge solution, and never further from the ideal than FedIT."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from fedlora_tui.aggregation import METHODS, Aggregated
from fedlora_tui.aggregation.fair import LAMBDA
from fedlora_tui.lora.adapter import Factors
from tests.federations import SHAPE, WEIGHTS, a_round, apart, dense, dense_ideal, mean_of, rounds, with_factors

FAIR, FEDIT = METHODS["fair"].aggregate, METHODS["fedit"].aggregate
EXAMPLE = a_round(SHAPE, WEIGHTS, 11)


def check_solution(aggregate, given_round):
    replies, start = given_round
    made, ideal = aggregate(replies, start).adapter, dense_ideal(replies)
    for module, own in made.factors.items():
        a, b = mean_of(replies, module, "a"), mean_of(replies, module, "b")
        wanted = ideal[module] / start.sent.scale_of(module)
        step = (wanted - b @ a) @ a.T @ np.linalg.inv(a @ a.T + LAMBDA * np.eye(len(a)))
        np.testing.assert_allclose(own.a, a, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(own.b, b + step, rtol=1e-7, atol=1e-8 * (1 + np.abs(b).max()))


def check_closer(aggregate, given_round):
    replies, start = given_round
    ideal = dense_ideal(replies)
    fair, fedit = (apart(dense(way(replies, start).adapter), ideal) for way in (aggregate, FEDIT))
    assert fair <= fedit * (1 + 1e-12) + 1e-14


@given(rounds())
@settings(max_examples=60)
def test_fair_is_the_ridge_solution_and_closer_to_the_ideal_than_fedit(given_round):
    check_solution(FAIR, given_round)
    check_closer(FAIR, given_round)


def test_where_organizations_differ_it_is_closer_by_much():
    replies, start = EXAMPLE
    ideal = dense_ideal(replies)
    assert apart(dense(FAIR(replies, start).adapter), ideal) < 0.9 * apart(dense(FEDIT(replies, start).adapter), ideal)


def changed(change):
    """FAIR with another dB."""

    def aggregate(replies, start):
        made, plain = FAIR(replies, start).adapter, FEDIT(replies, start).adapter

        def other(module, own):
            mean = plain.factors[module]
            return Factors(own.a, mean.b + change(own.b - mean.b, own, start.sent.scale_of(module)))

        return Aggregated(with_factors(made, other))

    return aggregate


def gram(own, penalty):
    return own.a @ own.a.T + penalty * torch.eye(own.a.shape[0], dtype=torch.float64)


@pytest.mark.parametrize(
    "change",
    [
        lambda step, own, scale: -step,
        lambda step, own, scale: step * scale,
        lambda step, own, scale: step @ gram(own, LAMBDA) @ torch.linalg.inv(gram(own, 0)),
        lambda step, own, scale: step @ gram(own, LAMBDA),
        lambda step, own, scale: 0 * step,
    ],
    ids=["the other way", "with the scale", "without lambda", "without the inverse", "not at all"],
)
def test_another_correction_is_found_out(change):
    with pytest.raises(AssertionError):
        check_solution(changed(change), EXAMPLE)


def test_a_step_the_other_way_is_further_than_fedit():
    with pytest.raises(AssertionError):
        check_closer(changed(lambda step, own, scale: -step), EXAMPLE)
