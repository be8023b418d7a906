"""The footer: which keys it names, in which places, and which of them fall away where it is narrow."""

from __future__ import annotations

from dataclasses import dataclass

from fedlora_tui.console.actions import ACTIONS, PLACES, RESERVED, STAYING, Action, Situation
from fedlora_tui.protocol.state import RunState


@dataclass(frozen=True)
class FooterPlace:
    """One place of the footer: its width, its text (empty where no action holds it), whether the action can act."""

    action: Action | None
    text: str
    width: int
    able: bool = True


def footer_places(situation: Situation, columns: str, width: int) -> list[FooterPlace]:
    """Give the footer from left to right, as many places as fit; places fall away from the right."""
    places = [_place(name, situation) for name in PLACES[columns]]
    staying = [place for place in places if place.action is not None and place.action.id in STAYING]
    others = [place for place in places if place not in staying]
    while others and _footer_width([*others, *staying]) > width:
        others.pop()
    return [*others, *staying]


def _place(name: str, situation: Situation) -> FooterPlace:
    action = ACTIONS.get(name)
    if action is None:
        return FooterPlace(None, "", RESERVED[name])
    width = len(action.footer(RunState(), situation.replay))
    text = action.footer(situation.state, situation.replay)
    return FooterPlace(action, text, width, action.reason(situation) is None)


def _footer_width(places: list[FooterPlace]) -> int:
    return 1 + sum(place.width for place in places) + 2 * (len(places) - 1)
