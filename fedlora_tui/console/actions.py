"""The one registry of what the operator can do: keys, footer, help and the table of the documents are made from it.

An action that cannot act now says why; it is never switched off, so that its key is always answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedlora_tui.console import replaying
from fedlora_tui.console.replaying import OTHERWISE, REFUSED, Playing
from fedlora_tui.protocol.commands import (
    AddOrganization,
    Command,
    DropOrganization,
    Method,
    Pause,
    Rank,
    Resume,
    Rounds,
    Undo,
)
from fedlora_tui.protocol.ranks import Ranks
from fedlora_tui.protocol.state import RunState

DEFAULT_MINIMUM = 2

RANKS = (1, 2, 4, 8, 16, 32, 64)
"""The ranks that one key goes through."""


@dataclass(frozen=True)
class Situation:
    """What decides whether an action can act: the run, the selected organization, and whether a stop was asked for.

    `direction` is which of an action's keys was pressed, where it has one for each way. `runs` counts the runs of a
    race, `comparing` is True while they are shown side by side. `watching` says who steers where that is not this
    console, `wheel` how the wheel stands: `alone`, `ours`, `asked`, `theirs` or `readonly`. `apart` is True where the
    runs are in another process, and so one that has ended can go on in a new one. `replay` is how a replay stands, None
    where the run itself is shown.
    """

    state: RunState
    selected: str | None = None
    stopping: bool = False
    direction: str = ""
    runs: int = 1
    comparing: bool = False
    watching: str = ""
    wheel: str = "alone"
    apart: bool = False
    replay: Playing | None = None

    @property
    def may_go_on(self) -> bool:
        """True where the run has ended early, and the key that pauses goes on with it in a new process."""
        return self.apart and self.replay is None and self.state.phase in ("failed", "stopped")


def _always(situation: Situation) -> str | None:
    return None


@dataclass(frozen=True)
class Action:
    """One thing the operator can do.

    `keys` maps Textual's names of keys to an argument (a direction, else empty). `refusal` gives the reason why it
    cannot act, None when it can. `command` makes what is sent to the run; without one the console acts by itself.
    `when` and `unless` are for the documents.
    """

    id: str
    keys: Mapping[str, str]
    shown: str
    does: str
    group: str
    when: str
    unless: str
    label: str = ""
    footer_key: str = ""
    refusal: Callable[[Situation], str | None] = _always
    command: Callable[[Situation], Command] | None = None

    def footer(self, situation: Situation) -> str:
        """Give its key and word for the footer."""
        resumes = situation.state.phase == "paused" or situation.may_go_on
        label = "resume" if self.id == "pause" and resumes else self.label
        if situation.replay is not None:
            label = replaying.label(self.id, situation.replay) or self.label
        return f"{self.key_in_footer} {label}"

    @property
    def key_in_footer(self) -> str:
        """Its key, or the first of them, as the footer names it."""
        return self.footer_key or self.shown

    @property
    def serves_replay(self) -> bool:
        """True where it may act in a replay."""
        return self.id in OTHERWISE or (self.command is None and self.id not in REFUSED)

    def reason(self, situation: Situation) -> str | None:
        """Say why it cannot act now, None when it can: in a replay as in one, else as its `refusal` says."""
        if situation.replay is not None and (self.command is not None or self.id in REFUSED):
            return replaying.reason(self.id, situation.direction, situation.replay)
        return self.refusal(situation)


def _keys(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "")


def _takes_nothing(situation: Situation, starting: str) -> str | None:
    """Say why the run takes no changes now, None while it does; `starting` is what a start lacks for this one."""
    if situation.watching:
        return situation.watching
    if situation.state.phase == "starting":
        return f"the run is starting: {starting}"
    if situation.stopping:
        return "stopping already"
    return {
        "finishing": "finishing: the last evaluation and checkpoint are under way",
        "done": "the run is done",
        "failed": "the run has failed",
        "stopped": "the run is stopped",
    }.get(situation.state.phase)


def _cannot_ask_for_the_wheel(situation: Situation) -> str | None:
    return {
        "alone": "you steer, and nobody else watches",
        "ours": "you steer",
        "readonly": "this console only watches (--readonly)",
    }.get(situation.wheel)


def _cannot_pause(situation: Situation) -> str | None:
    if situation.may_go_on:
        return situation.watching or _cannot_go_on(situation)
    if situation.state.phase == "pausing":
        return "pausing already: within one step"
    return _takes_nothing(situation, "nothing trains yet")


def _cannot_go_on(situation: Situation) -> str | None:
    if situation.runs > 1:
        return "a race is resumed run by run: fedlora-tui resume RUN"
    return None if situation.state.checkpoint is not None else "no checkpoint yet"


def _pause_or_resume(situation: Situation) -> Command:
    return Resume() if situation.state.phase == "paused" else Pause()


def _cannot_change(situation: Situation) -> str | None:
    if (reason := _takes_nothing(situation, "its organizations are not known yet")) is not None:
        return reason
    state = situation.state
    if state.rounds and state.round >= state.rounds:
        return f"round {state.round} is the last: nothing can wait for a next one"
    return None


def _cannot_change_selected(situation: Situation) -> str | None:
    """Say why nothing can be changed about the selected organization, None where it can."""
    if (reason := _cannot_change(situation)) is not None:
        return reason
    organization = situation.state.organizations.get(situation.selected or "")
    if organization is None:
        return "no organization is selected"
    if organization.state == "leaving" or _waits(situation.state, "drop", organization.name):
        return f"{organization.name} leaves already"
    return None


def _cannot_drop(situation: Situation) -> str | None:
    if (reason := _cannot_change_selected(situation)) is not None:
        return reason
    organization = situation.state.organizations[situation.selected or ""]
    if organization.state == "joining":
        return f"{organization.name} has not joined yet: u takes it back"
    minimum = minimum_organizations(situation.state)
    staying = sum(org.state not in ("leaving", "quarantine") for org in situation.state.organizations.values())
    if staying - (organization.state != "quarantine") < minimum:
        return f"a round needs {minimum} (federation.min_organizations)"
    return None


def _cannot_turn_rank(situation: Situation) -> str | None:
    reason = _cannot_change(situation) or _method_keeps_rank(situation.state)
    return reason or _at_the_end(situation, _coming_ranks(situation.state).default)


def _cannot_turn_own_rank(situation: Situation) -> str | None:
    state = situation.state
    if (reason := _cannot_change_selected(situation) or _method_keeps_rank(state)) is not None:
        return reason
    if not state.unequal_ranks and not _method_waits(state):
        return f"{state.aggregation} needs equal ranks: [ ] turns that of all"
    return _at_the_end(situation, _coming_ranks(state).of(situation.selected or ""))


def _method_keeps_rank(state: RunState) -> str | None:
    return f"{state.aggregation} keeps its rank" if state.keeps_rank and not _method_waits(state) else None


def _method_waits(state: RunState) -> bool:
    """Tell whether another method is to come: what may be done with ranks then, the run alone knows."""
    return any(change.command == Method.name for change in state.waiting)


def _at_the_end(situation: Situation, stands: int) -> str | None:
    """Say that there is no further rank that way."""
    if situation.direction == "up" and stands >= RANKS[-1]:
        return f"{stands} is the most here: :rank and --set take more"
    if situation.direction == "down" and stands <= RANKS[0]:
        return "1 is the least"
    return None


def _coming_ranks(state: RunState) -> Ranks:
    """Give the ranks of the next round: those of now, and what waits."""
    ranks = state.ranks
    for change in state.waiting:
        if change.command != Rank.name:
            continue
        if isinstance(change.value, Mapping):
            ranks = ranks.turned(str(change.value.get("org")), change.value.get(Rank.name))
        else:
            ranks = ranks.turned("", change.value)
    return ranks


def _turn_rank(situation: Situation) -> Command:
    return Rank(_next_rank(situation, _coming_ranks(situation.state).default))


def _turn_own_rank(situation: Situation) -> Command:
    name = situation.selected or ""
    return Rank(_next_rank(situation, _coming_ranks(situation.state).of(name)), name)


def _next_rank(situation: Situation, stands: int) -> int:
    if situation.direction == "up":
        return next(rank for rank in RANKS if rank > stands)
    return next(rank for rank in reversed(RANKS) if rank < stands)


def _cannot_turn_rounds(situation: Situation) -> str | None:
    if (reason := _takes_nothing(situation, "its rounds are not counted yet")) is not None:
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


def _cannot_undo(situation: Situation) -> str | None:
    return None if situation.state.waiting else "nothing waits for the next round"


def _cannot_export(situation: Situation) -> str | None:
    if situation.watching:
        return situation.watching
    return None if situation.state.best is not None or _last_round(situation.state) else "no round is finished yet"


def _cannot_fork(situation: Situation) -> str | None:
    if situation.watching:
        return situation.watching
    return None if _last_round(situation.state) else "no round is finished yet"


def _cannot_show_drift(situation: Situation) -> str | None:
    return None if situation.state.merged else "no round is aggregated yet"


def _cannot_move(situation: Situation) -> str | None:
    return None if situation.comparing or situation.state.organizations else "there are no organizations yet"


def _cannot_compare(situation: Situation) -> str | None:
    return None if situation.runs > 1 else "this is the only run"


def _cannot_show_run(situation: Situation) -> str | None:
    if situation.comparing:
        return None
    return _cannot_compare(situation) or "enter shows a run where all are compared: c"


def _cannot_leave(situation: Situation) -> str | None:
    return "stopping already: ctrl+c twice leaves without waiting" if situation.stopping else None


def _last_round(state: RunState) -> int:
    return max((row.round for row in state.history), default=0)


def _waits(state: RunState, command: str, value: object) -> bool:
    return any(change.command == command and change.value == value for change in state.waiting)


def minimum_organizations(state: RunState) -> int:
    """Give how many organizations a round needs, as the run's configuration says."""
    config = state.started.config if state.started else {}
    section = config.get("federation", {})
    return int(section.get("min_organizations", DEFAULT_MINIMUM)) if isinstance(section, Mapping) else DEFAULT_MINIMUM


REGISTRY: tuple[Action, ...] = (
    Action(
        id="pause",
        keys=_keys("space", "p"),
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
        id="undo",
        keys=_keys("u"),
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
        refusal=_cannot_turn_rank,
        command=_turn_rank,
    ),
    Action(
        id="more_rounds",
        keys={"minus": "down", "plus": "up"},
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
        keys=_keys("e"),
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
        keys=_keys("f"),
        shown="f",
        label="fork",
        does="a second run, with changes",
        group="the run",
        when="a round is finished",
        unless="no round is finished yet · a replay cannot fork",
        refusal=_cannot_fork,
    ),
    Action(
        id="add",
        keys=_keys("a"),
        shown="a",
        label="add",
        does="add one",
        group="organizations",
        when="running, paused",
        unless="starting · the last round is running · the run is done",
        refusal=_cannot_change,
        command=lambda situation: AddOrganization(),
    ),
    Action(
        id="drop",
        keys=_keys("d"),
        shown="d",
        label="drop",
        does="drop it at the next round",
        group="organizations",
        when="one is selected",
        unless="a round needs 2 (federation.min_organizations) · leaves already",
        refusal=_cannot_drop,
        command=lambda situation: DropOrganization(situation.selected or ""),
    ),
    Action(
        id="own_rank",
        keys={"left_curly_bracket": "down", "right_curly_bracket": "up"},
        shown="{ }",
        label="its rank",
        does="its own rank a step down, up",
        group="organizations",
        when="one is selected",
        unless="fedit needs equal ranks · fedsvd keeps its rank · 64 is the most here",
        refusal=_cannot_turn_own_rank,
        command=_turn_own_rank,
    ),
    Action(
        id="faults",
        keys=_keys("x"),
        shown="x",
        label="faults",
        does="give it a fault, release it",
        group="organizations",
        when="one is selected; running, paused",
        unless="starting · the last round is running · the run is done · leaves already",
        refusal=_cannot_change_selected,
    ),
    Action(
        id="drift",
        keys=_keys("b"),
        shown="b",
        label="by module",
        does="drift by module",
        group="looking",
        when="a round is aggregated",
        unless="no round is aggregated yet",
        refusal=_cannot_show_drift,
    ),
    Action(
        id="move",
        keys={
            "up": "up",
            "k": "up",
            "down": "down",
            "j": "down",
            "g": "first",
            "home": "first",
            "G": "last",
            "upper_g": "last",
            "end": "last",
            "pageup": "page_up",
            "pagedown": "page_down",
        },
        shown="↑↓ j k g G",
        footer_key="j k",
        label="move",
        does="move; wheel and click",
        group="here",
        when="always",
        unless="there are no organizations yet",
        refusal=_cannot_move,
    ),
    Action(
        id="compare",
        keys=_keys("c"),
        shown="c",
        label="compare",
        does="compare the runs",
        group="here",
        when="a race of several runs",
        unless="this is the only run",
        refusal=_cannot_compare,
    ),
    Action(
        id="show_run",
        keys=_keys("enter"),
        shown="enter",
        label="show",
        does="show the chosen run",
        group="here",
        when="runs are compared",
        unless="this is the only run",
        refusal=_cannot_show_run,
    ),
    Action(
        id="flip",
        keys={"less_than_sign": "previous", "greater_than_sign": "next"},
        shown="< >",
        label="run",
        does="run before, after",
        group="here",
        when="a race of several runs",
        unless="this is the only run",
        refusal=_cannot_compare,
    ),
    Action(
        id="wheel",
        keys=_keys("w"),
        shown="w",
        does="take, keep the wheel",
        group="here",
        when="several consoles watch",
        unless="you steer; --readonly",
        refusal=_cannot_ask_for_the_wheel,
    ),
    Action(
        id="panes",
        keys={"tab": "next", "shift+tab": "previous"},
        shown="tab",
        label="panes",
        does="the next pane",
        group="here",
        when="always",
        unless="",
    ),
    Action(
        id="help",
        keys=_keys("question_mark", "f1"),
        shown="?",
        label="help",
        does="help",
        group="here",
        when="always",
        unless="",
    ),
    Action(
        id="back",
        keys=_keys("escape"),
        shown="esc",
        label="back",
        does="one layer out",
        group="here",
        when="always",
        unless="",
    ),
    Action(
        id="leave",
        keys={"q": "", "ctrl+q": "", "ctrl+c": "interrupt"},
        shown="q ^c ^q",
        footer_key="q",
        label="quit",
        does="leave (asks first)",
        group="here",
        when="always; asks while it runs; ctrl+c twice: stop",
        unless="stopping already",
        refusal=_cannot_leave,
    ),
)
ACTIONS: Mapping[str, Action] = {action.id: action for action in REGISTRY}
KEYS: Mapping[str, Action] = {key: action for action in REGISTRY for key in action.keys}


def markdown_table() -> str:
    """Write the registry as a Markdown table for the documents."""
    rows = ["| keys | does | when | said when not |", "| --- | --- | --- | --- |"]
    for action in REGISTRY:
        does, when = action.does, action.when
        if action.id in OTHERWISE:
            does = f"{does}; replay: {OTHERWISE[action.id].does}"
            when += ", replay" if action.command is not None else ""
        rows.append(f"| `{action.shown}` | {does} | {when} | {action.unless or '–'} |")
    return "\n".join(rows) + "\n"


def by_group() -> dict[str, list[Action]]:
    """Give the actions in the order of the registry under the groups that help shows them in."""
    groups: dict[str, list[Action]] = {}
    for action in REGISTRY:
        groups.setdefault(action.group, []).append(action)
    return groups
