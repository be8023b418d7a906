"""Epsilon: published vectors, bounds that hold, and the least noise for a budget."""

from __future__ import annotations

import math
import random
from statistics import NormalDist

import numpy as np
import pytest

from fedlora_tui.privacy.accounting import PLD, RDP, Charge, in_words, least_noise, pld_epsilon, rdp_epsilon, spent
from fedlora_tui.privacy.noise import Seeded, bits, gaussian, lots

DELTA = 1e-5


def test_rdp_gives_what_dp_accounting_publishes():
    """Sigma 1, 100 rounds, delta 1e-5: without sampling, and with Poisson sampling at q = 0.1."""
    assert rdp_epsilon([(Charge(1.0, 1.0, "poisson"), 100)], DELTA) == pytest.approx(96.116, abs=5e-4)
    assert rdp_epsilon([(Charge(1.0, 0.1, "poisson"), 100)], DELTA) == pytest.approx(7.904, abs=5e-4)


def gaussian_epsilon(noise: float, rounds: int, delta: float) -> float:
    """The exact epsilon of so many sums that all take part in (Balle and Wang 2018), by bisection."""
    mu = math.sqrt(rounds) / noise

    def cdf(x: float) -> float:
        return math.erfc(-x / math.sqrt(2)) / 2

    def exceeds(epsilon: float) -> bool:
        tail = cdf(-mu / 2 - epsilon / mu)
        return cdf(mu / 2 - epsilon / mu) - (math.exp(epsilon) * tail if tail else 0.0) > delta

    low, high = 0.0, 600.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeds(middle) else (low, middle)
    return high


@pytest.mark.parametrize(("noise", "rounds"), [(1.0, 1), (1.0, 100), (4.0, 20), (50.0, 60)])
def test_with_all_in_every_sum_the_bound_is_exact_or_a_little_above(noise, rounds):
    found = spent([Charge(noise, 1.0, "poisson")] * rounds, DELTA)
    exact = gaussian_epsilon(noise, rounds, DELTA)
    assert exact <= found.epsilon <= exact * 1.002 + 1e-4
    assert found.accountant == PLD


def test_the_lower_bound_of_two_is_told_by_name():
    sampled = [Charge(1.0, 0.1, "poisson")] * 100
    found = spent(sampled, DELTA)
    assert (found.epsilon, found.accountant) == (pytest.approx(7.047, abs=2e-3), PLD)
    assert found.epsilon < rdp_epsilon([(sampled[0], 100)], DELTA)
    assert spent([Charge(20.0, 0.01, "fixed")] * 20, DELTA).accountant == RDP
    assert spent([], DELTA).epsilon == 0.0


def test_a_fixed_number_is_charged_as_if_one_organization_were_another():
    """A sum then differs by 2 C: with nearly all in it, epsilon is that of half the noise."""
    nearly = spent([Charge(4.0, 0.99, "fixed")] * 20, DELTA)
    assert nearly.epsilon == pytest.approx(gaussian_epsilon(2.0, 20, DELTA), rel=2e-3)
    assert nearly.accountant == PLD, "counted without amplification: where nearly all are drawn RDP's is a loose bound"
    few = [(Charge(4.0, 0.05, "fixed"), 20)]
    assert rdp_epsilon(few, DELTA) < pld_epsilon(few, DELTA, 1e-3), "PLD knows of no amplification here"
    whole, part = Charge(4.0, 1.0, "fixed"), Charge(4.0, 0.5, "fixed")
    assert spent([whole] * 9, DELTA) == spent([Charge(4.0, 1.0, "poisson")] * 9, DELTA)
    assert spent([whole] * 8 + [part], DELTA).epsilon > spent([whole] * 9, DELTA).epsilon


def test_more_sums_less_noise_and_more_sampling_cost_more():
    base = spent([Charge(2.0, 0.3, "poisson")] * 10, DELTA).epsilon
    assert base < spent([Charge(2.0, 0.3, "poisson")] * 11, DELTA).epsilon
    assert base < spent([Charge(1.9, 0.3, "poisson")] * 10, DELTA).epsilon
    assert base < spent([Charge(2.0, 0.35, "poisson")] * 10, DELTA).epsilon
    assert base < spent([Charge(2.0, 0.3, "poisson")] * 10, DELTA / 10).epsilon


@pytest.mark.parametrize(("probability", "sampling"), [(1.0, "poisson"), (0.25, "poisson"), (0.5, "fixed")])
def test_the_least_noise_keeps_within_the_budget_and_hardly_less_does(probability, sampling):
    noise = least_noise(3.0, DELTA, 12, lambda noise: Charge(noise, probability, sampling))
    assert spent([Charge(noise, probability, sampling)] * 12, DELTA).epsilon <= 3.0
    assert spent([Charge(noise * 0.99, probability, sampling)] * 12, DELTA).epsilon > 3.0


def test_an_epsilon_is_never_written_lower_than_it_is():
    assert [in_words(x) for x in (0.0, 1.1, 7.9901, 8.0, 633.841)] == ["0.00", "1.10", "8.00", "8.00", "633.85"]


def test_no_noise_is_enough_for_next_to_nothing():
    assert least_noise(1e-6, 1e-12, 10_000, lambda noise: Charge(noise, 1.0, "poisson")) is None


@pytest.mark.parametrize("source", [bits(None, ""), Seeded(3, "test")])
def test_noise_is_gaussian_from_either_source(source):
    values = gaussian(200_000, source)
    count = values.size
    # The system's bits are others each time: six standard errors are left once in 500 million times.
    assert abs(values.mean()) < 6 / count**0.5
    assert abs(values.var() - 1) < 6 * (2 / count) ** 0.5
    assert abs((values**3).mean()) < 6 * (15 / count) ** 0.5
    assert abs((values**4).mean() - 3) < 6 * (96 / count) ** 0.5
    # Kolmogorov and Smirnov's distance, whose chance to be above 3 / sqrt(n) is 1 in 30 million.
    normal = NormalDist()
    ordered = np.sort(values[:20_000])
    expected = np.array([normal.cdf(value) for value in ordered])
    assert np.abs(expected - (np.arange(20_000) + 0.5) / 20_000).max() < 3 / 20_000**0.5
    # Two of so many are the same number once in a million times, and four never are.
    assert len(np.unique(values)) > count - 2


def test_seeded_bytes_repeat_for_one_purpose_and_the_systems_never_do():
    assert Seeded(3, "a")(64) == Seeded(3, "a")(64) != Seeded(3, "b")(64)
    one = Seeded(3, "a")
    assert one(64) != one(64)
    assert bits(None, "a")(64) != bits(None, "a")(64)
    assert isinstance(lots(None, "a"), random.SystemRandom)
    assert lots(3, "a").random() == lots(3, "a").random() != lots(4, "a").random()
