"""Drift against its dense definition, ||I - P||_F / ||I||_F with whole m x n matrices in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.aggregation import METHODS, Aggregated, Reply, Start
from fedlora_tui.aggregation.drift import drift, drift_by_module, losses, ratio
from fedlora_tui.aggregation.products import product_norm
from fedlora_tui.lora.adapter import Adapter, Factors
from tests.federations import SHAPE, WEIGHTS, a_round, apart, dense_ideal, dense_made, sharing
from tests.federations import dense as dense_product
from tests.federations import rounds as replies_and_starts


def fedit(replies):
    sent = replies[0].adapter
    return METHODS["fedit"].aggregate(replies, Start(1, sent, lambda: sent))


def adapter(modules, rank, alpha, rng):
    return Adapter(
        {
            name: Factors(
                torch.tensor(rng.standard_normal((rank, inputs)), dtype=torch.float32),
                torch.tensor(rng.standard_normal((outputs, rank)), dtype=torch.float32),
            )
            for name, (outputs, inputs) in modules.items()
        },
        rank,
        alpha,
    )


def dense(given_replies, following):
    """The definition, with every product formed."""
    total = sum(reply.weight for reply in given_replies)
    lost = ideal = 0.0
    for name, after in following.factors.items():
        mean = sum(
            reply.weight
            / total
            * reply.adapter.alpha
            / reply.adapter.rank
            * reply.adapter.factors[name].b.double().numpy()
            @ reply.adapter.factors[name].a.double().numpy()
            for reply in given_replies
        )
        made = following.alpha / following.rank * after.b.double().numpy() @ after.a.double().numpy()
        lost += float(((mean - made) ** 2).sum())
        ideal += float((mean**2).sum())
    return math.sqrt(lost / ideal)


@st.composite
def rounds(draw):
    """Replies of random shapes (layers wider than high and the other way), ranks (each its own), and weights."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    modules = {
        f"h.{index}": (draw(st.integers(1, 12)), draw(st.integers(1, 12))) for index in range(draw(st.integers(1, 3)))
    }
    count = draw(st.integers(1, 5))
    given_replies = [
        Reply(f"org-{index}", adapter(modules, draw(st.integers(1, 6)), draw(st.floats(0.5, 32)), rng), weight)
        for index, weight in enumerate(draw(st.lists(st.integers(1, 10**6), min_size=count, max_size=count)))
    ]
    return given_replies, adapter(modules, draw(st.integers(1, 6)), draw(st.floats(0.5, 32)), rng)


@given(rounds())
@settings(max_examples=50)
def test_drift_is_its_dense_definition(given_round):
    given_replies, following = given_round
    assert drift(given_replies, Aggregated(following)) == pytest.approx(dense(given_replies, following), rel=1e-9)


@given(st.integers(0, 10**6), st.integers(2, 5))
@settings(max_examples=15)
def test_drift_of_fedit_is_its_dense_definition(seed, count):
    rng = np.random.default_rng(seed)
    modules = {"h.0": (9, 4), "h.1": (3, 8)}
    given_replies = [Reply(f"org-{i}", adapter(modules, 2, 4.0, rng), int(rng.integers(1, 99))) for i in range(count)]
    following = fedit(given_replies)
    expected = dense(given_replies, following.adapter)
    assert drift(given_replies, following) == pytest.approx(expected, rel=1e-9)
    assert expected > 0.01


def test_the_order_of_replies_does_not_matter():
    rng = np.random.default_rng(1)
    given_replies = [Reply(f"org-{i}", adapter({"h": (9, 4)}, 2, 4.0, rng), i + 1) for i in range(4)]
    following = fedit(given_replies)
    assert drift(given_replies[::-1], following) == drift(given_replies, following)


def test_one_organization_drifts_by_nothing():
    rng = np.random.default_rng(1)
    alone = [Reply("a", adapter({"h.0": (9, 4), "h.1": (40, 30)}, 3, 6.0, rng), 5)]
    assert drift(alone, fedit(alone)) < 1e-14


def test_equal_organizations_drift_by_nothing():
    same = adapter({"h.0": (9, 4)}, 3, 6.0, np.random.default_rng(1))
    given_replies = [Reply(name, same, 1) for name in "abc"]
    assert drift(given_replies, fedit(given_replies)) < 1e-14


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-11])
def test_a_tiny_drift_is_exact_where_a_difference_of_traces_would_be_noise(size):
    """The next round starts from the ideal but for one known part; its relative size comes back as it is."""
    rng = np.random.default_rng(3)
    a, b = torch.tensor(rng.standard_normal((4, 30))), torch.tensor(rng.standard_normal((50, 4)))
    e, f = torch.tensor(rng.standard_normal((1, 30))), torch.tensor(rng.standard_normal((50, 1)))
    one = Adapter({"h": Factors(a, b)}, 4, 4.0)
    following = Adapter({"h": Factors(torch.cat([a, e]), torch.cat([b, size * f], dim=1))}, 5, 5.0)
    expected = size * float(torch.linalg.matrix_norm(f @ e) / torch.linalg.matrix_norm(b @ a))
    assert drift([Reply("a", one, 1)], Aggregated(following)) == pytest.approx(expected, rel=1e-4)


def test_drift_does_not_depend_on_how_a_product_is_factored():
    rng = np.random.default_rng(4)
    given_replies = [Reply(f"org-{i}", adapter({"h": (9, 6)}, 3, 6.0, rng), i + 1) for i in range(3)]
    following = Aggregated(adapter({"h": (9, 6)}, 3, 6.0, rng))
    turn = torch.linalg.qr(torch.tensor(rng.standard_normal((3, 3)))).Q

    def turned(reply):
        factors = reply.adapter.factors["h"]
        same = Adapter({"h": Factors(turn.T @ factors.a.double(), factors.b.double() @ turn)}, 3, 6.0)
        return Reply(reply.organization, same, reply.weight)

    expected = drift(given_replies, following)
    assert drift([turned(reply) for reply in given_replies], following) == pytest.approx(expected, rel=1e-9)


def test_where_nothing_was_learned_nothing_is_lost_and_a_wholly_lost_nothing_is_no_number():
    zero = Adapter({"h": Factors(torch.ones(2, 3), torch.zeros(4, 2))}, 2, 4.0)
    some = Adapter({"h": Factors(torch.ones(2, 3), torch.ones(4, 2))}, 2, 4.0)
    assert drift([Reply("a", zero, 1)], Aggregated(zero)) == 0.0
    assert math.isnan(drift([Reply("a", zero, 1)], Aggregated(some)))
    assert drift([Reply("a", some, 1)], Aggregated(zero)) == pytest.approx(1.0)


def test_the_norm_of_a_sum_of_products_forms_no_large_matrix():
    """A product of 200,000 x 200,000 would take 320 GB."""
    tall, wide = torch.ones(200_000, 1, dtype=torch.float64), torch.ones(1, 200_000, dtype=torch.float64)
    assert product_norm([tall], [wide]) == pytest.approx(200_000.0)


def as_before_there_were_deltas(given_replies, following):
    """The drift of an adapter as it was measured when nothing joined the base: the same numbers in the same order."""
    total = sum(reply.weight for reply in given_replies)
    lost = ideal = 0.0
    for module, after in following.factors.items():
        left = [
            reply.weight / total * reply.adapter.scale_of(module) * reply.adapter.factors[module].b.double()
            for reply in given_replies
        ]
        right = [reply.adapter.factors[module].a.double() for reply in given_replies]
        ideal += product_norm(left, right) ** 2
        taken = -following.scale_of(module) * after.b.double()
        lost += product_norm([*left, taken], [*right, after.a.double()]) ** 2
    return math.sqrt(lost / ideal)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fedits_drift_is_to_the_last_bit_what_it_was(dtype):
    given_replies, start = a_round(SHAPE, WEIGHTS, 5, dtype=dtype)
    made = METHODS["fedit"].aggregate(given_replies, start)
    assert drift(given_replies, made) == as_before_there_were_deltas(given_replies, made.adapter)


def dense_following(given_replies, made):
    """P by the definition: where organizations go on from adapters of their own, the mean of their products."""
    if not made.own:
        return dense_made(made)
    return dense_ideal(
        [Reply(reply.organization, made.own[reply.organization], reply.weight) for reply in given_replies]
    )


def check_drift(measure, name, given_round):
    given_replies, start = given_round
    made = METHODS[name].aggregate(given_replies, start)
    expected = apart(dense_following(given_replies, made), dense_ideal(given_replies))
    assert measure(given_replies, made) == pytest.approx(expected, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("name", METHODS)
@given(st.data())
@settings(max_examples=12)
def test_the_drift_of_every_method_is_its_dense_definition(name, data):
    check_drift(drift, name, data.draw(replies_and_starts(unequal=METHODS[name].unequal_ranks)))


def test_a_drift_that_forgets_the_delta_or_the_organizations_own_is_found_out():
    given_round = a_round(SHAPE, WEIGHTS, 5)

    def of_the_adapter_alone(given_replies, made):
        return drift(given_replies, Aggregated(made.adapter))

    def with_the_delta_twice(given_replies, made):
        twice = {module: Factors(own.a, 2 * own.b) for module, own in made.delta.items()}
        return drift(given_replies, Aggregated(made.adapter, twice))

    for mutant, name in (
        (of_the_adapter_alone, "flora"),
        (of_the_adapter_alone, "fedex"),
        (of_the_adapter_alone, "fedsa"),
        (with_the_delta_twice, "flora"),
        (with_the_delta_twice, "fedex"),
    ):
        check_drift(drift, name, given_round)
        with pytest.raises(AssertionError):
            check_drift(mutant, name, given_round)


def test_exact_methods_drift_by_roundings_and_the_others_by_more():
    equal = a_round(SHAPE, WEIGHTS, 5)
    one_a = sharing(equal, "A")

    def of(name, given_round):
        return drift(given_round[0], METHODS[name].aggregate(*given_round))

    assert (
        max(of("flora", equal), of("fedex", equal), of("ffa", one_a), of("fedsvd", one_a), of("rolora", one_a)) < 1e-14
    )
    assert 0.1 < of("flexlora", equal) < of("fedit", equal)
    assert of("fair", equal) < of("fedit", equal)
    assert of("fedsa", equal) < 1.5


@given(replies_and_starts())
@settings(max_examples=20)
def test_the_drift_of_a_module_is_that_of_the_module_alone(given_round):
    given_replies, start = given_round
    made = METHODS["fedit"].aggregate(given_replies, start)
    by_module = drift_by_module(given_replies, made)
    assert list(by_module) == list(start.sent.factors)
    following, ideal = dense_product(made.adapter), dense_ideal(given_replies)
    for module, own in by_module.items():
        expected = apart({module: following[module]}, {module: ideal[module]})
        assert own == pytest.approx(expected, rel=1e-7, abs=1e-12)
    assert ratio(losses(given_replies, made).values()) == drift(given_replies, made)


def test_an_organization_of_weight_zero_changes_no_digit():
    given_replies, start = a_round(SHAPE, (3, 0, 7), 5)
    made = METHODS["fedit"].aggregate(given_replies, start)
    counted = [reply for reply in given_replies if reply.weight]
    assert drift(given_replies, made) == drift(counted, made)
