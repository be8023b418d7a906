"""Sums of float64 numbers that are exact, and so the same in whatever order their addends come.

As in reproducible summation (Demmel and Nguyen 2015, https://doi.org/10.1109/TC.2014.2345391) every addend is cut into
whole multiples of 2^(44 k), one part a k, of at most 2^43 multiples each; floating point itself does that, by a number
that is added and taken away again. Parts of one k are added up in one float64 number, without any rounding while they
are 2^10 at most; before that, each part is brought below 2^43 multiples again and the rest carried to the next k. Only
those k are kept that an addend needed: for adapters of float32 numbers two or three. Carried until every part is from
-2^43 to below 2^43, a sum is written in one way alone, and by that it is rounded when it is read.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

WIDTH = 44
"""Bits of an addend that go into one part."""

LOWEST = -21
"""The last k, of multiples of 2^-924: below what a product of two float32 numbers and a count can hold."""

BEFORE_CARRYING = 2**9
"""So many addends are added up before parts are carried."""

AT_ONCE = 2**14
"""Numbers that are gone through together: what is made of them stays in a processor's cache."""


class ExactSum:
    """The sum of vectors of one length; it takes as much memory as it has parts, however many are added."""

    def __init__(self, length: int) -> None:
        self.count = 0
        self._room = torch.empty(2, min(AT_ONCE, length), dtype=torch.float64)
        self._pieces = [_Piece(min(AT_ONCE, length - start)) for start in range(0, length, AT_ONCE)]

    def add(self, addend: Tensor, times: float = 1.0) -> None:
        """Add a vector, times a number, in float64."""
        self.count += 1
        if self.count % BEFORE_CARRYING == 0:
            for piece in self._pieces:
                piece.parts = piece.carried()
        for at, piece in enumerate(self._pieces):
            own = addend[at * AT_ONCE : (at + 1) * AT_ONCE]
            left, multiples = self._room[:, : len(own)]
            piece.add(torch.mul(left.copy_(own), times, out=left), multiples)

    def total(self) -> Tensor:
        """Give the sum, rounded to float64: off by less than two units in its last place."""
        totals = [piece.total() for piece in self._pieces]
        return torch.cat(totals) if totals else torch.zeros(0, dtype=torch.float64)

    @property
    def bytes(self) -> int:
        """What it keeps."""
        return sum(part.numel() * part.element_size() for piece in self._pieces for part in piece.parts.values())


class _Piece:
    def __init__(self, length: int) -> None:
        self.parts: dict[int, Tensor] = {}
        self._length = length
        self._not_finite: Tensor | None = None

    def add(self, left: Tensor, multiples: Tensor) -> None:
        """Add what is `left`; both tensors are worked in."""
        size = largest(left)
        if not math.isfinite(size):
            left = self._without_not_finite(left)
            size = largest(left)
        if not size:
            return
        for k in range(_first(size), LOWEST - 1, -1):
            # So much is added that nothing below a multiple of 2^(44 k) finds room beside it.
            beside = math.ldexp(1.5, 52 + WIDTH * k)
            torch.add(left, beside, out=multiples).sub_(beside)
            if k not in self.parts:
                self.parts[k] = torch.zeros_like(left)
            self.parts[k] += multiples
            if not torch.count_nonzero(left.sub_(multiples)):
                return

    def total(self) -> Tensor:
        whole = torch.zeros(self._length, dtype=torch.float64)
        for part in self.carried().values():
            whole += part
        return whole if self._not_finite is None else whole + self._not_finite

    def carried(self) -> dict[int, Tensor]:
        """Give the parts of the same sum, smallest first, in the one way to write it: no two undo each other."""
        found: dict[int, Tensor] = {}
        carry = torch.zeros(self._length, dtype=torch.float64)
        k, highest = min(self.parts, default=0), max(self.parts, default=-1)
        while k <= highest or torch.count_nonzero(carry):
            part = self.parts[k] + carry if k in self.parts else carry
            next_counts_by = math.ldexp(1.0, WIDTH * (k + 1))
            carry = (part / next_counts_by + 0.5).floor_() * next_counts_by
            found[k] = part - carry
            k += 1
        return found

    def _without_not_finite(self, addend: Tensor) -> Tensor:
        """Put aside what is nan or infinity: it makes the sum so."""
        finite = addend.isfinite()
        beyond = addend.masked_fill(finite, 0.0)
        self._not_finite = beyond if self._not_finite is None else self._not_finite + beyond
        return addend.masked_fill(~finite, 0.0)


def largest(numbers: Tensor) -> float:
    """Give the largest size of some numbers, nan or infinity where one of them is."""
    low, high = numbers.aminmax()
    return max(-float(low), float(high))


def _first(size: float) -> int:
    """Give the k of the first part of addends that are no larger: at most 2^43 multiples of 2^(44 k)."""
    return max(LOWEST, -((WIDTH - 1 - math.frexp(size)[1]) // WIDTH))
