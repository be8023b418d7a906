"""The geometric median: least summed distance between whole products, and weights that say where it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from fedlora_tui.aggregation.robust import defend
from fedlora_tui.aggregation.robust.geometric_median import weiszfeld
from tests.robust_rounds import (
    adapter,
    all_turned,
    dense,
    dense_all,
    moved,
    names,
    raw,
    replies_of,
    rounds,
    scaled,
    start,
)


def weights_of(replies):
    made = defend("geometric-median", 0, replies, start(replies[0].adapter))
    assert [reply.organization for reply in made.replies] == sorted(reply.organization for reply in replies)
    return np.array([reply.weight for reply in made.replies])


def summed(rows, point):
    return float(np.linalg.norm(rows - point, axis=1).sum())


def check(weights, replies):
    """The mean of products has the least summed distance: none of the replies or of the places around has less."""
    rows = dense_all(replies)
    point = weights @ rows
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    assert (weights >= 0).all()
    least, size = summed(rows, point), np.linalg.norm(rows - rows.mean(axis=0), axis=1).mean()
    rng = np.random.default_rng(0)
    ways = [*(rows - point), *(size * rng.standard_normal((20, rows.shape[1])) / np.sqrt(rows.shape[1]))]
    for way in ways:
        for part in (1.0, 0.1, 0.01):
            assert least <= summed(rows, point + part * way) + 1e-5 * size


@given(rounds())
@settings(max_examples=50)
def test_it_has_the_least_summed_distance(given_round):
    replies, _, _ = given_round
    check(weights_of(replies), replies)


def test_the_mean_is_told_apart():
    rng = np.random.default_rng(1)
    replies = replies_of([*(adapter(rng) for _ in range(5)), scaled(adapter(rng), 10)])
    check(weights_of(replies), replies)
    with pytest.raises(AssertionError):
        check(np.full(6, 1 / 6), replies)


def check_basis(weigh, replies, rng):
    np.testing.assert_allclose(weigh(all_turned(replies, rng)), weigh(replies), atol=1e-7)


@given(rounds(least=3))
@settings(max_examples=25)
def test_the_basis_does_not_matter(given_round):
    replies, _, rng = given_round
    # Where the median is a reply itself, what the others weigh in it is smoothing; the place is compared.
    place = weights_of(replies) @ dense_all(replies)
    turned = weights_of(all_turned(replies, rng)) @ dense_all(replies)
    size = np.abs(dense_all(replies)).max()
    np.testing.assert_allclose(turned / size, place / size, atol=1e-6)


def test_weights_by_raw_factors_would_depend_on_the_basis():
    def by_raw_factors(replies):
        rows = torch.tensor(np.stack([raw(reply.adapter) for reply in replies]))
        return weiszfeld(rows, torch.ones(len(replies), dtype=torch.float64)).numpy()

    rng = np.random.default_rng(1)
    replies = replies_of([adapter(rng) for _ in range(6)])
    check_basis(weights_of, replies, rng)
    with pytest.raises(AssertionError):
        check_basis(by_raw_factors, replies, rng)


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_the_size_of_updates_does_not_matter(size):
    rng = np.random.default_rng(2)
    adapters = [adapter(rng) for _ in range(6)]
    same = replies_of([scaled(each, size) for each in adapters])
    np.testing.assert_allclose(weights_of(same), weights_of(replies_of(adapters)), rtol=1e-9)


def test_on_a_line_it_is_the_middle_one():
    one = adapter(np.random.default_rng(3))
    weights = weights_of(replies_of([scaled(one, by) for by in (1.0, 2.0, 50.0)]))
    np.testing.assert_allclose(weights, [0, 1, 0], atol=1e-5)


def test_most_replies_that_are_the_same_are_the_median():
    rng = np.random.default_rng(4)
    one = adapter(rng)
    weights = weights_of(replies_of([one, one, one, scaled(one, 1e6), adapter(rng)]))
    assert weights[:3].sum() == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(weights_of(replies_of([one] * 4)), 0.25)


def test_almost_half_of_the_replies_cannot_carry_it_away():
    """7 of 15, in one place very far off: the geometric median stays where the others are."""
    rng = np.random.default_rng(5)
    sent = adapter(rng)
    right = [moved(sent, rng, 0.1) for _ in range(8)]
    radius = max(np.linalg.norm(dense(one) - dense(sent)) for one in right)
    for far in (1e2, 1e6, 1e12):
        replies = replies_of([*right, *[scaled(sent, -far)] * 7])
        place = weights_of(replies) @ dense_all(replies)
        assert np.linalg.norm(place - dense(sent)) < 5 * radius


def test_what_an_organization_says_of_its_size_does_not_make_it_the_median():
    rng = np.random.default_rng(6)
    adapters = [adapter(rng) for _ in range(5)]
    replies = replies_of(adapters)
    loud = [replace(reply, weight=1e12) if reply.organization == names(5)[2] else reply for reply in replies]
    np.testing.assert_array_equal(weights_of(loud), weights_of(replies))


def test_the_papers_own_weights_are_one_argument_away():
    """With alpha of one row more than half of the sum, that row is the median."""
    rows = torch.tensor(np.random.default_rng(7).standard_normal((4, 3)))
    weights = weiszfeld(rows, torch.tensor([1.0, 1.0, 5.0, 1.0], dtype=torch.float64))
    assert float(weights[2]) == pytest.approx(1, abs=1e-5)
