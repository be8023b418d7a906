"""The norm bound: lengths of whole updates, their median, and replies that stop where they reach it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedlora_tui.aggregation.robust import defend
from fedlora_tui.aggregation.robust.norm_bound import lengths, reach
from fedlora_tui.lora.adapter import Adapter, Factors
from tests.robust_rounds import (
    MODULES,
    adapter,
    all_turned,
    content,
    dense,
    moved,
    raw,
    replies_of,
    rounds,
    start,
    turned,
)


def dense_lengths(replies, sent):
    return np.array([np.linalg.norm(dense(reply.adapter) - dense(sent)) for reply in replies])


def part_way(one, sent, c):
    """The definition of the way, for equal ranks: every factor a part of the way, the product formed whole."""
    factors = {
        m: Factors(x0.a + c * (one.factors[m].a - x0.a), x0.b + c * (one.factors[m].b - x0.b))
        for m, x0 in sent.factors.items()
    }
    return replace(one, factors=factors)


@given(rounds())
@settings(max_examples=50)
def test_lengths_and_who_is_shortened_are_those_of_whole_updates_in_any_basis(given_round):
    replies, sent, rng = given_round
    expected = dense_lengths(replies, sent)
    size = max(np.linalg.norm(dense(sent)), expected.max())
    bound = np.median(expected)
    assume((np.abs(expected - bound)[expected != bound] > 1e-6 * size).all())
    over = tuple(reply.organization for reply, long in zip(replies, expected, strict=True) if long > bound)
    for same in (replies, all_turned(replies, rng)):
        np.testing.assert_allclose(lengths(same, sent).numpy() / size, expected / size, atol=1e-12)
        made = defend("norm-bound", 0, same, start(sent))
        after = dense_lengths(made.replies, sent)
        assert made.shortened == over
        assert made.adapter is None
        assert made.left_out == ()
        for before, reply, long, now in zip(same, made.replies, expected, after, strict=True):
            assert reply.weight == before.weight
            assert (reply is before) == (long <= bound)
            assert now / size == pytest.approx(min(long, bound) / size, abs=1e-11)


def check_first(one, shortened, sent, bound):
    """Every factor is one part of the way, the update is as long as the bound, and no nearer part is longer."""
    step, done = raw(one) - raw(sent), raw(shortened) - raw(sent)
    c = float(done @ step / (step @ step))
    np.testing.assert_allclose(done, c * step, atol=1e-12)
    assert np.linalg.norm(dense(shortened) - dense(sent)) == pytest.approx(bound, rel=1e-9)
    for part in np.linspace(0, c, 200):
        assert np.linalg.norm(dense(part_way(one, sent, part)) - dense(sent)) <= bound * (1 + 1e-9)


@given(st.integers(0, 10**6), st.integers(3, 6))
@settings(max_examples=20)
def test_factors_go_a_part_of_the_way_to_where_the_bound_is_first_reached(seed, count):
    rng = np.random.default_rng(seed)
    sent = adapter(rng)
    replies = replies_of([moved(sent, rng, float(rng.uniform(0.1, 3.0))) for _ in range(count)])
    bound = float(np.median(dense_lengths(replies, sent)))
    made = defend("norm-bound", 0, replies, start(sent))
    assert made.shortened
    for before, after in zip(replies, made.replies, strict=True):
        if before.organization in made.shortened:
            check_first(before.adapter, after.adapter, sent, bound)


def test_shortening_factors_as_if_a_product_were_linear_is_told_apart():
    rng = np.random.default_rng(1)
    sent = adapter(rng)
    one = moved(sent, rng, 2.0)
    bound = 0.3 * float(np.linalg.norm(dense(one) - dense(sent)))
    with pytest.raises(AssertionError):
        check_first(one, part_way(one, sent, 0.3), sent, bound)


def test_lengths_of_raw_factors_would_depend_on_the_basis():
    rng = np.random.default_rng(2)
    sent = adapter(rng)
    one = moved(sent, rng, 0.1)
    same = turned(one, rng)
    assert float(lengths(replies_of([same]), sent)) == pytest.approx(float(lengths(replies_of([one]), sent)), rel=1e-10)
    assert np.linalg.norm(raw(same) - raw(sent)) != pytest.approx(np.linalg.norm(raw(one) - raw(sent)), rel=0.01)


def test_all_of_it_is_the_same_where_the_sent_adapter_is_in_the_same_basis_too():
    rng = np.random.default_rng(3)
    sent = adapter(rng)
    replies = replies_of([moved(sent, rng, size) for size in (0.1, 0.2, 0.5, 1.0)])
    bases = {m: torch.tensor(rng.standard_normal((2, 2)) + 2 * np.eye(2)) for m in MODULES}

    def there(one):
        return replace(
            one, factors={m: Factors(torch.linalg.solve(bases[m], f.a), f.b @ bases[m]) for m, f in one.factors.items()}
        )

    here = defend("norm-bound", 0, replies, start(sent))
    other = defend("norm-bound", 0, [replace(r, adapter=there(r.adapter)) for r in replies], start(there(sent)))
    for one, two in zip(here.replies, other.replies, strict=True):
        np.testing.assert_allclose(dense(two.adapter), dense(one.adapter), atol=1e-10)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.floats(0.01, 0.99))
@settings(max_examples=150)
def test_the_first_place_is_found_even_where_the_length_falls_on_the_way(numbers, part):
    linear, square = np.array(numbers[:2]), np.array(numbers[2:])
    at_one = np.linalg.norm(linear + square)
    assume(at_one > 1e-3)
    bound = part * at_one
    c = reach(torch.tensor(linear), torch.tensor(square), bound)
    assert 0 < c < 1
    grid = np.linspace(0, c, 2000)[:, None]
    assert np.linalg.norm(grid * linear + grid**2 * square, axis=1).max() <= bound * (1 + 1e-9)
    assert np.linalg.norm(c * linear + c * c * square) == pytest.approx(bound, rel=1e-9)


def test_a_length_that_rises_falls_and_rises_stops_at_the_first_rise():
    linear, square = torch.tensor([6.0, 0.0]).double(), torch.tensor([-9.0, 0.1]).double()
    assert reach(linear, square, 0.5) < 1 / 3
    assert 1 / 3 < reach(linear, square, 2.0) < 1


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e30])
def test_a_huge_reply_is_brought_within_the_bound(size):
    rng = np.random.default_rng(4)
    sent = adapter(rng)
    replies = replies_of([*(moved(sent, rng, 0.1) for _ in range(4)), moved(sent, rng, size)])
    bound = float(np.median(dense_lengths(replies, sent)))
    made = defend("norm-bound", 1, replies, start(sent))
    assert dense_lengths(made.replies, sent).max() <= bound * (1 + 1e-9)


def test_a_round_in_which_most_learned_nothing_lets_nobody_learn():
    sent = Adapter({"h": Factors(torch.ones(2, 3), torch.zeros(4, 2))}, 2, 4.0)
    one = replace(sent, factors={"h": Factors(torch.ones(2, 3), torch.ones(4, 2))})
    made = defend("norm-bound", 1, replies_of([sent, sent, one]), start(sent))
    assert made.shortened == ("org-02",)
    assert content(made.replies[2].adapter) == content(sent)


def test_a_reply_of_a_lower_rank_is_filled_up_once_it_is_shortened():
    rng = np.random.default_rng(5)
    sent = adapter(rng, rank=4)
    small, other = adapter(rng, rank=2, size=3.0), adapter(rng, rank=6, size=3.0)
    replies = replies_of([*(moved(sent, rng, 0.1) for _ in range(4)), small, other])
    made = defend("norm-bound", 1, replies, start(sent))
    assert {"org-04", "org-05"} <= set(made.shortened)
    assert made.replies[4].adapter.factors["h.0"].a.shape == (4, 4)
    assert made.replies[4].adapter.ranks == {}
    assert made.replies[5].adapter.factors["h.0"].a.shape == (6, 4)
    assert dense_lengths(made.replies, sent).max() <= np.median(dense_lengths(replies, sent)) * (1 + 1e-9)
