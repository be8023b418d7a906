"""Gaussian noise whose bits are the operating system's, and lots of the same kind.

Uniform numbers are 53 random bits each; Box and Muller make two Gaussian numbers of two of them. Every number that is
used is the sum of four, over 2: with one alone the bits of the uniform numbers can be searched for in the result
(Holohan and Braghin 2021, https://arxiv.org/abs/2107.10138). What floating point leaves open all the same (Mironov
2012): the numbers are no reals, so no proof for reals holds to the last bit; docs/privacy.md says it.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bits = Callable[[int], bytes]
"""Gives so many random bytes, other ones at each call."""

SUMMED = 4
CHUNK = 2**20
"""Numbers that are made at once."""


class Seeded:
    """Bytes that follow from a seed and a purpose: for tests, for whoever knows the seed can take the noise away."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._key, self._calls = f"{seed}|{purpose}", 0

    def __call__(self, count: int) -> bytes:
        """Give the next bytes."""
        self._calls += 1
        return hashlib.shake_256(f"{self._key}|{self._calls}".encode()).digest(count)


def bits(seed: int | None, purpose: str) -> Bits:
    """Give the operating system's random bytes, or those of a seed where there is one."""
    return os.urandom if seed is None else Seeded(seed, purpose)


def lots(seed: int | None, purpose: str) -> random.Random:
    """Give a drawer of lots: the operating system's, or a seed's where there is one."""
    return (
        random.SystemRandom() if seed is None else random.Random(hashlib.sha256(f"{seed}|{purpose}".encode()).digest())
    )


def gaussian(count: int, source: Bits) -> NDArray[np.float64]:
    """Draw so many independent numbers of mean 0 and deviation 1."""
    whole = np.empty(count)
    for start in range(0, count, CHUNK):
        whole[start : start + CHUNK] = _drawn(min(CHUNK, count - start), source)
    return whole


def _drawn(count: int, source: Bits) -> NDArray[np.float64]:
    total = np.zeros(count)
    for _ in range(SUMMED // 2):
        u = _uniform(count, source)
        angle = 2 * np.pi * _uniform(count, source)
        radius = np.sqrt(-2 * np.log1p(-u))
        total += radius * np.cos(angle)
        total += radius * np.sin(angle)
    total /= SUMMED**0.5
    return total


def _uniform(count: int, source: Bits) -> NDArray[np.float64]:
    """Draw numbers from 0 to below 1, each a multiple of 2^-53."""
    whole = np.frombuffer(source(8 * count), np.uint64) >> np.uint64(11)
    return whole.astype(np.float64) * 2.0**-53


def noised(change: Mapping[str, Tensor], deviation: float, source: Bits) -> dict[str, Tensor]:
    """Add independent noise of a deviation to every number of a change; none where that is 0."""
    if not deviation:
        return dict(change)
    return {
        name: tensor + deviation * torch.from_numpy(gaussian(tensor.numel(), source)).reshape(tensor.shape)
        for name, tensor in change.items()
    }
