"""What cannot be asked of organizations on machines of their own, and what to do instead."""

from __future__ import annotations

from fedlora_tui.aggregation import METHODS
from fedlora_tui.config import Config
from fedlora_tui.privacy.secure_sum.member import LEAST_HOLDERS

WHERE = 'federation.runtime = "superlink"'


def undeployable(config: Config) -> str | None:
    """Say why a configuration cannot go beside real organizations; None where it can, or all are in this process."""
    federation = config.federation
    if federation.runtime != "superlink":
        return None
    if METHODS[federation.aggregation].keeps_b_at_home:
        return (
            f"{WHERE}: not with {federation.aggregation}, whose B stays on other machines, where nobody can save it: "
            "choose another federation.aggregation"
        )
    if config.faults:
        return f"{WHERE}: organizations on machines of their own misbehave by themselves: leave [faults] out"
    if config.audit.secrets or config.audit.organizations:
        return f"{WHERE}: nothing is planted in text on other machines: leave audit.secrets and its organizations out"
    if config.data.partition != "natural":
        return f'{WHERE}: each organization has its own text: data.partition may only be "natural"'
    if config.privacy.secure_sum and federation.min_organizations < LEAST_HOLDERS:
        return (
            f"{WHERE}: a round waits for federation.min_organizations = {federation.min_organizations}, and with "
            f"privacy.secure_sum it needs {LEAST_HOLDERS}: raise it to that"
        )
    return None
