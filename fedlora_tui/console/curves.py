"""The points of the curves, from a run's state: x counts finished rounds, so a step within round 7 stands at 6.4."""

from __future__ import annotations

from fedlora_tui.protocol.events import KnobTurned
from fedlora_tui.protocol.organization import OrganizationState
from fedlora_tui.protocol.state import RunState

Points = list[tuple[float, float]]


def train_points(state: RunState) -> Points:
    """Give the train loss over the run, several points a round."""
    points: Points = []
    rounds = [row.round for row in state.history if row.round > 0]
    for number, losses in zip(rounds, state.curve, strict=False):
        points += [(number - 1 + (k + 1) / len(losses), loss) for k, loss in enumerate(losses)]
    steps = 1 if state.deployed else max(state.steps, len(state.round_curve), 1)
    points += [
        (state.round - 1 + (k + 1) / steps, total / count)
        for k, (total, count) in enumerate(state.round_curve)
        if count
    ]
    return points


def holdout_points(state: RunState) -> Points:
    """Give the hold-out loss of every round that was measured, round 0 being the base alone."""
    return [(float(row.round), row.eval_loss) for row in state.history if row.eval_loss is not None]


def knobs_turned(state: RunState) -> list[KnobTurned]:
    """Give the settings that changed, the last of those that were turned again for the same round, oldest first."""
    latest: dict[tuple[int, str, str], KnobTurned] = {}
    for mark in state.marks:
        latest.pop(place := (mark.round, mark.knob, mark.org), None)
        latest[place] = mark
    return list(latest.values())


def organization_points(organization: OrganizationState, state: RunState) -> Points:
    """Give one organization's train loss over the run, some points a round, with the round under way."""
    points: Points = []
    for row in organization.history:
        losses = row.curve or ((row.train_loss,) if row.train_loss is not None else ())
        points += [(row.round - 1 + (k + 1) / len(losses), loss) for k, loss in enumerate(losses)]
    if not organization.history or organization.history[-1].round < state.round:
        now = [total / count for total, count in organization.round_curve if count]
        span = rounds_so_far(state) - (state.round - 1)
        points += [(state.round - 1 + span * (k + 1) / len(now), loss) for k, loss in enumerate(now)]
    return points


def rounds_so_far(state: RunState) -> float:
    """Give how many rounds are behind, a part of the one under way with them."""
    if state.round_finished or not state.steps:
        return float(state.round)
    return state.round - 1 + state.part
