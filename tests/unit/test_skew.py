"""An organization's distance from everybody: bounded, symmetric, a metric, and equal to its definition."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.organizations.skew import distance

COUNTS = st.dictionaries(st.integers(0, 12), st.integers(1, 1000), min_size=1)


def by_definition(one, other):
    """The square root of the mean of two divergences from the middle, in bits."""

    def divergence(counts, total):
        terms = []
        for token, count in counts.items():
            share = count / total
            middle = (one.get(token, 0) / sum(one.values()) + other.get(token, 0) / sum(other.values())) / 2
            terms.append(share * math.log2(share / middle))
        return math.fsum(terms)

    return math.sqrt(max(0.0, divergence(one, sum(one.values())) + divergence(other, sum(other.values()))) / 2)


@given(COUNTS, COUNTS)
def test_it_is_the_jensen_shannon_distance(one, other):
    assert distance(one, other) == pytest.approx(by_definition(one, other), abs=1e-6)
    assert distance(one, other) == pytest.approx(distance(other, one), abs=1e-6)
    assert 0 <= distance(one, other) <= 1


@given(COUNTS, COUNTS, COUNTS)
def test_no_way_round_is_shorter(one, other, third):
    assert distance(one, other) <= distance(one, third) + distance(third, other) + 1e-6


@given(COUNTS, st.integers(1, 9))
def test_only_shares_count_not_amounts(one, times):
    assert distance(one, {token: times * count for token, count in one.items()}) == pytest.approx(0, abs=1e-6)


def test_the_ends_of_the_scale():
    assert distance({1: 3}, {2: 9}) == 1
    assert distance({1: 1, 2: 1}, {2: 4}) == pytest.approx(0.5579, abs=1e-4)
    assert distance({}, {1: 1}) is None
    assert distance(Counter({1: 0}), {1: 1}) is None
