"""What a secure sum cannot go together with, and why; refused before a run begins and before a setting is turned."""

from __future__ import annotations

from fedlora_tui.aggregation import METHODS
from fedlora_tui.config import Config
from fedlora_tui.privacy.secure_sum.faults import unseen_fault
from fedlora_tui.privacy.secure_sum.member import LEAST_HOLDERS

ON = "privacy.secure_sum = true"


def unsummable(config: Config, replies: int) -> str | None:
    """Say why the updates of rounds of so many `replies` cannot be summed unseen; None where they can, or need not."""
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
