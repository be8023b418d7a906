"""How a state goes back to the end of a round, when a run goes on from there.

The states of the last few rounds' ends are kept in the state: they share all that did not change since, so each takes
about what one round's organizations take (a tuple of pointers an organization). A run that goes back further is brought
there by leaving out what came later; of organizations that had left by then, what they did before is lost to the state.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.organization import OrganizationState
from fedlora_tui.protocol.ranks import Ranks

if TYPE_CHECKING:
    from fedlora_tui.protocol.state import RoundSummary, RunState

KEPT = 4
"""Of how many rounds' ends, the newest, the state is kept."""


def remembered(state: RunState, event: ev.Event) -> RunState:
    """Keep the state as it is after the end of a round, or after the first look."""
    first_look = isinstance(event, ev.CheckpointWritten) and event.round == 0
    if not (first_look or isinstance(event, ev.RoundFinished | ev.RunContinued)):
        return state
    earlier = tuple(one for one in state.behind if one.round < state.round)
    return replace(state, behind=(*earlier[1 - KEPT :], replace(state, behind=())))


def settings(event: ev.RunStarted | ev.RunContinued) -> dict[str, Any]:
    """Give what both a start and a going on say of how the run is set, by the state's fields."""
    return {
        "rounds": event.rounds,
        "learning_rate": event.learning_rate,
        "aggregation": event.aggregation,
        "keeps_rank": event.keeps_rank,
        "unequal_ranks": event.unequal_ranks,
        "trainable": event.trainable,
    }


def continued(state: RunState, event: ev.RunContinued, t: float) -> RunState:
    """Give the state as it was at the end of the round that a run goes on from, with what waits since."""
    kept = next((one for one in state.behind if one.round == event.round), None)
    then = kept or _without_later(state, event, t)
    ranks = Ranks(event.rank, event.ranks)
    organizations = {
        name: _with_all_that_left(
            _at_rest(then.organizations.get(name) or OrganizationState(name), ranks.of(name)),
            state.organizations.get(name),
        )
        for name in event.orgs
    }
    now = replace(
        state,
        phase="running",
        phase_since=t,
        reason="",
        behind=tuple(one for one in state.behind if one.round <= event.round),
        waiting=event.waiting,
        **settings(event),
        ranks=ranks,
        organizations=organizations,
        round=event.round,
        round_finished=True,
        round_since=None,
        round_tokens=0,
        round_curve=(),
        awaits_since=None,
        step=0,
        steps=0,
    )
    return replace(
        now,
        left_up=then.left_up,
        left_down=then.left_down,
        history=then.history,
        merged=then.merged,
        curve=then.curve,
        marks=then.marks,
        base_sum=then.base_sum,
        base_tokens=then.base_tokens,
        checkpoint=then.checkpoint,
        checkpoint_t=then.checkpoint_t,
    )


def _at_rest(org: OrganizationState, rank: int) -> OrganizationState:
    state = "waiting" if org.state in ("training", "testing", "joining", "leaving", "stopped") else org.state
    return replace(org, state=state, rank=rank, step=0, steps=0, loss_sum=0.0, loss_tokens=0, round_curve=())


def _with_all_that_left(org: OrganizationState, later: OrganizationState | None) -> OrganizationState:
    """Give one with the bytes that left it later, too: they did leave, and are in no result."""
    if later is None:
        return org
    since = sum(later.ledger.left.values()) - sum(org.ledger.left.values())
    return replace(org, ledger=replace(org.ledger, left=later.ledger.left, lost=org.ledger.lost + since))


def _without_later(state: RunState, event: ev.RunContinued, t: float) -> RunState:
    """Leave out of a state what came after the end of a round."""
    last = event.round
    # Before its first checkpoint a run has nothing to go on from: its first look begins anew.
    looked = state.checkpoint is not None
    history = tuple(row for row in state.history if row.round <= last) if looked else ()
    curve = state.curve[: sum(1 for row in history if row.round > 0)]
    if last > 0 and all(row.round != last for row in history):
        # A fork begins there: the rounds before stand in its parent's journal.
        history = (*history, _row(event, t))
        curve = (*curve, ())
    organizations = {
        name: replace(
            org,
            history=tuple(round for round in org.history if round.round <= last),
            held_out=tuple(span for span in org.held_out if span[0] <= last + 1),
        )
        for name, org in state.organizations.items()
    }
    return replace(
        state,
        organizations=organizations,
        history=history,
        merged=tuple(merged for merged in state.merged if merged.round <= last),
        curve=curve,
        marks=tuple(mark for mark in state.marks if mark.round <= last),
        base_sum=state.base_sum if looked else 0.0,
        base_tokens=state.base_tokens if looked else 0,
    )


def _row(event: ev.RunContinued, t: float) -> RoundSummary:
    from fedlora_tui.protocol.state import RoundSummary

    return RoundSummary(event.round, event.train_loss, event.eval_loss, orgs=len(event.orgs), t=t)
