"""Krum, Multi-Krum and Bulyan's choice: their definition on whole products, and Flower's own on the same products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fedlora_tui.federation  # noqa: F401  (takes Flower's log handler away)
from fedlora_tui.aggregation.robust import defend
from fedlora_tui.aggregation.robust.krum import ranked
from tests.robust_rounds import (
    adapter,
    all_turned,
    dense,
    dense_distances,
    flower_aggregate,
    moved,
    names,
    product_records,
    raw,
    replies_of,
    rounds,
    start,
)


def scores(apart, byzantine, beyond=2):
    """The definition: squared distances to the n - f - 2 nearest others, added up."""
    count = len(apart)
    near = max(1, count - byzantine - beyond)
    return [sum(sorted(apart[i, j] ** 2 for j in range(count) if j != i)[:near]) for i in range(count)]


def by_definition(apart, byzantine, count, beyond=2):
    order = np.argsort(scores(apart, byzantine, beyond), kind="stable")
    return {names(len(apart))[place] for place in order[:count]}


def repeated(apart, byzantine, beyond=2):
    left, taken = list(range(len(apart))), set()
    while len(taken) < len(apart) - 2 * byzantine:
        best = int(np.argmin(scores(apart[np.ix_(left, left)], byzantine, beyond)))
        taken.add(names(len(apart))[left.pop(best)])
    return taken


def kept(name, byzantine, replies, sent):
    made = defend(name, byzantine, replies, start(sent))
    going = {reply.organization for reply in made.replies}
    assert going | set(made.left_out) == set(names(len(replies)))
    assert not going & set(made.left_out)
    return going


@st.composite
def sized(draw, per_byzantine, own_ranks=True):
    byzantine = draw(st.integers(0, 2))
    least = per_byzantine * byzantine + 3
    return byzantine, draw(rounds(least=least, most=least + 3, own_ranks=own_ranks))


def distinct(values):
    """Scores that are equal but for rounding have no order to test."""
    ordered = np.sort(values)
    assume((np.diff(ordered) > 1e-9 * ordered.max()).all())


@given(sized(2))
@settings(max_examples=40)
def test_krum_and_multi_krum_choose_by_their_definition(given_round):
    byzantine, (replies, sent, rng) = given_round
    apart = dense_distances(replies)
    distinct(scores(apart, byzantine))
    for name, count in (("krum", 1), ("multi-krum", len(replies) - byzantine)):
        expected = by_definition(apart, byzantine, count)
        assert kept(name, byzantine, replies, sent) == expected
        assert kept(name, byzantine, all_turned(replies, rng), sent) == expected


@given(sized(4, own_ranks=False))
@settings(max_examples=25)
def test_bulyan_chooses_by_repeated_krum_whatever_the_basis(given_round):
    byzantine, (replies, sent, rng) = given_round
    apart = dense_distances(replies)
    # With one neighbour each, two that are nearest to one another have the same score: their names decide.
    distinct(apart[np.triu_indices(len(apart), 1)])
    expected = repeated(apart, byzantine)
    assert kept("bulyan", byzantine, replies, sent) == expected
    assert kept("bulyan", byzantine, all_turned(replies, rng), sent) == expected


def seeds_where(holds):
    """The seeds of rounds in which a mutant chooses otherwise; there must be such."""
    return [seed for seed in range(40) if holds(np.random.default_rng(seed))]


def rounds_of_nine(rng):
    sent = adapter(rng)
    return replies_of([moved(sent, rng, float(rng.uniform(0.1, 1.0))) for _ in range(9)])


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_scores_with_other_numbers_of_neighbours_are_told_apart(name):
    def checked(beyond):
        def differs(rng):
            replies = rounds_of_nine(rng)
            count = 1 if name == "krum" else 7
            expected = by_definition(dense_distances(replies), 2, count, beyond)
            return kept(name, 2, replies, replies[0].adapter) != expected

        return seeds_where(differs)

    assert checked(2) == []
    assert checked(0)
    assert checked(1)


def test_one_multi_krum_in_place_of_repeated_krum_is_told_apart():
    def differs(choice):
        def checked(rng):
            replies = replies_of([adapter(rng) for _ in range(11)])
            return kept("bulyan", 2, replies, replies[0].adapter) != choice(dense_distances(replies))

        return seeds_where(checked)

    assert differs(lambda apart: repeated(apart, 2)) == []
    assert differs(lambda apart: by_definition(apart, 2, 7))


def test_distances_of_raw_factors_would_choose_otherwise_in_another_basis():
    def choose(replies):
        rows = np.stack([raw(reply.adapter) for reply in replies])
        return by_definition(np.linalg.norm(rows[:, None] - rows[None], axis=2), 2, 1)

    def differs(chooses):
        def checked(rng):
            replies = rounds_of_nine(rng)
            return chooses(all_turned(replies, rng)) != chooses(replies)

        return seeds_where(checked)

    assert differs(lambda replies: kept("krum", 2, replies, replies[0].adapter)) == []
    assert differs(choose)


@pytest.mark.parametrize(("byzantine", "count"), [(0, 3), (0, 6), (1, 5), (2, 9), (3, 9)])
@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_it_is_flowers_own_where_flower_is_given_whole_products(name, byzantine, count):
    """Flower measures the arrays that it is given, so it is given products; how many go on it has to be told."""
    from flwr.serverapp.strategy import Krum, MultiKrum

    rng = np.random.default_rng(count)
    sent = adapter(rng)
    weights = [float(weight) for weight in rng.integers(1, 99, count)]
    replies = replies_of([moved(sent, rng, float(rng.uniform(0.1, 1.0))) for _ in range(count)], weights)
    if name == "krum":
        strategy = Krum(num_malicious_nodes=byzantine)
    else:
        strategy = MultiKrum(num_malicious_nodes=byzantine, num_nodes_to_select=count - byzantine)
    theirs = flower_aggregate(strategy, product_records(replies))["products"]
    going = defend(name, byzantine, replies, start(sent)).replies
    ours = np.average([dense(r.adapter) for r in going], axis=0, weights=[r.weight for r in going])
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("byzantine", "count"), [(1, 7), (2, 11), (2, 13)])
def test_bulyan_chooses_as_flowers_krum_does_again_and_again(byzantine, count):
    from flwr.serverapp.strategy.multikrum import select_multikrum

    rng = np.random.default_rng(count)
    replies = replies_of([adapter(rng) for _ in range(count)])
    left = dict(zip(names(count), product_records(replies), strict=True))
    taken = set()
    while len(taken) < count - 2 * byzantine:
        best = select_multikrum(list(left.values()), byzantine, 1)[0]
        name = next(name for name, content in left.items() if content is best)
        taken.add(name)
        del left[name]
    assert kept("bulyan", byzantine, replies, replies[0].adapter) == taken


def test_among_equal_scores_the_first_name_goes_on():
    one = adapter(np.random.default_rng(1))
    made = defend("krum", 1, replies_of([one] * 5)[::-1], start(one))
    assert [reply.organization for reply in made.replies] == ["org-00"]
    assert made.left_out == ("org-01", "org-02", "org-03", "org-04")


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_what_is_chosen_goes_on_as_it_came(name):
    rng = np.random.default_rng(1)
    replies = replies_of([adapter(rng) for _ in range(7)], [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
    going = defend(name, 1, replies, start(replies[0].adapter)).replies
    assert len(going) == (1 if name == "krum" else 6)
    assert all(any(reply is each for each in replies) for reply in going)


def test_scores_of_the_last_few_need_no_neighbours_that_are_not_there():
    assert ranked(torch.zeros(1, 1, dtype=torch.float64), 0) == [0]
    assert ranked(torch.tensor([[0.0, 2.0], [2.0, 0.0]], dtype=torch.float64), 1) == [0, 1]
