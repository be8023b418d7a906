"""An update as whole numbers that can be summed under masks, and the sum as a mean again.

A word is round(x w/unit 2^f) modulo 2^bits, for a number x of the update, cut to [-range, range], and a weight w of at
most `unit`. Two more words hold w itself and how many numbers were cut, so that the sum tells both for all together. f
is the largest for which no sum of so many organizations can wrap around. Rounding is to the nearest, so it is the same
every time, and an error is at most half a step an organization: see `bound`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedlora_tui.privacy.secure_sum.masks import Words

Values = NDArray[np.float64]

EXTRA_WORDS = 2
"""The weight, and how many numbers were cut."""

NARROW_AT_MOST = 64
NARROW_RANGE = 2**12
"""With more organizations in a sum, or a wider range for all of them, words of 32 bits would leave coarse steps."""

MOST_UNIT = 2**53


@dataclass(frozen=True)
class Fixed:
    """How numbers become words in a round of so many `organizations`, none of whose weight is above `unit`."""

    organizations: int
    unit: int
    range: float

    @property
    def bits(self) -> int:
        """How many bits a word has, 32 or 64."""
        few, light = self.organizations <= NARROW_AT_MOST, self.organizations * self.unit < 2**32
        return 32 if few and light and self.organizations * self.range <= NARROW_RANGE else 64

    @property
    def kind(self) -> np.dtype[Any]:
        """The words' format."""
        return np.dtype("<u4" if self.bits == 32 else "<u8")

    @cached_property
    def scale(self) -> float:
        """2^f: how many steps there are in 1."""
        # A word is at most range 2^f + 1/2 from zero; their sum must stay below half of what words can hold.
        room = math.log2((2.0 ** (self.bits - 1) - self.organizations) / (self.organizations * self.range))
        # Beyond 2^52 steps floating point has none to round to.
        return 2.0 ** min(math.floor(room), 52 - math.ceil(math.log2(self.range)))

    def words(self, update: Values, weight: int) -> Words:
        """Lay an update and its weight out as words. ValueError where it is not finite, or the weight not allowed."""
        if not 0 < weight <= self.unit:
            raise ValueError(f"a weight of {weight:,} where a round's are from 1 to {self.unit:,}")
        if not np.isfinite(update).all():
            raise ValueError("nan or infinity in the update")
        cut = np.clip(update, -self.range, self.range)
        steps = np.rint(cut * (weight / self.unit) * self.scale).astype(np.int64)
        outside = min(int(np.count_nonzero(cut != update)), (2**self.bits - 1) // self.organizations)
        own = np.array([weight, outside], np.uint64)
        return np.concatenate([steps.astype(np.uint64), own]).astype(self.kind)

    def mean(self, total: Words) -> Mean:
        """Read the weighted mean out of a sum of words. ValueError where all weights are zero."""
        weight, outside = int(total[-2]), int(total[-1])
        if weight == 0:
            raise ValueError("a sum of no weight")
        signed = total[:-EXTRA_WORDS].view(f"<i{self.kind.itemsize}").astype(np.float64)
        return Mean(signed * (self.unit / (self.scale * weight)), weight, outside)

    def bound(self, replies: int, weight: int) -> float:
        """Give how far a mean of so many replies, of that weight together, can be off in each number by rounding."""
        return 0.5 * replies * self.unit / (self.scale * weight)


@dataclass(frozen=True)
class Mean:
    """The weighted mean of updates, their weights' sum, and how many of all their numbers were cut to the range."""

    values: Values
    weight: int
    outside: int


def unit_of(largest: int) -> int:
    """Give the least power of two that no weight is above: it tells next to nothing of the largest one."""
    return min(1 << max(0, largest - 1).bit_length(), MOST_UNIT)
