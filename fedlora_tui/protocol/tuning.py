"""What the settings that turn while a run goes on may hold, and what each method asks of ranks and servers.

config.py and `aggregation` say it of themselves. It stands here, too, because a face knows neither: it offers what will
be taken and says beforehand what would be refused. The run alone decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """What a setting may hold: from `least` to `most`, without `least` itself where it is `open`."""

    least: float
    most: float
    whole: bool = True
    open: bool = False

    def hold(self, value: float) -> bool:
        """Tell whether a value lies within them."""
        return (value > self.least if self.open else value >= self.least) and value <= self.most

    @property
    def words(self) -> str:
        """Write them: `1 to 1,024`, `above 0 to 1`."""
        return f"{'above ' if self.open else ''}{self.least:,g} to {_number(self.most)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


BOUNDS: Mapping[str, Bounds] = {
    "rank": Bounds(1, 1024),
    "rounds": Bounds(1, 1_000_000),
    "rate": Bounds(0, 10, whole=False, open=True),
    "steps": Bounds(1, 1_000_000),
    "fraction": Bounds(0, 1, whole=False, open=True),
}
"""By the command that turns it."""


@dataclass(frozen=True)
class Terms:
    """What a method asks of a run, as `aggregation.method.Method` has it.

    `needs_replies`: weighted sums of the factors are not enough for it. `both`: A and B travel up in every round.
    `weighs`: it weighs replies itself.
    """

    needs_replies: bool = False
    changes_base: bool = False
    unequal_ranks: bool = False
    keeps_b_at_home: bool = False
    keeps_rank: bool = False
    continues: bool = True
    both: bool = True
    weighs: bool = False


METHODS: Mapping[str, Terms] = {
    "fedit": Terms(),
    "ffa": Terms(both=False),
    "rolora": Terms(both=False),
    "flora": Terms(needs_replies=True, changes_base=True, unequal_ranks=True, continues=False),
    "fedex": Terms(needs_replies=True, changes_base=True),
    "flexlora": Terms(needs_replies=True, unequal_ranks=True, continues=False),
    "hetlora": Terms(needs_replies=True, unequal_ranks=True, weighs=True),
    "fair": Terms(needs_replies=True),
    "fedsa": Terms(keeps_b_at_home=True, keeps_rank=True, both=False),
    "fedsvd": Terms(keeps_rank=True, continues=False, both=False),
}
"""Every method by its name, in the order of the configuration."""

AVERAGING_DEFENCES = ("median", "trimmed-mean", "bulyan")
"""Defences that take the place of a mean of factors: they go with methods for which sums are enough."""

WEIGHING_DEFENCES = ("geometric-median",)
"""Defences that give replies their weights: a method that weighs them itself would pass over those."""
