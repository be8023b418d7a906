"""Median, trimmed mean and Bulyan's second stage: their definitions coordinate by coordinate, and Flower's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fedlora_tui.federation  # noqa: F401  (takes Flower's log handler away)
from fedlora_tui.aggregation.robust import defend
from fedlora_tui.aggregation.robust.bulyan import selected
from fedlora_tui.aggregation.robust.points import between
from tests.robust_rounds import adapter, factor_records, flower_aggregate, replies_of, rounds, start


def median(values, byzantine):
    return np.median(values, axis=0)


def trimmed(values, byzantine):
    return np.sort(values, axis=0)[byzantine : len(values) - byzantine].mean(axis=0)


def around(values, byzantine):
    """The mean of the len - 2f values nearest to the median, one coordinate at a time."""
    flat = values.reshape(len(values), -1)
    made = []
    for column in flat.T:
        center = np.median(column)
        made.append(
            np.mean(sorted(sorted(column), key=lambda value: abs(value - center))[: len(column) - 2 * byzantine])
        )
    return np.array(made).reshape(values.shape[1:])


def lower_median(values, byzantine):
    return np.sort(values, axis=0)[(len(values) - 1) // 2]


def too_little_trimmed(values, byzantine):
    return trimmed(values, max(0, byzantine - 1))


def check(name, byzantine, replies, sent, rule):
    made = defend(name, byzantine, replies, start(sent))
    chosen = [reply.adapter for reply in made.replies]
    for key, tensor in made.adapter.tensors().items():
        values = np.stack([each.tensors()[key].double().numpy() for each in chosen])
        np.testing.assert_allclose(tensor.double().numpy(), rule(values, byzantine), rtol=1e-12, atol=1e-13)


@st.composite
def sized(draw, per_byzantine, beyond):
    byzantine = draw(st.integers(0, 2))
    least = per_byzantine * byzantine + beyond
    return byzantine, draw(rounds(least=least, most=least + 3, own_ranks=False))


@given(sized(2, 1))
@settings(max_examples=25)
def test_the_median_is_its_definition(given_round):
    byzantine, (replies, sent, _) = given_round
    check("median", byzantine, replies, sent, median)


@given(sized(2, 1))
@settings(max_examples=25)
def test_the_trimmed_mean_is_its_definition(given_round):
    byzantine, (replies, sent, _) = given_round
    check("trimmed-mean", byzantine, replies, sent, trimmed)


@given(sized(4, 3))
@settings(max_examples=20)
def test_bulyans_second_stage_is_its_definition(given_round):
    byzantine, (replies, sent, _) = given_round
    check("bulyan", byzantine, replies, sent, around)


@pytest.mark.parametrize(
    ("name", "mutant", "count"),
    [("median", lower_median, 6), ("trimmed-mean", too_little_trimmed, 6), ("bulyan", trimmed, 9)],
)
def test_rules_that_are_nearly_right_are_told_apart(name, mutant, count):
    rng = np.random.default_rng(2)
    replies = replies_of([adapter(rng) for _ in range(count)])
    with pytest.raises(AssertionError):
        check(name, 1, replies, replies[0].adapter, mutant)


def flower_median(byzantine, replies):
    from flwr.serverapp.strategy import FedMedian

    return flower_aggregate(FedMedian(), factor_records(replies))


def flower_trimmed(byzantine, replies):
    """Flower cuts off a share of each end, rounded down to whole replies."""
    from flwr.serverapp.strategy import FedTrimmedAvg

    return flower_aggregate(FedTrimmedAvg(beta=(byzantine + 0.25) / len(replies)), factor_records(replies))


def flower_bulyan(byzantine, replies):
    """Flower's default chooses by one Multi-Krum on raw factors; its second stage is ours, given our choice."""
    from flwr.serverapp.strategy import Bulyan

    def rule(contents, f, theta):
        places = sorted(selected(between(replies), f))
        assert len(places) == theta
        return [contents[place] for place in places]

    strategy = Bulyan(num_malicious_nodes=byzantine, selection_rule=rule)
    return flower_aggregate(strategy, factor_records(replies))


@pytest.mark.parametrize(("byzantine", "count"), [(0, 5), (1, 8), (2, 12)])
@pytest.mark.parametrize(
    ("name", "flowers"), [("median", flower_median), ("trimmed-mean", flower_trimmed), ("bulyan", flower_bulyan)]
)
def test_it_is_flowers_own(name, flowers, byzantine, count):
    rng = np.random.default_rng(count)
    replies = replies_of([adapter(rng) for _ in range(count)])
    theirs = flowers(byzantine, replies)
    ours = defend(name, byzantine, replies, start(replies[0].adapter)).adapter.tensors()
    assert list(ours) == list(theirs)
    for key, tensor in ours.items():
        np.testing.assert_allclose(tensor.numpy(), theirs[key], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["median", "trimmed-mean", "bulyan"])
def test_replies_count_alike_whatever_their_weights(name):
    rng = np.random.default_rng(3)
    adapters = [adapter(rng) for _ in range(8)]
    alike = defend(name, 1, replies_of(adapters), start(adapters[0])).adapter
    heavy = defend(name, 1, replies_of(adapters, [1.0] * 7 + [1e12]), start(adapters[0])).adapter
    for key, tensor in alike.tensors().items():
        assert tensor.equal(heavy.tensors()[key])
