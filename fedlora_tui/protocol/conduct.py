"""How an organization behaves, as its state tells: what each event about it makes of that.

`faults` counts what went wrong in all; a reply that was late only because enough others were in is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.changed import changed
from fedlora_tui.protocol.organization import OrganizationRound, OrganizationState

OUT = ("fault", "late", "quarantine")
"""States of a round that stay until the next one, whatever else the organization does in it."""


def faults_in(config: Mapping[str, Any]) -> Mapping[str, str]:
    """Read the faults that organizations have out of a run's configuration as its journal holds it."""
    faults = config.get("faults")
    return {str(name): str(fault) for name, fault in faults.items()} if isinstance(faults, Mapping) else {}


def _rejected(org: OrganizationState, event: ev.UpdateRejected) -> OrganizationState:
    return changed(
        org,
        state="fault",
        faults=org.faults + 1,
        refused=org.refused + event.answered,
        unanswered=org.unanswered + (not event.answered),
        note=event.reason,
        norm=None,
        cosine=None,
        history=_ended(org, event.round, "fault"),
        ledger=org.ledger.with_left(event.left, lost=True),
    )


def _late(org: OrganizationState, event: ev.UpdateLate) -> OrganizationState:
    return changed(
        org,
        state="leaving" if org.state == "leaving" else "late",
        faults=org.faults + (not event.surplus),
        late=org.late + 1,
        note=f"late: {event.reason}",
        norm=None,
        cosine=None,
        bytes_up=org.bytes_up + event.bytes_up,
        bytes_down=org.bytes_down + event.bytes_down,
        history=_ended(org, event.round, "late"),
        ledger=org.ledger.with_left(event.left, lost=True),
    )


def _ended(org: OrganizationState, round: int, how: str) -> tuple[OrganizationRound, ...]:
    """Give its rounds with one that gave no reply to be used."""
    if org.history and org.history[-1].round == round:
        return org.history
    return (*org.history, OrganizationRound(round, ended=how, seconds=org.seconds))


def _quarantined(org: OrganizationState, event: ev.OrgQuarantined) -> OrganizationState:
    held_out = (*org.held_out, (event.round + 1, None))
    begun = changed(org.begun(0), state="quarantine", quarantines=org.quarantines + 1, note=event.reason)
    return changed(begun, held_out=held_out)


def _released(org: OrganizationState, event: ev.OrgReleased) -> OrganizationState:
    since = org.held_out[-1][0] if org.held_out else event.round
    return changed(org, state="waiting", note="", held_out=(*org.held_out[:-1], (since, event.round - 1)))


CONDUCT: Mapping[type[ev.Event], Callable[[OrganizationState, Any], OrganizationState]] = {
    ev.UpdateRejected: _rejected,
    ev.UpdateLate: _late,
    ev.OrgQuarantined: _quarantined,
    ev.OrgReleased: _released,
}
"""What the events that tell of conduct make of an organization."""
