"""The last three rows: what waits for the next round, the answer to the last key, the keys that act here."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.actions.keymap import Keymap
from fedlora_tui.console.actions.registry import ACTIONS
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.footer import FooterPlace, footer_places
from fedlora_tui.console.row import Row, width_of
from fedlora_tui.console.typed_line import shown
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.wording import waiting_words

LEAST_TYPED = 24
"""Cells that what is typed keeps beside what is said of it."""


class LastRows(Part):
    """The last three rows."""

    def draw(self, view: View) -> list[Text]:
        """Give the three lines."""
        return [_next_round(view), _answer(view), self.footer(view)]

    def footer(self, view: View) -> Text:
        """Give the last one: the keys that act here."""
        return _footer(view)


def _next_round(view: View) -> Text:
    row = Row(view.layout.width, view.look.glyphs)
    if view.state.waiting:
        row.at(1, ("next round", "quiet"))
        for change in view.state.waiting:
            row.at(row.end + 3, (waiting_words(change, view.look.glyphs), "yours"), until=view.layout.width - 16)
        if view.replay is None:
            row.to(view.layout.width - 1, (view.key("undo"), "yours_bold"), " takes back")
    return row.text()


def _answer(view: View) -> Text:
    row = Row(view.layout.width, view.look.glyphs)
    said = view.said
    if (field := view.open_field) is not None:
        note = (f"   {field.note}", "care" if field.bad else "quiet")
        room = max(LEAST_TYPED, view.layout.width - 4 - width_of(note))
        row.at(1, (field.sign, "yours_bold"), " ", *shown(field.typed, field.caret, room, view.look.glyphs))
        row.at(row.end, note)
    elif said is not None:
        row.at(1, (said.sign, said.style), " ", (numbers.clock(said.t, view.look.glyphs), "quiet"), f" {said.words}")
        for place, name in enumerate(said.hints):
            row.at(row.end + 3 if not place else row.end + 2, "now good: " if not place else "")
            row.at(row.end, (view.key(name), "yours_bold"), f" {ACTIONS[name].label}")
    return row.text()


def _footer(view: View) -> Text:
    row = Row(view.layout.width, view.look.glyphs)
    column = 1
    for place in footer_places(view.situation, view.layout.columns, view.layout.width):
        _put_place(row, column, place, view.keymap, bare=not view.look.roles["held"])
        column += place.width + 2
    return row.text()


def _put_place(row: Row, column: int, place: FooterPlace, keymap: Keymap, bare: bool) -> None:
    """Put one key and its word: dimmed when it cannot act, in brackets where there are no colours to dim."""
    key = place.action.key_in_footer(keymap)
    if place.able:
        row.at(column, (key, "yours_bold"), place.text.removeprefix(key))
    elif bare:
        row.at(column - 1, f"({place.text.rstrip()})")
    else:
        row.at(column, (place.text, "quiet"))
