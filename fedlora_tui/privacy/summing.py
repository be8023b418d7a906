"""The noised mean of a round's changes: the sum of the clipped ones and noise, over a number that is fixed beforehand.

mean = (sum_i clip(change_i, C) + N(0, (sigma C)^2)) / (q N). Every organization weighs the same, and the divisor does
not depend on who replied: without one organization the sum differs by C at most, and the mean by C / (q N). Whoever
was drawn and sent nothing counts as no change; with nobody at all the mean is noise alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.privacy.clipping import Change, Limit, change_of, moved, shortened, zero
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


def noised_mean(
    replies: Sequence[Adapter], sent: Adapter, factors: Collection[str], terms: Terms, source: Bits
) -> Adapter:
    """Give `sent` moved by the noised mean of the replies' changes, counted in float64.

    A change that carries noise is not shortened once more: that would shorten the noise.
    """
    total = zero(sent, factors)
    for reply in replies:
        change = change_of(reply, sent, factors)
        own = change if terms.parts else shortened(change, terms.limit)
        total = {name: tensor + own[name] for name, tensor in total.items()}
    return noised_total(total, len(replies), sent, terms, source)


def noised_total(total: Change, replies: int, sent: Adapter, terms: Terms, source: Bits) -> Adapter:
    """Give `sent` moved by the noised mean of so many replies' changes, of which the sum alone is known."""
    whole = noised(total, terms.missing(replies), source)
    return moved(sent, {name: tensor / terms.expected for name, tensor in whole.items()})
