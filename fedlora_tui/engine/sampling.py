"""Who takes part in a round, drawn from the seed and the round alone."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from itertools import chain

from fedlora_tui.config import FederationConfig

MEASURED_AT_MOST = 256


def sampled(
    organizations: Sequence[str], fraction: float, least: int, seed: int, round: int, oversample: float = 0.0
) -> tuple[str, ...]:
    """Give the organizations that train in a round: a share of all, `least` at least, in the order of names.

    `oversample` is the share of that number that is sampled beyond it, where there are more.
    """
    names = sorted(organizations)
    goal = goal_of(len(names), fraction, least)
    count = min(len(names), goal + _share(oversample, goal))
    generator = random.Random(hashlib.sha256(f"sample|{seed}|{round}".encode()).digest())
    return tuple(sorted(generator.sample(names, count)))


def goal_of(count: int, fraction: float, least: int) -> int:
    """Give how many of so many organizations train in a round: a share of all, `least` at least where they are here."""
    return min(count, max(least, _share(fraction, count)))


def measured(organizations: Sequence[str], fraction: float, seed: int) -> tuple[str, ...]:
    """Give the organizations that measure their hold-out: the same every round, so that rounds compare."""
    count = min(MEASURED_AT_MOST, max(1, _share(fraction, len(organizations))))

    def lot(name: str) -> bytes:
        return hashlib.sha256(f"measure|{seed}|{name}".encode()).digest()

    return tuple(sorted(sorted(organizations, key=lot)[:count]))


def needed(names: Sequence[str], federation: FederationConfig) -> Iterator[str]:
    """Give organizations in the order in which a run that nobody steers needs their texts, each once."""
    many, seed = len(names) > MEASURED_AT_MOST, federation.seed
    left = dict.fromkeys(names)
    first = measured(names, federation.fraction_evaluate, seed) if many else names
    rounds = (
        sampled(names, federation.fraction, federation.min_organizations, seed, round, federation.oversample)
        for round in range(1, federation.rounds + 1)
    )
    for some in chain([first], rounds):
        for name in some:
            if name in left:
                del left[name]
                yield name
        if not left:
            return


def _share(fraction: float, count: int) -> int:
    """Round a share of a count up; 0.07 of 100 is 7, though in floating point their product is a little more."""
    return math.ceil(round(fraction * count, 9))
