"""What the state of a run makes of organizations on machines of their own, whose steps nobody here sees.

Their replies tell in place of steps: how far a round is, what was trained and at what loss, how long that took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.changed import changed
from fedlora_tui.protocol.curve import added
from fedlora_tui.protocol.organization import OrganizationState

if TYPE_CHECKING:
    from fedlora_tui.protocol.state import RunState

NO_PART = ("absent", "joining", "quarantine")
"""States of organizations from which no reply is awaited in a round."""


def share_in(state: RunState) -> float:
    """Give the share of the replies of the round under way that are in, 0 to 1; what was refused is in, too."""
    awaited = [org for org in state.organizations.values() if org.state not in NO_PART]
    replied = sum(bool(org.history) and org.history[-1].round == state.round for org in awaited)
    return replied / len(awaited) if awaited else 0.0


def warned(state: RunState, event: ev.Warned, t: float) -> RunState:
    """Give the state with since when it waits for organizations, where that is what it is warned of."""
    return changed(state, awaits_since=state.awaits_since or t) if event.awaits else state


def waits(state: RunState) -> bool:
    """Tell whether a run at work only waits for organizations."""
    return state.phase == "running" and state.awaits_since is not None


def came(state: RunState, org: OrganizationState, event: ev.OrgState, t: float) -> OrganizationState:
    """Give one that has answered with how long it trained, counted from the round's start."""
    if not state.deployed or org.state != "training" or event.state == "training" or state.round_since is None:
        return org
    return changed(org, seconds=max(0.0, t - state.round_since))


def with_loss(state: RunState, org: OrganizationState, event: ev.UpdateReceived) -> OrganizationState:
    """Give one with the loss that its reply told, where no step has told it."""
    if not state.deployed or event.loss is None:
        return org
    tokens = max(event.tokens, 1)
    total = event.loss * tokens
    return changed(org, loss_sum=total, loss_tokens=tokens, round_curve=((total, tokens),))


def with_reply(state: RunState, event: ev.UpdateReceived, t: float) -> RunState:
    """Give the state with what a reply tells of the whole round: its mean loss so far, its tokens, the speed."""
    if not state.deployed:
        return state
    tokens = state.round_tokens + event.tokens
    speed = state.speed
    if state.round_since is not None and t > state.round_since:
        speed = tokens / (t - state.round_since)
    curve = state.round_curve
    if event.loss is not None:
        own = max(event.tokens, 1)
        curve = added(curve, 0, event.loss * own, own)
    return changed(state, round_curve=curve, round_tokens=tokens, speed=speed)
