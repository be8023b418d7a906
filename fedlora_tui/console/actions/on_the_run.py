"""What the operator can do to the run as a whole."""

from __future__ import annotations

from fedlora_tui.console.actions.action import Action, Situation, keys_of
from fedlora_tui.console.actions.taking import last_round, takes_nothing
from fedlora_tui.console.actions.turning_ranks import cannot_turn_rank, turn_rank
from fedlora_tui.console.since import pausing_words
from fedlora_tui.protocol.commands import Command, Pause, Resume, Rounds, Undo
from fedlora_tui.protocol.state import RunState


def _cannot_pause(situation: Situation) -> str | None:
    if situation.may_go_on:
        return situation.watching or _cannot_go_on(situation)
    if situation.state.phase == "pausing":
        return f"pausing already: {pausing_words(situation.state)}"
    return takes_nothing(situation, "nothing trains yet")


def _cannot_go_on(situation: Situation) -> str | None:
    if situation.runs > 1:
        return "a race is resumed run by run: fedlora-tui resume RUN"
    return None if situation.state.checkpoint is not None else "no checkpoint yet"


def _pause_or_resume(situation: Situation) -> Command:
    return Resume() if situation.state.phase == "paused" else Pause()


def _cannot_turn_rounds(situation: Situation) -> str | None:
    if (reason := takes_nothing(situation, "its rounds are not counted yet")) is not None:
        return reason
    state = situation.state
    if situation.direction == "down" and _coming_rounds(state) <= state.round:
        return f"round {state.round} is under way already"
    return None


def _coming_rounds(state: RunState) -> int:
    """Give how many rounds the run has with what waits."""
    waiting = [change.value for change in state.waiting if change.command == Rounds.name]
    return int(waiting[-1]) if waiting else state.rounds


def _turn_rounds(situation: Situation) -> Command:
    return Rounds(_coming_rounds(situation.state) + (1 if situation.direction == "up" else -1))


def _cannot_tune(situation: Situation) -> str | None:
    return takes_nothing(situation, "its settings are not known yet")


def _cannot_undo(situation: Situation) -> str | None:
    return None if situation.state.waiting else "nothing waits for the next round"


def _cannot_export(situation: Situation) -> str | None:
    if situation.watching:
        return situation.watching
    return None if situation.state.best is not None or last_round(situation.state) else "no round is finished yet"


def _cannot_fork(situation: Situation) -> str | None:
    if situation.watching:
        return situation.watching
    return None if last_round(situation.state) else "no round is finished yet"


def _cannot_try(situation: Situation) -> str | None:
    if situation.watching:
        return situation.watching
    if situation.state.phase == "starting":
        return "the run is starting: no base is in memory yet"
    if situation.gone:
        run = situation.state.started.run if situation.state.started else "RUN"
        return f"the run's process is gone, and its base with it: fedlora-tui resume {run}"
    return None


ON_THE_RUN: tuple[Action, ...] = (
    Action(
        id="pause",
        keys=keys_of("space", "p"),
        shown="space p",
        footer_key="space",
        label="pause",
        does="pause, resume",
        group="the run",
        when="running, paused, failed, stopped",
        unless="starting · pausing already · finishing · the run is done · no checkpoint yet",
        refusal=_cannot_pause,
        command=_pause_or_resume,
    ),
    Action(
        id="tune",
        keys=keys_of("comma"),
        shown=",",
        label="tune",
        does="tuning panel",
        group="the run",
        when="running, paused",
        unless="starting · finishing · the run is done · a replay cannot be tuned",
        refusal=_cannot_tune,
    ),
    Action(
        id="undo",
        keys=keys_of("u"),
        shown="u",
        label="undo",
        does="take back what waits",
        group="the run",
        when="something waits",
        unless="nothing waits for the next round",
        refusal=_cannot_undo,
        command=lambda situation: Undo(),
    ),
    Action(
        id="rank",
        keys={"left_square_bracket": "down", "right_square_bracket": "up"},
        shown="[ ]",
        label="rank",
        does="rank a step down, up",
        group="the run",
        when="running, paused",
        unless="64 is the most here · fedsvd keeps its rank",
        refusal=cannot_turn_rank,
        command=turn_rank,
    ),
    Action(
        id="more_rounds",
        keys={"minus": "down", "plus": "up", "equals_sign": "up"},
        shown="- +",
        label="rounds",
        does="a round less, more",
        group="the run",
        when="running, paused",
        unless="round 7 is under way already · the run is done",
        refusal=_cannot_turn_rounds,
        command=_turn_rounds,
    ),
    Action(
        id="export",
        keys=keys_of("e"),
        shown="e",
        label="export",
        does="export an adapter",
        group="the run",
        when="a round is finished",
        unless="no round is finished yet",
        refusal=_cannot_export,
    ),
    Action(
        id="fork",
        keys=keys_of("f"),
        shown="f",
        label="fork",
        does="a second run, with changes",
        group="the run",
        when="a round is finished",
        unless="no round is finished yet · a replay cannot fork",
        refusal=_cannot_fork,
    ),
    Action(
        id="try",
        keys=keys_of("t"),
        shown="t",
        label="try",
        does="try a text on three models",
        group="the run",
        when="a base is in memory",
        unless="starting · a replay has no model: fedlora-tui resume RUN",
        refusal=_cannot_try,
    ),
    Action(
        id="audit",
        keys=keys_of("v"),
        shown="v",
        label="audit",
        does="what an audit found",
        group="the run",
        when="always",
        unless="",
    ),
)
