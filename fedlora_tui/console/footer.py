"""The footer: which keys it names, in which places, and which of them fall away where it is narrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fedlora_tui.console.actions.action import Action, Situation
from fedlora_tui.console.actions.registry import ACTIONS
from fedlora_tui.protocol.state import RunState

PLACES: Mapping[str, tuple[str, ...]] = {
    "compact": ("pause", "add", "drop", "tune", "try", "export", "filter", "help", "leave"),
    "normal": (
        *("pause", "add", "drop", "tune", "try", "export", "open", "compare", "fork", "faults", "filter"),
        *("help", "leave"),
    ),
    "wide": (
        *("pause", "add", "drop", "tune", "rank", "more_rounds", "try", "export", "open", "rounds_table", "compare"),
        *("fork", "faults", "undo", "filter", "sort", "x_axis", "runs", "command", "help", "leave"),
    ),
    "compare": ("open", "pause", "export", "mark", "x_axis", "sort", "copy", "help", "back"),
    "organization": (
        *("pause", "drop", "own_rank", "try", "export", "faults", "move", "panes", "copy", "help", "back"),
    ),
    "log": ("pause", "move", "open", "filter", "follow", "panes", "copy", "help", "back"),
    "runs": ("open", "resume_listed", "move", "copy", "help", "back"),
    "audit": ("pause", "move", "copy", "help", "back"),
    "rounds_table": ("pause", "move", "open", "drift", "export", "fork", "copy", "help", "back"),
    "replay": ("pause", "rank", "more_rounds", "move", "drift", "filter", "help", "leave"),
}
"""The order of the footer by width, and where runs are compared, or one is replayed, at any width."""

STAYING = ("help", "leave", "back")
"""The footer's keys that never fall away."""


@dataclass(frozen=True)
class FooterPlace:
    """One place of the footer: its width, its text, whether the action can act."""

    action: Action
    text: str
    width: int
    able: bool = True


def footer_places(situation: Situation, columns: str, width: int) -> list[FooterPlace]:
    """Give the footer from left to right, as many places as fit; places fall away from the right."""
    widest = replace(situation, state=RunState())
    places = [_place(name, situation, widest) for name in _names(situation, columns)]
    staying = [place for place in places if place.action.id in STAYING]
    others = [place for place in places if place not in staying]
    while others and _footer_width([*others, *staying]) > width:
        others.pop()
    return [*others, *staying]


def _names(situation: Situation, columns: str) -> tuple[str, ...]:
    """Give what stands in the footer: that of a page has in a replay what can act there."""
    of_page = PLACES.get(situation.page)
    if situation.replay is None:
        return of_page or PLACES[columns]
    if of_page is None:
        return PLACES["replay"]
    return tuple(name for name in of_page if ACTIONS[name].serves_replay)


def _place(name: str, situation: Situation, widest: Situation) -> FooterPlace:
    action = ACTIONS[name]
    width = len(action.footer(widest))
    text = action.footer(situation)
    return FooterPlace(action, text, width, action.reason(situation) is None)


def _footer_width(places: list[FooterPlace]) -> int:
    return 1 + sum(place.width for place in places) + 2 * (len(places) - 1)
