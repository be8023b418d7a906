"""What a secure sum cannot go together with, and why; refused before a run begins and before a setting is turned."""

from __future__ import annotations

from dataclasses import fields

from fedlora_tui.aggregation import METHODS
from fedlora_tui.config import Config, PrivacyConfig
from fedlora_tui.privacy.secure_sum.faults import unseen_fault
from fedlora_tui.privacy.secure_sum.member import LEAST_HOLDERS

ON = "privacy.secure_sum = true"


def unsummable(config: Config, replies: int) -> str | None:
    """Say why the updates of rounds of so many `replies` cannot be summed unseen; None where they can, or need not."""
    if (needless := _needless(config)) is not None:
        return needless
    if not config.privacy.secure_sum:
        return None
    federation, method = config.federation, METHODS[config.federation.aggregation]
    if method.needs != "sum" or method.keeps_b_at_home:
        able = ", ".join(own.name for own in METHODS.values() if own.needs == "sum" and not own.keeps_b_at_home)
        looks = "looks at what stays at home" if method.keeps_b_at_home else "needs each reply by itself"
        return f'{ON} tells the server a sum alone, and federation.aggregation = "{method.name}" {looks}: choose {able}'
    if federation.robust != "none":
        return (
            f'{ON} tells the server a sum alone, and federation.robust = "{federation.robust}" looks at each reply: '
            'set it to "none"'
        )
    if config.privacy.mechanism != "none" and config.privacy.sampling == "poisson" and federation.fraction < 1:
        return (
            f'{ON} needs so many organizations in every round, and privacy.sampling = "poisson" may draw none: '
            'set it to "fixed", or federation.fraction to 1.0'
        )
    if replies < LEAST_HOLDERS:
        return (
            f"{ON} needs {LEAST_HOLDERS} organizations in a round, this one has {replies}: "
            "let more take part, or raise federation.fraction"
        )
    return unseen_fault(config)


def _needless(config: Config) -> str | None:
    """Refuse a key of a secure sum that would look like a protection and is none; None where there is no such key."""
    privacy = config.privacy
    own = (item for item in fields(PrivacyConfig) if item.name.startswith("secure_") and item.name != "secure_sum")
    given = [item.name for item in own if getattr(privacy, item.name) != item.default]
    if given and not privacy.secure_sum:
        return f"privacy.{given[0]} does nothing with privacy.secure_sum = false: set that to true, or leave it out"
    if "secure_range" in given and privacy.mechanism != "none":
        return (
            f'privacy.secure_range does nothing with privacy.mechanism = "{privacy.mechanism}", where the range '
            "follows from privacy.clip_norm: leave it out"
        )
    return None
