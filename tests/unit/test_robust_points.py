"""Adapters as points: distances of whole products, without forming them and without losing digits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from fedlora_tui.aggregation.robust import points as room
from fedlora_tui.aggregation.robust.points import between, distances, points, product, products
from fedlora_tui.lora.adapter import Adapter, Factors
from tests.robust_rounds import MODULES, adapter, all_turned, dense_all, dense_distances, moved, raw, replies_of, rounds


def by_traces(replies):
    """A mutant: the difference of traces."""
    total = torch.zeros(len(replies), len(replies), dtype=torch.float64)
    made = [product(reply.adapter) for reply in replies]
    for module in made[0]:
        total += torch.stack(
            [
                torch.stack([((x[module].b.T @ y[module].b) * (x[module].a @ y[module].a.T)).sum() for y in made])
                for x in made
            ]
        )
    norms = total.diagonal()
    return (norms[:, None] + norms[None] - 2 * total).clamp(min=0).sqrt()


def by_raw_factors(replies):
    """A mutant: distances between the factors themselves."""
    return distances(torch.tensor(np.stack([raw(reply.adapter) for reply in replies])))


@given(rounds())
@settings(max_examples=60)
def test_points_have_the_norms_distances_and_inner_products_of_whole_products(given_round):
    replies, _, _ = given_round
    rows, whole = points(products(replies, replies[0].adapter)), dense_all(replies)
    size = np.linalg.norm(whole, axis=1).max() + 1e-300
    assert rows.shape[1] <= len(replies)
    np.testing.assert_allclose((rows @ rows.T).numpy() / size**2, whole @ whole.T / size**2, atol=1e-13)
    np.testing.assert_allclose(distances(rows).numpy() / size, dense_distances(replies) / size, atol=1e-13)


def check_basis(measure, replies, rng):
    size = np.linalg.norm(dense_all(replies), axis=1).max()
    np.testing.assert_allclose(measure(all_turned(replies, rng)) / size, measure(replies) / size, atol=1e-12)


@given(rounds(least=2))
@settings(max_examples=40)
def test_the_same_update_in_another_basis_is_at_the_same_place(given_round):
    replies, _, rng = given_round
    check_basis(between, replies, rng)


def test_distances_of_raw_factors_would_depend_on_the_basis():
    rng = np.random.default_rng(1)
    replies = replies_of([adapter(rng) for _ in range(4)])
    check_basis(between, replies, rng)
    with pytest.raises(AssertionError):
        check_basis(by_raw_factors, replies, rng)


def check_digits(measure, size):
    """Two replies that differ by one known small part: its size comes back."""
    rng = np.random.default_rng(3)
    a, b = torch.tensor(rng.standard_normal((4, 30))), torch.tensor(rng.standard_normal((50, 4)))
    e, f = torch.tensor(rng.standard_normal((1, 30))), torch.tensor(rng.standard_normal((50, 1)))
    one = Adapter({"h": Factors(a, b)}, 4, 4.0)
    near = Adapter({"h": Factors(torch.cat([a, e]), torch.cat([b, size * f], dim=1))}, 5, 5.0)
    expected = size * float(torch.linalg.matrix_norm(f @ e))
    assert float(measure(replies_of([one, near]))[0, 1]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-11])
def test_a_small_distance_is_exact_where_a_difference_of_traces_would_be_noise(size):
    check_digits(between, size)
    if size < 1e-6:
        with pytest.raises(AssertionError):
            check_digits(by_traces, size)


def test_one_huge_reply_takes_no_digits_from_the_others():
    rng = np.random.default_rng(5)
    sent = adapter(rng)
    others = [moved(sent, rng, 1e-3) for _ in range(4)]
    huge = replace(sent, factors={m: Factors(f.a, 1e12 * f.b) for m, f in sent.factors.items()})
    alone = between(replies_of(others)).numpy()
    beside = between(replies_of([*others, huge])).numpy()
    np.testing.assert_allclose(beside[:4, :4], alone, rtol=1e-9)


def test_many_close_replies_keep_their_digits():
    """torch goes over to a difference of squares above 25 rows, unless it is told not to."""
    rng = np.random.default_rng(6)
    sent = adapter(rng)
    replies = replies_of([moved(sent, rng, 1e-9) for _ in range(40)])
    np.testing.assert_allclose(between(replies).numpy(), dense_distances(replies), rtol=1e-5, atol=0)


def test_a_few_rows_at_a_time_give_the_same_distances(monkeypatch):
    rng = np.random.default_rng(7)
    replies = replies_of([adapter(rng, {"h.0": (30, 20), "h.1": (11, 40)}, rank) for rank in (1, 2, 3, 4)])
    whole = between(replies)
    monkeypatch.setattr(room, "MOST_NUMBERS", 1)
    np.testing.assert_allclose(between(replies).numpy(), whole.numpy(), rtol=1e-12, atol=1e-12)


def test_no_large_matrix_is_formed():
    """Products of 200,000 x 200,000 would take 320 GB each."""
    one = Adapter({"h": Factors(torch.ones(1, 200_000), torch.ones(200_000, 1))}, 1, 1.0)
    other = Adapter({"h": Factors(-torch.ones(1, 200_000), torch.ones(200_000, 1))}, 1, 1.0)
    assert float(between(replies_of([one, other]))[0, 1]) == pytest.approx(400_000.0)


def test_what_has_learned_nothing_is_at_the_origin():
    zero = Adapter({"h": Factors(torch.ones(2, 3), torch.zeros(4, 2))}, 2, 4.0)
    assert float(points([product(zero)]).abs().max()) == 0


@pytest.mark.parametrize(
    "modules", [{"h.0": (9, 4)}, {**MODULES, "h.2": (2, 2)}, {**MODULES, "h.1": (8, 3)}], ids=["fewer", "more", "other"]
)
def test_other_layers_are_refused_by_name(modules):
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match=r"org-01: an adapter of other layers"):
        between(replies_of([adapter(rng), adapter(rng, modules)]))


def test_factors_that_do_not_multiply_are_refused_by_name():
    rng = np.random.default_rng(1)
    whole = adapter(rng)
    torn = replace(whole, factors={m: Factors(f.a[:1], f.b) for m, f in whole.factors.items()})
    with pytest.raises(ValueError, match=r"org-01: an adapter of other layers"):
        between(replies_of([whole, torn]))
