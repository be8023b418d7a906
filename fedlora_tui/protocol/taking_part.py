"""What an organization's own events make of its state: it joined, was counted, replied, measured, moved the adapter."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.changed import changed
from fedlora_tui.protocol.conduct import OUT
from fedlora_tui.protocol.curve import means
from fedlora_tui.protocol.organization import ByModule, OrganizationRound, OrganizationState


def joined(org: OrganizationState, event: ev.OrgJoined, rank: int) -> OrganizationState:
    """Give one that takes part from now on, at `rank` where it was told none of its own."""
    return changed(
        org,
        state="waiting",
        documents=event.documents or 0,
        tokens=event.tokens or 0,
        holdout_tokens=event.holdout_tokens or 0,
        skew=event.skew,
        counts=event.counts,
        rank=event.rank or rank,
        joined=event.round,
        policy=event.policy,
    )


def counted(org: OrganizationState, event: ev.OrgCounted) -> OrganizationState:
    """Give one whose text has been read."""
    return changed(
        org,
        documents=event.documents,
        tokens=event.tokens,
        holdout_tokens=event.holdout_tokens,
        skew=event.skew,
        counts=event.counts,
        policy=event.policy,
    )


def replied(org: OrganizationState, event: ev.UpdateReceived) -> OrganizationState:
    """Give one whose reply was taken."""
    before = org.ledger
    ledger = changed(
        before,
        replies=before.replies + 1,
        tensors=event.tensors,
        numbers=before.numbers + event.numbers,
        came=before.came + (event.bytes_down > event.shares_down),
        trained=before.trained + event.tokens,
    )
    row = OrganizationRound(event.round, event.loss, curve=means(org.round_curve), ended="done")
    return changed(
        org,
        state="leaving" if org.state == "leaving" else "done",
        bytes_up=org.bytes_up + event.bytes_up,
        bytes_down=org.bytes_down + event.bytes_down,
        ledger=ledger.with_left(event.left),
        history=(*org.history, changed(row, seconds=org.seconds, bytes_up=event.bytes_up)),
    )


def in_vain(org: OrganizationState, shares: int) -> OrganizationState:
    """Give one that sent keys and shares, so many bytes, for a sum that nobody made."""
    return changed(org, ledger=org.ledger.with_left({"shares": shares}, lost=True))


def measured(org: OrganizationState, event: ev.OrgEvaluated) -> OrganizationState:
    """Give one that has told its hold-out loss."""
    history = org.history
    if event.round == 0:
        history = (OrganizationRound(0, holdout=event.loss),)
    elif history and history[-1].round == event.round:
        history = (*history[:-1], changed(history[-1], holdout=event.loss))
    else:
        ended = org.state if org.state in OUT else "absent"
        history = (*history, OrganizationRound(event.round, holdout=event.loss, ended=ended))
    before = org.ledger
    return changed(
        org,
        state=org.state if org.state in (*OUT, "joining", "leaving") else "done",
        holdout=event.loss,
        base_holdout=event.loss if event.round == 0 else org.base_holdout,
        bytes_down=org.bytes_down + event.bytes_down,
        own=event.own,
        ledger=changed(before, numbers=before.numbers + event.numbers, came=before.came + (event.bytes_down > 0)),
        history=history,
    )


def moved(
    org: OrganizationState, round: int, norm: float | None, cosine: float | None, weight: float | None
) -> OrganizationState:
    """Give one whose update was compared with the mean one, in which it had a `weight`."""
    history = org.history
    if history and history[-1].round == round:
        history = (*history[:-1], changed(history[-1], norm=norm, cosine=cosine))
    return changed(org, norm=norm, cosine=cosine, weight=weight, history=history)


def spread(org: OrganizationState, event: ev.UpdateMeasured) -> OrganizationState:
    """Give one whose update was looked at module by module."""
    return changed(org, by_module=ByModule(known(event.shares), known(event.cosines), event.modules))


def known(numbers: Mapping[str, float | None]) -> dict[str, float | None]:
    """Give numbers as the journal has them: None for what is not finite."""
    return {name: x if x is not None and math.isfinite(x) else None for name, x in numbers.items()}
