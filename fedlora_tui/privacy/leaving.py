"""What leaves an organization under a protection: its change, held to a length, with its part of the noise."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from fedlora_tui.lora.adapter import Adapter, Factors
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.privacy.clipping import Limit, change_of, excess, length, moved, shortened
from fedlora_tui.privacy.noise import bits, noised

SLACK = 1e-3
"""By this share more than the limit a change may be that was rounded to float32 on its way."""

FAR = 10.0
"""Noise is this many deviations longer than its usual length in less than one of 10^21 changes."""


def leaving(trained: Adapter, start: Adapter, plan: LocalTraining, organization: str) -> Adapter:
    """Give the adapter that an organization sends: what it began with and what may leave of the change it made.

    Factors that do not travel are as it trained them.
    """
    if not plan.update_norm:
        return trained
    change = shortened(change_of(trained, start, plan.sends), _limit(plan))
    source = bits(plan.seed if plan.seeded_noise else None, f"noise|{organization}|{plan.round}")
    sent = moved(start, noised(change, plan.update_noise, source))
    return _with_rest(sent, trained, plan.sends)


def too_long(reply: Adapter, start: Adapter, plan: LocalTraining) -> str | None:
    """Say that a reply's change is longer than its organization was to let leave; None where it is not."""
    if not plan.update_norm:
        return None
    change = change_of(reply, start, plan.sends)
    numbers = sum(tensor.numel() for tensor in change.values())
    # Rounding to float32 moves a factor by up to half its last bit, whatever the change is.
    rounding = 2.0**-23 * length({name: own.double() for name, own in start.tensors().items()})
    noise = plan.update_noise * (math.sqrt(numbers) + FAR)
    allowed = plan.update_norm * (1 + SLACK) + rounding + noise
    if plan.update_noise or not plan.by_module:
        long = length(change)
    else:
        # The longest module may be as long as its part of the norm: as if all were like that one.
        long = excess(change, _limit(plan)) * plan.update_norm
    if long <= allowed:
        return None
    return f"its update is {long:.4g} long, {allowed:.4g} is allowed (privacy.clip_norm = {plan.update_norm:g})"


def _limit(plan: LocalTraining) -> Limit:
    return Limit(plan.update_norm, bool(plan.by_module))


def _with_rest(sent: Adapter, trained: Adapter, factors: Collection[str]) -> Adapter:
    """Lay what does not travel over what does: an organization goes on from its own B where it keeps that."""
    merged = {
        module: Factors(
            own.a if "A" in factors else trained.factors[module].a,
            own.b if "B" in factors else trained.factors[module].b,
        )
        for module, own in sent.factors.items()
    }
    return replace(sent, factors=merged)
