"""Who trains and who measures: drawn from the seed, the round and the names alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.config import FederationConfig
from fedlora_tui.engine.sampling import MEASURED_AT_MOST, measured, needed, sampled

names = st.lists(st.text("abcdef", min_size=1, max_size=6), min_size=1, max_size=30, unique=True)


@given(names, st.floats(0.01, 1.0), st.integers(1, 4), st.integers(0, 99), st.integers(1, 99), st.randoms())
def test_a_sample_is_of_the_names_in_order_and_of_the_right_size(organizations, fraction, least, seed, round, rng):
    chosen = sampled(organizations, fraction, least, seed, round)
    assert list(chosen) == sorted(set(chosen))
    assert set(chosen) <= set(organizations)
    assert len(chosen) >= min(least, len(organizations))
    assert len(chosen) - 1 < max(fraction * len(organizations), least)
    shuffled = list(organizations)
    rng.shuffle(shuffled)
    assert sampled(shuffled, fraction, least, seed, round) == chosen


def test_a_whole_fraction_takes_all():
    assert sampled(["c", "a", "b"], 1.0, 2, 7, 1) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("fraction", "count", "expected"), [(0.07, 100, 7), (0.5, 3, 2), (0.1, 30, 3), (0.29, 100, 29)]
)
def test_a_share_is_rounded_up_and_not_by_what_floating_point_adds(fraction, count, expected):
    organizations = [str(number) for number in range(count)]
    assert len(sampled(organizations, fraction, 1, 7, 1)) == expected
    assert len(measured(organizations, fraction, 7)) == expected


def test_samples_differ_by_round_and_by_seed_and_reach_everyone():
    organizations = [f"org-{number}" for number in range(20)]
    rounds = [sampled(organizations, 0.25, 2, 7, round) for round in range(1, 41)]
    assert len(set(rounds)) > 30
    assert {name for chosen in rounds for name in chosen} == set(organizations)
    assert rounds != [sampled(organizations, 0.25, 2, 8, round) for round in range(1, 41)]


@given(names, st.floats(0.01, 1.0), st.integers(0, 99))
def test_those_who_measure_are_the_same_whoever_asks(organizations, fraction, seed):
    chosen = measured(organizations, fraction, seed)
    assert measured(organizations[::-1], fraction, seed) == chosen
    assert list(chosen) == sorted(set(chosen) & set(organizations))
    assert 1 <= len(chosen) <= len(organizations)


def test_when_one_leaves_the_others_who_measure_stay():
    organizations = [f"org-{number}" for number in range(20)]
    before = set(measured(organizations, 0.5, 7))
    rest = [name for name in organizations if name != "org-3"]
    assert before - {"org-3"} <= set(measured(rest, 0.53, 7))


def test_above_256_a_fixed_sample_of_256_measures():
    organizations = [f"org-{number}" for number in range(1000)]
    assert len(measured(organizations, 1.0, 7)) == MEASURED_AT_MOST == 256


def test_texts_are_needed_by_who_measures_then_by_who_trains_round_by_round_each_once():
    names = [f"org-{number:03d}" for number in range(300)]
    federation = FederationConfig(fraction=0.01, fraction_evaluate=0.02, rounds=5, min_organizations=2, seed=7)
    order = list(needed(names, federation))
    first = measured(names, 0.02, 7)
    assert tuple(order[:6]) == first
    rounds = [name for round in range(1, 6) for name in sampled(names, 0.01, 2, 7, round)]
    assert order[6:] == [name for name in dict.fromkeys(rounds) if name not in first]


def test_of_few_all_texts_are_needed_at_once():
    names = ["b", "a", "c"]
    assert list(needed(names, FederationConfig(fraction=0.5))) == names
