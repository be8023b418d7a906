"""Who takes part in a round, drawn from the seed and the round alone."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence

MEASURED_AT_MOST = 256


def sampled(organizations: Sequence[str], fraction: float, least: int, seed: int, round: int) -> tuple[str, ...]:
    """Give the organizations that train in a round: a share of all, `least` at least, in the order of names."""
    names = sorted(organizations)
    count = min(len(names), max(least, _share(fraction, len(names))))
    generator = random.Random(hashlib.sha256(f"sample|{seed}|{round}".encode()).digest())
    return tuple(sorted(generator.sample(names, count)))


def measured(organizations: Sequence[str], fraction: float, seed: int) -> tuple[str, ...]:
    """Give the organizations that measure their hold-out: the same every round, so that rounds compare."""
    count = min(MEASURED_AT_MOST, max(1, _share(fraction, len(organizations))))

    def lot(name: str) -> bytes:
        return hashlib.sha256(f"measure|{seed}|{name}".encode()).digest()

    return tuple(sorted(sorted(organizations, key=lot)[:count]))


def _share(fraction: float, count: int) -> int:
    """Round a share of a count up; 0.07 of 100 is 7, though in floating point their product is a little more."""
    return math.ceil(round(fraction * count, 9))
