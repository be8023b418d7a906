"""Whether a configuration can work with the organizations that are here, and what its method lets be done with ranks.

It is asked before a run begins, and again for each setting that is turned while it goes on.
"""

from __future__ import annotations

from collections.abc import Collection

from fedlora_tui.aggregation import METHODS
from fedlora_tui.aggregation.combinations import needs_equal_ranks, unequal_ranks_refused, unworkable_config
from fedlora_tui.config import Config
from fedlora_tui.engine.deployable import undeployable
from fedlora_tui.engine.one_by_one import unstreamable
from fedlora_tui.engine.sampling import sampled
from fedlora_tui.privacy.combinations import unprotectable
from fedlora_tui.privacy.secure_sum.combinations import unsummable


def unworkable(config: Config, organizations: Collection[str], round: int) -> str | None:
    """Say why a round of these organizations cannot be made as a configuration asks, and what to do; None: it can."""
    if (apart := undeployable(config)) is not None:
        return apart
    federation, lora = config.federation, config.lora
    names, least = list(organizations), federation.min_organizations
    replies = sampled(names, federation.fraction, least, federation.seed, round)
    if federation.min_replies > len(replies):
        return (
            f"federation.min_replies = {federation.min_replies}, and a round has {len(replies)} replies: "
            "lower it, or let more organizations train"
        )
    refused = unequal_ranks_refused(lora.default_rank, lora.own_ranks, federation)
    return (
        refused
        or unworkable_config(federation, len(replies))
        or unprotectable(config, len(names))
        or unsummable(config, len(replies))
        or unstreamable(config)
    )


def rank_terms(config: Config) -> tuple[bool, bool]:
    """Tell what events tell of ranks: whether the method keeps its own, and whether organizations' may be unequal."""
    federation = config.federation
    return METHODS[federation.aggregation].keeps_rank, needs_equal_ranks(federation) is None
