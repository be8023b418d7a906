"""Drift against its dense definition, ||I - P||_F / ||I||_F with whole m x n matrices in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.aggregation import Reply
from fedlora_tui.aggregation.drift import drift, product_norm
from fedlora_tui.aggregation.fedit import fedit
from fedlora_tui.lora.adapter import Adapter, Factors


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
    assert drift(given_replies, following) == pytest.approx(dense(given_replies, following), rel=1e-9)


@given(st.integers(0, 10**6), st.integers(2, 5))
@settings(max_examples=15)
def test_drift_of_fedit_is_its_dense_definition(seed, count):
    rng = np.random.default_rng(seed)
    modules = {"h.0": (9, 4), "h.1": (3, 8)}
    given_replies = [Reply(f"org-{i}", adapter(modules, 2, 4.0, rng), int(rng.integers(1, 99))) for i in range(count)]
    following = fedit(given_replies).adapter
    expected = dense(given_replies, following)
    assert drift(given_replies, following) == pytest.approx(expected, rel=1e-9)
    assert expected > 0.01


def test_the_order_of_replies_does_not_matter():
    rng = np.random.default_rng(1)
    given_replies = [Reply(f"org-{i}", adapter({"h": (9, 4)}, 2, 4.0, rng), i + 1) for i in range(4)]
    following = fedit(given_replies).adapter
    assert drift(given_replies[::-1], following) == drift(given_replies, following)


def test_one_organization_drifts_by_nothing():
    rng = np.random.default_rng(1)
    alone = [Reply("a", adapter({"h.0": (9, 4), "h.1": (40, 30)}, 3, 6.0, rng), 5)]
    assert drift(alone, fedit(alone).adapter) < 1e-14


def test_equal_organizations_drift_by_nothing():
    same = adapter({"h.0": (9, 4)}, 3, 6.0, np.random.default_rng(1))
    given_replies = [Reply(name, same, 1) for name in "abc"]
    assert drift(given_replies, fedit(given_replies).adapter) < 1e-14


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-11])
def test_a_tiny_drift_is_exact_where_a_difference_of_traces_would_be_noise(size):
    """The next round starts from the ideal but for one known part; its relative size comes back as it is."""
    rng = np.random.default_rng(3)
    a, b = torch.tensor(rng.standard_normal((4, 30))), torch.tensor(rng.standard_normal((50, 4)))
    e, f = torch.tensor(rng.standard_normal((1, 30))), torch.tensor(rng.standard_normal((50, 1)))
    one = Adapter({"h": Factors(a, b)}, 4, 4.0)
    following = Adapter({"h": Factors(torch.cat([a, e]), torch.cat([b, size * f], dim=1))}, 5, 5.0)
    expected = size * float(torch.linalg.matrix_norm(f @ e) / torch.linalg.matrix_norm(b @ a))
    assert drift([Reply("a", one, 1)], following) == pytest.approx(expected, rel=1e-4)


def test_drift_does_not_depend_on_how_a_product_is_factored():
    rng = np.random.default_rng(4)
    given_replies = [Reply(f"org-{i}", adapter({"h": (9, 6)}, 3, 6.0, rng), i + 1) for i in range(3)]
    following = adapter({"h": (9, 6)}, 3, 6.0, rng)
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
    assert drift([Reply("a", zero, 1)], zero) == 0.0
    assert math.isnan(drift([Reply("a", zero, 1)], some))
    assert drift([Reply("a", some, 1)], zero) == pytest.approx(1.0)


def test_the_norm_of_a_sum_of_products_forms_no_large_matrix():
    """A product of 200,000 x 200,000 would take 320 GB."""
    tall, wide = torch.ones(200_000, 1, dtype=torch.float64), torch.ones(1, 200_000, dtype=torch.float64)
    assert product_norm([tall], [wide]) == pytest.approx(200_000.0)
