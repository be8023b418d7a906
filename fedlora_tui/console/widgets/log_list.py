"""The list of the log page: a line an event, or a line of engine.log, the newest at the bottom, with a cursor."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.text import Text
from rich.theme import Theme

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.text import cut_middle
from fedlora_tui.console.filtering import LONGEST
from fedlora_tui.console.log_lines import LogLine
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule, width_of
from fedlora_tui.console.typed_line import TypedLine
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.row_table import RowTable
from fedlora_tui.console.widgets.table import scroll_bar

EVENTS, FILE = "events", "engine.log"
NAME_COLUMN, WORDS_COLUMN = 15, 31
FILTER_WIDTH, LEAST_FILTER = 25, 8
EDGES = 13
"""Columns of the rule that hold its name, and what stands around its words and the filter."""

_BAD = re.compile(r"^(Traceback|\w*(Error|Exception)\b|\S+: error\b)|\b(ERROR|CRITICAL)\b")
_DOUBTFUL = re.compile(r"\bWARNING\b|Warning:")


class LogList(RowTable):
    """The lines that pass the filter; the cursor follows the end until it is moved, and then stays on its line."""

    HEAD_ROWS = 1

    class Pointed(RowTable.Pointed):
        """The pointer asks for a line."""

    source = EVENTS
    lines: Sequence[LogLine] = ()
    total = 0
    chosen: int | None = None
    """The number of the line under the cursor, None where the end is followed."""

    typing = False
    trouble = ""
    capped = False
    """True where there was more before: then the first line says where all of it is."""

    def __init__(self, palette: Theme, *, id: str | None = None) -> None:
        super().__init__(palette, id=id)
        self.line = TypedLine(LONGEST)

    @property
    def cursor(self) -> int:
        """The row of the cursor; where its line is gone, the next one that is there."""
        last = len(self.lines) - 1
        if self.chosen is None:
            return max(0, last)
        wanted = self.chosen
        return next((place for place, line in enumerate(self.lines) if line.number >= wanted), max(0, last))

    def choose(self, place: int) -> None:
        """Put the cursor on a row, the nearest one where there is no such row; on the last one it follows the end."""
        if self.lines:
            place = max(0, min(len(self.lines) - 1, place))
            self.chosen = None if place == len(self.lines) - 1 else self.lines[place].number

    def draw(self, view: View) -> list[Text]:
        """Give the rule and the lines in sight."""
        layout, glyphs = view.layout, view.look.glyphs
        rows, cursor = layout.table + 1, self.cursor
        self.keep_in_sight(cursor, len(self.lines), rows)
        if self.chosen is None:
            self._top = max(0, len(self.lines) - rows)
        shown = self.lines[self._top : self._top + rows]
        bar = scroll_bar(len(self.lines), rows, self._top, view)
        lines = [_line(line, view, self._top + y == cursor, bar[y]) for y, line in enumerate(shown)]
        if not shown:
            lines = [Row(layout.width, glyphs).at(2, (self._nothing(view), "quiet")).text()]
        return [self._title(view), *lines, *[Row(layout.width, glyphs).text()] * (rows - len(lines))]

    def _nothing(self, view: View) -> str:
        if self.trouble:
            return self.trouble
        return f"no line passes the filter: {view.key('back')} clears it" if self.total else "nothing yet"

    def _title(self, view: View) -> Text:
        glyphs = view.look.glyphs
        parts: list[Words] = []
        for source in (EVENTS, FILE):
            if source == self.source:
                parts.append((f"{glyphs.choice_left} {source} {glyphs.choice_right}", "yours_bold"))
            else:
                parts.append((f"  {source}  ", "quiet"))
        count = numbers.count(self.total, glyphs)
        passing = len(self.lines) - (self.capped and self.total > 0)
        if passing != self.total:
            count = f"{numbers.count(passing, glyphs)} of {count}"
        behind: list[Words] = [
            f"   {'last ' if self.capped else ''}{count} lines",
            ("   follows" if self.chosen is None else "   stands ", "quiet"),
        ]
        if self.line.text or self.typing:
            style = "yours_bold" if self.typing else "yours"
            room = view.layout.width - width_of(*parts, *behind) - EDGES
            typed = self.line.words(
                max(LEAST_FILTER, min(FILTER_WIDTH, room)), glyphs, focused=self.typing, style=style
            )
            parts += ["  ", ("/ ", style), *typed]
        parts += behind
        return rule(view.layout.width, glyphs, "log", *parts, focused=True)


def _line(line: LogLine, view: View, chosen: bool, bar: str) -> Text:
    glyphs, end = view.look.glyphs, view.layout.width - 1
    row = Row(view.layout.width, glyphs).at(0, (glyphs.cursor if chosen else " ", "yours_bold"))
    if line.entry is None:
        style = "broken" if _BAD.search(line.words) else "care" if _DOUBTFUL.search(line.words) else ""
        row.at(2, (line.words, style), until=end)
    else:
        entry = line.entry
        row.at(2, (numbers.clock(entry.t, glyphs), "quiet")).at(12, (entry.sign, entry.style))
        name = cut_middle(entry.name, WORDS_COLUMN - NAME_COLUMN - 1, glyphs)
        row.at(14, (name, "yours_bold" if chosen else "")).at(WORDS_COLUMN, entry.words, until=end)
    text = row.at(end, (bar, "quiet")).text()
    if chosen and not view.look.roles["held"]:
        text.stylize("reverse")
    return text
