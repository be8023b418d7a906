"""Panes by their numbers, the x-axis of a chart, and what is taken along from the screen."""

from __future__ import annotations

from fedlora_tui.console.actions.action import Action, Situation, keys_of

PANED = ("overview", "compare")
"""The pages whose panes have numbers that are keys."""


def _cannot_show_pane(situation: Situation) -> str | None:
    if situation.page not in PANED:
        return "no pane here has a number"
    if situation.page == "overview" and situation.state.phase == "starting":
        return "the run is starting: there are no panes yet"
    return None


PANES: tuple[Action, ...] = (
    Action(
        id="pane",
        keys={number: number for number in "123456"},
        shown="1 .. 6",
        label="pane",
        does="pane, again: alone",
        group="looking",
        when="always",
        unless="starting · there is no pane 3 here",
        refusal=_cannot_show_pane,
    ),
    Action(
        id="layout",
        keys=keys_of("0"),
        shown="0",
        label="all panes",
        does="all panes back",
        group="looking",
        when="a pane is alone",
        unless="starting · all panes are here",
        refusal=_cannot_show_pane,
    ),
    Action(
        id="x_axis",
        keys=keys_of("z"),
        shown="z",
        label="zoom",
        does="x-axis of the chart",
        group="looking",
        when="a chart is shown",
        unless="starting · the chart has no room here: 1 shows it alone",
        refusal=_cannot_show_pane,
    ),
    Action(
        id="copy",
        keys={"y": "text", "P": "picture", "upper_p": "picture"},
        shown="y P",
        footer_key="y",
        label="copy",
        does="copy, picture",
        group="looking",
        when="always",
        unless="",
    ),
)
