"""Which rows are shown, in which order, and which of them are taken together."""

from __future__ import annotations

from fedlora_tui.console.actions.action import Action, Situation, keys_of

FILTERED = ("overview", "log")
"""The pages whose rows can be filtered."""

SORTED = ("overview", "compare")
"""The pages whose rows can be sorted anew, and marked."""


def _cannot_filter(situation: Situation) -> str | None:
    return _no_rows(situation) if situation.page in FILTERED else "nothing here can be filtered"


def _cannot_sort(situation: Situation) -> str | None:
    return _no_rows(situation) if situation.page in SORTED else "nothing here can be sorted"


def _cannot_mark(situation: Situation) -> str | None:
    if situation.page not in SORTED:
        return "nothing here can be marked"
    if (reason := _no_rows(situation)) is not None:
        return reason
    return "no organization is selected" if situation.page == "overview" and situation.selected is None else None


def _no_rows(situation: Situation) -> str | None:
    if situation.page == "overview" and not situation.state.organizations:
        return "there are no organizations yet"
    return None


ARRANGING: tuple[Action, ...] = (
    Action(
        id="mark",
        keys=keys_of("m"),
        shown="m",
        label="add, remove",
        does="mark for several at once",
        group="organizations",
        when="one is selected; in the comparison: takes a run out of the chart, or in",
        unless="no organization is selected",
        refusal=_cannot_mark,
    ),
    Action(
        id="filter",
        keys=keys_of("slash"),
        shown="/",
        label="filter",
        does="filter: words, gain<0.1",
        group="organizations",
        when="there are rows",
        unless="nothing here can be filtered",
        refusal=_cannot_filter,
    ),
    Action(
        id="sort",
        keys={"s": "next", "S": "turn", "upper_s": "turn"},
        shown="s S",
        footer_key="s",
        label="sort",
        does="sort, turn round",
        group="organizations",
        when="there are rows",
        unless="nothing here can be sorted",
        refusal=_cannot_sort,
    ),
)
