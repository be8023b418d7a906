"""The noised mean of a round's changes: the sum of the clipped ones and noise, over a number that is fixed beforehand.

mean = (sum_i clip(change_i, C) + N(0, (sigma C)^2)) / (q N). Every organization weighs the same, and the divisor does
not depend on who replied: without one organization the sum differs by C at most, and the mean by C / (q N). Whoever
was drawn and sent nothing counts as no change; with nobody at all the mean is noise alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fedlora_tui.aggregation.means import RunningMean
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.privacy.clipping import Change, Limit, change_of, moved, shortened
from fedlora_tui.privacy.noise import Bits, noised


@dataclass(frozen=True)
class Terms:
    """How a round's changes are protected: their limit C, the noise on their sum over C, and the divisor q N.

    Where organizations add the noise, each one drawn its part before its change leaves it, there are as many `parts` as
    can be drawn at most; 0: the server adds it.
    """

    limit: Limit
    noise_multiplier: float
    expected: float
    parts: int = 0

    @property
    def deviation(self) -> float:
        """The deviation of the noise on every number of the sum."""
        return self.noise_multiplier * self.limit.norm

    @property
    def own_deviation(self) -> float:
        """That of the noise which one organization adds."""
        # Fewer, larger parts would add up to more noise where more are drawn: how much there is tells how many.
        return self.deviation / math.sqrt(self.parts) if self.parts else 0.0

    def missing(self, replies: int) -> float:
        """Give the deviation of the noise that the server still has to add where so many organizations replied."""
        return math.sqrt(max(0.0, self.deviation**2 - replies * self.own_deviation**2))


class ChangeSum:
    """The sum of changes, each held to its limit, of replies that come one after the other; in whatever order."""

    def __init__(self, sent: Adapter, factors: Collection[str], terms: Terms) -> None:
        self._sent, self._factors, self._terms = sent, factors, terms
        self._sum = RunningMean(sent, factors)
        self._count = 0

    def add(self, reply: Adapter) -> None:
        """Add a reply's change. One that carries noise is not shortened once more: that would shorten the noise."""
        change = change_of(reply, self._sent, self._factors)
        self._sum.add(change if self._terms.parts else shortened(change, self._terms.limit), 1.0)
        self._count += 1

    def noised_mean(self, source: Bits) -> Adapter:
        """Give `sent` moved by the noised mean of the changes."""
        return noised_total(self._sum.mean(over=1.0), self._count, self._sent, self._terms, source)


def noised_mean(
    replies: Iterable[Adapter], sent: Adapter, factors: Collection[str], terms: Terms, source: Bits
) -> Adapter:
    """Give `sent` moved by the noised mean of the replies' changes, counted in float64."""
    changes = ChangeSum(sent, factors, terms)
    for reply in replies:
        changes.add(reply)
    return changes.noised_mean(source)


def noised_total(total: Change, replies: int, sent: Adapter, terms: Terms, source: Bits) -> Adapter:
    """Give `sent` moved by the noised mean of so many replies' changes, of which the sum alone is known."""
    whole = noised(total, terms.missing(replies), source)
    return moved(sent, {name: tensor / terms.expected for name, tensor in whole.items()})
