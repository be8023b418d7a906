"""Random draws that are equal on every machine and Python version.

The generator's seed is a sha256 of its parts, never `hash()`, and every draw goes through `random()`: the other methods
of `random.Random` have changed between versions.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def seeded(*parts: object) -> random.Random:
    """A generator of its own for these parts; the same parts always give the same draws."""
    joined = "\x1f".join(str(part) for part in parts)
    digest = hashlib.sha256(joined.encode("utf-8", "surrogatepass")).digest()
    return random.Random(int.from_bytes(digest[:16], "big"))


def below(rng: random.Random, bound: int) -> int:
    """A whole number from 0 up to `bound`, without `bound` itself."""
    return int(rng.random() * bound)


def between(rng: random.Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return low + int(rng.random() * (high - low + 1))


def pick(rng: random.Random, items: Sequence[T]) -> T:
    """One of the items, each as likely."""
    return items[int(rng.random() * len(items))]


def shuffled(rng: random.Random, items: Iterable[T]) -> list[T]:
    """The items in a drawn order (Fisher and Yates)."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = below(rng, last + 1)
        order[last], order[other] = order[other], order[last]
    return order
