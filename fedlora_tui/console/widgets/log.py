"""The pane of the log: what happened, newest at the bottom."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.text import cut_middle
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.wording import Entry, entries

PARTS = "   "
"""What stands between the parts of a line."""


class Log(Part):
    """The pane of the log."""

    can_focus = True

    def draw(self, view: View) -> list[Text]:
        """Give the rule and the last lines."""
        layout, glyphs = view.layout, view.look.glyphs
        if not layout.log_width:
            return []
        title = rule(layout.log_width, glyphs, "4 log", focused=view.focused == "log")
        return [title, *(_line(entry, view) for entry in entries(view.state, glyphs, layout.log, view.keymap))]


def _line(entry: Entry, view: View) -> Text:
    row = Row(view.layout.log_width, view.look.glyphs)
    row.at(1, (numbers.clock(entry.t, view.look.glyphs), "quiet")).at(11, (entry.sign, entry.style))
    row.at(13, cut_middle(entry.name, 15, view.look.glyphs)).at(29, _fitting(entry.words, view.layout.log_width - 30))
    return row.text()


def _fitting(words: str, width: int) -> str:
    """Leave out what stands behind, part by part, until it fits; a single part is cut."""
    while cell_len(words) > width and PARTS in words:
        words = words.rpartition(PARTS)[0]
    return words
