"""An audit's statistics against their definitions: exact sums, brute force over pairs, and whole distributions."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.privacy.audit.statistics import (
    auc,
    binomial_below,
    caught,
    clopper_pearson,
    epsilon_lower_bound,
    exposed_from,
    exposure,
    roc,
)

SCORES = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=12)


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0.01, 0.99))
def test_the_binomial_tail_is_the_sum_of_its_terms(count: int, trials: int, share: float) -> None:
    count = min(count, trials + 1)
    whole = sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(count))

    assert binomial_below(count, trials, share) == pytest.approx(whole, abs=1e-12)


@given(st.integers(0, 40), st.integers(1, 40))
def test_a_share_outside_its_interval_gives_what_was_seen_with_less_than_a_fortieth(found: int, trials: int) -> None:
    found = min(found, trials)
    own = clopper_pearson(found, trials)

    assert 0.0 <= own.low <= found / trials <= own.high <= 1.0
    if found:
        assert 1 - binomial_below(found, trials, own.low) == pytest.approx(0.025, abs=1e-9)
    if found < trials:
        assert binomial_below(found + 1, trials, own.high) == pytest.approx(0.025, abs=1e-9)


def test_intervals_of_a_share_are_those_that_are_published() -> None:
    # R: binom.test(7, 20)$conf.int and binom.test(0, 10)$conf.int
    assert clopper_pearson(7, 20).low == pytest.approx(0.1539092, abs=1e-6)
    assert clopper_pearson(7, 20).high == pytest.approx(0.5921885, abs=1e-6)
    assert clopper_pearson(0, 10).high == pytest.approx(0.3084971, abs=1e-6)
    assert (clopper_pearson(0, 0).value, clopper_pearson(0, 0).high) == (None, 1.0)
    with pytest.raises(ValueError, match="3 of 2"):
        clopper_pearson(3, 2)


@given(SCORES, SCORES)
def test_auc_is_the_share_of_pairs_in_which_the_member_is_above(members: list[float], others: list[float]) -> None:
    pairs = [(m > o) + (m == o) / 2 for m, o in itertools.product(members, others)]
    found = auc(members, others)

    assert found.value == pytest.approx(sum(pairs) / len(pairs))
    assert 0.0 <= found.low <= sum(pairs) / len(pairs) + 1e-9
    assert found.high >= sum(pairs) / len(pairs) - 1e-9


def test_the_interval_of_the_auc_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = random.Random(1)
    truth = 0.5 * math.erfc(-0.5)  # of two normal distributions with means 1 apart: Phi(1 / sqrt 2)
    covered = 0
    for _ in range(300):
        own = auc([rng.gauss(1, 1) for _ in range(40)], [rng.gauss(0, 1) for _ in range(40)])
        covered += own.low <= truth <= own.high

    assert 0.90 <= covered / 300 <= 0.99


@given(SCORES, SCORES, st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_the_attack_names_as_many_as_the_best_threshold_allows(
    members: list[float], others: list[float], allowed: float
) -> None:
    best = max(
        sum(m > edge for m in members) / len(members)
        for edge in (-1.0, *others, *members)
        if sum(o > edge for o in others) <= allowed * len(others) + 1e-9
    )

    assert caught(members, others, allowed).share.value == pytest.approx(best)


def test_guessing_lies_within_the_interval_of_chance_about_as_often_as_it_says() -> None:
    rng = random.Random(2)
    within = 0
    for _ in range(400):
        found = caught([rng.random() for _ in range(100)], [rng.random() for _ in range(200)])
        assert found.share.value is not None
        within += found.chance.low <= found.share.value <= found.chance.high

    assert 0.93 <= within / 400 <= 1.0
    assert caught([0.5] * 9, [0.5] * 9).chance.value == pytest.approx(1 / 10)


@given(SCORES, SCORES)
def test_a_roc_rises_from_nobody_to_everybody(members: list[float], others: list[float]) -> None:
    curve = roc(members, others, points=11)

    assert [false for false, _ in curve] == pytest.approx([at / 10 for at in range(11)])
    assert curve == sorted(curve)
    assert curve[-1] == (1.0, 1.0)
    assert curve[1][1] == caught(members, others, 0.1).share.value


def test_exposure_counts_the_bits_of_a_rank() -> None:
    assert exposure(1, 1024) == 10.0
    assert exposure(1024, 1024) == 0.0
    with pytest.raises(ValueError, match="rank 0"):
        exposure(0, 10)
    # Four codes that nobody planted, over all of their ranks: at least one seems known in one audit of a hundred.
    known = sum(exposure(rank, 10_000) >= exposed_from(4) for rank in range(1, 10_001)) / 10_000
    assert 1 - (1 - known) ** 4 == pytest.approx(0.01, abs=5e-4)


def test_an_attack_without_an_error_shows_as_much_as_its_runs_allow() -> None:
    bound = epsilon_lower_bound([1.0] * 20, [0.0] * 20, delta=0.0)

    # Ten runs judge it: 10 of 10 is at least 0.025 ** (1/10), and 0 of 10 at most one less that.
    right = 0.025**0.1
    assert bound.low == pytest.approx(math.log(right / (1 - right)), abs=1e-6)
    assert (bound.low, bound.value) == (bound.high, None)
    assert epsilon_lower_bound([1.0] * 20, [0.0] * 20, delta=0.5).low < bound.low
    with pytest.raises(ValueError, match="two runs"):
        epsilon_lower_bound([1.0], [0.0, 0.0], 0.0)


def test_the_bound_exceeds_the_true_epsilon_as_rarely_as_it_says() -> None:
    # Randomized response: with epsilon 1, each run says truly whether somebody took part with e / (1 + e).
    rng = random.Random(3)
    true = math.e / (1 + math.e)
    over = 0
    for _ in range(300):
        with_it = [float(rng.random() < true) for _ in range(40)]
        without = [float(rng.random() >= true) for _ in range(40)]
        over += epsilon_lower_bound(with_it, without, 0.0).low > 1.0

    assert over / 300 <= 0.05
