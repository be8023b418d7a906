"""What the operator can look at, and how to get about the console."""

from __future__ import annotations

from fedlora_tui.console.actions.action import Action, Situation, keys_of


def _cannot_show_drift(situation: Situation) -> str | None:
    return None if situation.state.merged else "no round is aggregated yet"


def _cannot_move(situation: Situation) -> str | None:
    if situation.page in ("overview", "organization") and not situation.state.organizations:
        return "there are no organizations yet"
    return None


def _cannot_compare(situation: Situation) -> str | None:
    return None if situation.runs > 1 else "this is the only run"


def _cannot_open(situation: Situation) -> str | None:
    if situation.page == "organization":
        up, down, back = situation.key("move", "up"), situation.key("move", "down"), situation.key("back")
        return f"it is open: {up} and {down} go to the others, {back} goes back"
    if situation.page != "overview" or situation.selected is not None:
        return None
    return "nothing is selected"


def _cannot_ask_for_the_wheel(situation: Situation) -> str | None:
    return {
        "alone": "you steer, and nobody else watches",
        "ours": "you steer",
        "readonly": "this console only watches (--readonly)",
    }.get(situation.wheel)


def _cannot_leave(situation: Situation) -> str | None:
    return "stopping already: ctrl+c twice leaves without waiting" if situation.stopping else None


LOOKING: tuple[Action, ...] = (
    Action(
        id="drift",
        keys=keys_of("b"),
        shown="b",
        label="by module",
        does="drift by module",
        group="looking",
        when="a round is aggregated",
        unless="no round is aggregated yet",
        refusal=_cannot_show_drift,
    ),
    Action(
        id="rounds_table",
        keys=keys_of("r"),
        shown="r",
        label="rounds",
        does="all rounds",
        group="looking",
        when="always",
        unless="",
    ),
    Action(
        id="log",
        keys=keys_of("l"),
        shown="l",
        label="log",
        does="log, engine.log",
        group="looking",
        when="always",
        unless="",
    ),
    Action(
        id="runs",
        keys=keys_of("o"),
        shown="o",
        label="runs",
        does="all runs",
        group="looking",
        when="always",
        unless="",
    ),
    Action(
        id="resume_listed",
        keys=keys_of("space"),
        shown="space",
        label="resume",
        does="runs: resume it",
        group="looking",
        when="in the list of runs; it failed, was stopped, lost its process",
        unless="it is at work · it is done",
        page="runs",
    ),
    Action(
        id="follow",
        keys=keys_of("f"),
        shown="f",
        label="follow",
        does="log: follow its end",
        group="looking",
        when="in the log",
        unless="f does this in the log alone",
        page="log",
    ),
)
HERE: tuple[Action, ...] = (
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
        keys=keys_of("c"),
        shown="c",
        label="compare",
        does="compare the runs",
        group="here",
        when="a race of several runs",
        unless="this is the only run",
        refusal=_cannot_compare,
    ),
    Action(
        id="open",
        keys=keys_of("enter"),
        shown="enter",
        label="open",
        label_on={"rounds_table": "more", "log": "whole", "compare": "show"},
        does="open what is selected",
        group="here",
        when="something is selected",
        unless="nothing is selected",
        refusal=_cannot_open,
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
        id="command",
        keys=keys_of("colon", "ctrl+p"),
        shown=": ctrl+p",
        footer_key=":",
        label="command",
        does="any action by name",
        group="here",
        when="always",
        unless="",
    ),
    Action(
        id="wheel",
        keys=keys_of("w"),
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
        keys=keys_of("question_mark", "f1"),
        shown="?",
        label="help",
        does="help",
        group="here",
        when="always",
        unless="",
    ),
    Action(
        id="back",
        keys=keys_of("escape"),
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
