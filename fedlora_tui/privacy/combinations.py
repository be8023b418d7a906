"""What a protection cannot go together with, and why; refused before a run begins and before a setting is turned."""

from __future__ import annotations

from dataclasses import fields

from fedlora_tui.aggregation import METHODS
from fedlora_tui.config import Config, PrivacyConfig

BY_THEMSELVES = ("mechanism", "withhold_losses", "secure_")
"""How keys begin that mean something without a mechanism."""


def unprotectable(config: Config, organizations: int) -> str | None:
    """Say why updates cannot be protected as a configuration asks, and what to do; None where they can."""
    privacy = config.privacy
    if privacy.mechanism == "none":
        return _needless(config)
    return _not_a_sum(config) or _depends_on_others(config) or _no_budget(config, organizations)


def _needless(config: Config) -> str | None:
    """Refuse what would look like a protection and is none: a key that asks for more of it, with no mechanism."""
    for item in fields(PrivacyConfig):
        if item.name.startswith(BY_THEMSELVES) or getattr(config.privacy, item.name) == item.default:
            continue
        return (
            f'privacy.{item.name} does nothing with privacy.mechanism = "none": set that to "gaussian", or leave it out'
        )
    return None


def _not_a_sum(config: Config) -> str | None:
    federation, where = config.federation, f'privacy.mechanism = "{config.privacy.mechanism}"'
    method = METHODS[federation.aggregation]
    if method.needs != "sum":
        able = ", ".join(other.name for other in METHODS.values() if other.needs == "sum")
        return (
            f'{where} protects a sum of clipped factors, and federation.aggregation = "{method.name}" needs each '
            f"reply by itself: choose {able}"
        )
    if federation.robust != "none":
        return (
            f'{where} bounds what one organization can change of a sum, and federation.robust = "{federation.robust}" '
            f'is no sum, so that one may change more: set it to "none"'
        )
    unequal = sorted(name for name, rank in config.lora.own_ranks.items() if rank != config.lora.default_rank)
    if unequal:
        return (
            f"{where} sums factors of one shape, and lora.rank gives {unequal[0]} a rank of its own: one rank for all"
        )
    return None


def _depends_on_others(config: Config) -> str | None:
    """Refuse what lets one organization decide whether another's change is in the sum."""
    federation, where = config.federation, f'privacy.mechanism = "{config.privacy.mechanism}"'
    if federation.oversample > 0:
        return (
            f"{where}: with federation.oversample = {federation.oversample:g} one organization's reply turns another's "
            f"away, so that one changes more than its own: set it to 0.0"
        )
    # Over a SuperLink each trains on a machine of its own.
    if federation.deadline > 0 and federation.cohort != 1 and federation.runtime == "local":
        return (
            f"{where}: organizations that train in one pass slow each other, so with federation.deadline = "
            f"{federation.deadline:g} one's text decides whether another's reply is late: set it to 0.0, or "
            f"federation.cohort to 1"
        )
    if federation.min_replies > 1:
        return (
            f"{where}: whether there is a sum must not depend on who replied, and federation.min_replies = "
            f"{federation.min_replies} would let it: set it to 1"
        )
    return None


def _no_budget(config: Config, organizations: int) -> str | None:
    privacy = config.privacy
    if privacy.noise_multiplier == "auto" and not privacy.target_epsilon:
        return (
            'privacy.noise_multiplier = "auto" follows from privacy.target_epsilon, which is 0: set that above 0, or '
            "the multiplier to a number"
        )
    if privacy.delta * organizations >= 1:
        return (
            f"privacy.delta = {privacy.delta:g} is no less than 1 / {organizations}, one organization of all here "
            f"given away whole would pass: lower it"
        )
    return None
