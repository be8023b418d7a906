"""The ranks at which a run's organizations train: that of all, and those that some have of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Ranks:
    """`default` is the rank of all organizations that have none of their `own`."""

    default: int = 0
    own: Mapping[str, int] = field(default_factory=dict)

    def of(self, organization: str) -> int:
        """Give the rank at which an organization trains."""
        return self.own.get(organization, self.default)

    def turned(self, organization: str, to: Any) -> Ranks:
        """Give the ranks after one was turned: an organization's, or, where its name is empty, that of all.

        As in the engine, an organization that is turned to the rank of all has none of its own any more.
        """
        if not organization:
            return replace(self, default=to)
        others = {name: rank for name, rank in self.own.items() if name != organization}
        return replace(self, own=others if to == self.default else {**others, organization: to})


def ranks_in(config: Mapping[str, Any], default: int) -> Ranks:
    """Read the ranks out of a run's configuration as its journal holds it."""
    lora = config.get("lora")
    ranks = lora.get("rank") if isinstance(lora, Mapping) else None
    own = ranks if isinstance(ranks, Mapping) else {}
    return Ranks(default, {name: rank for name, rank in own.items() if name != "default"})
