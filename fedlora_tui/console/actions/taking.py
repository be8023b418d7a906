"""When the run takes changes, and what stands in the way when it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fedlora_tui.console.actions.action import Each, Situation
from fedlora_tui.protocol.commands import Command
from fedlora_tui.protocol.naming import called
from fedlora_tui.protocol.state import RunState

DEFAULT_MINIMUM = 2
ENDED_EARLY = {"failed": "the run has failed", "stopped": "the run is stopped"}
"""What is said of a run that ended before its last round, by its phase."""


def takes_nothing(situation: Situation, starting: str) -> str | None:
    """Say why the run takes no changes now, None while it does; `starting` is what a start lacks for this one."""
    if situation.watching:
        return situation.watching
    if situation.state.phase == "starting":
        return f"the run is starting: {starting}"
    if situation.stopping:
        return "stopping already"
    phase = situation.state.phase
    if phase in ENDED_EARLY:
        return f"{ENDED_EARLY[phase]}: {_instead(situation)}"
    if situation.gone and phase != "done":
        return f"the run's process is gone: fedlora-tui resume {_run(situation.state)} goes on"
    return {
        "finishing": "finishing: the last evaluation and checkpoint are under way",
        "done": "the run is done",
    }.get(phase)


def _instead(situation: Situation) -> str:
    """Say what can be done with a run that has ended early, for nothing in it changes any more."""
    if situation.state.checkpoint is None:
        return "it has no checkpoint to go on from"
    if situation.may_go_on and situation.runs == 1:
        return f"{situation.key('pause')} resumes it, {situation.key('fork')} forks it"
    run = _run(situation.state)
    return f"fedlora-tui resume {run}, or fork {run}"


def _run(state: RunState) -> str:
    """Name the run on a command line."""
    return "RUN" if state.started is None else called(state.started.folder or state.started.run)


def cannot_change(situation: Situation) -> str | None:
    """Say why nothing can be changed from the next round on, None where it can."""
    if (reason := takes_nothing(situation, "its organizations are not known yet")) is not None:
        return reason
    state = situation.state
    if state.rounds and state.round >= state.rounds:
        return f"round {state.round} is the last: nothing can wait for a next one"
    return None


def cannot_change_selected(situation: Situation) -> str | None:
    """Say why nothing can be changed about the selected organization, None where it can."""
    if (reason := cannot_change(situation)) is not None:
        return reason
    organization = situation.state.organizations.get(situation.selected or "")
    if organization is None:
        return "no organization is selected"
    if organization.state == "leaving" or waits(situation.state, "drop", organization.name):
        return f"{organization.name} leaves already"
    return None


def cannot_change_marked(situation: Situation) -> str | None:
    """Say why nothing can be changed about any of the marked organizations, else of the selected one."""
    names = situation.marked or (situation.selected,)
    reasons = [cannot_change_selected(replace(situation, selected=name)) for name in names]
    return None if None in reasons else reasons[0]


def for_each(situation: Situation, names: Sequence[str], make: Callable[[str], Command]) -> Each:
    """Make a command for each of several organizations, and say why there is none for those that take no change."""
    reasons = {name: cannot_change_selected(replace(situation, selected=name)) for name in names}
    commands = {name: make(name) for name, reason in reasons.items() if reason is None}
    return Each(commands, {name: reason for name, reason in reasons.items() if reason is not None})


def waits(state: RunState, command: str, value: object) -> bool:
    """Tell whether a command with this value waits for the next round."""
    return any(change.command == command and change.value == value for change in state.waiting)


def minimum_organizations(state: RunState) -> int:
    """Give how many organizations a round needs, as the run's configuration says."""
    config = state.started.config if state.started else {}
    section = config.get("federation", {})
    return int(section.get("min_organizations", DEFAULT_MINIMUM)) if isinstance(section, Mapping) else DEFAULT_MINIMUM


def last_round(state: RunState) -> int:
    """Give the number of the last finished round, 0 before there is one."""
    return max((row.round for row in state.history), default=0)
