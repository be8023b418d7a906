"""Which faults a run cannot have whose updates are summed unseen: those that only a look at a reply would find."""

from __future__ import annotations

from fedlora_tui.config import Config
from fedlora_tui.fault_profiles import SECTION, profile_of

FOUND = ("none", "slow", "dropout", "crash")


def unseen_fault(config: Config) -> str | None:
    """Say whose fault could not be seen under a secure sum; None where there is none."""
    if not config.privacy.secure_sum:
        return None
    for name, fault in config.faults.items():
        kind = profile_of(fault).kind
        if kind not in FOUND:
            return (
                f'{SECTION}.{name} = "{kind}": a reply under privacy.secure_sum is masked, so that nobody sees what is '
                f"wrong with it; {', '.join(FOUND[1:])} go with it"
            )
    return None
