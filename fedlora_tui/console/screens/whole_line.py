"""The dialog of one line of the log, as long as it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events

from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import EDGES, Dialog, scrolled, scrolled_to
from fedlora_tui.console.view import View

WIDEST = 116


class WholeLine(Dialog[None]):
    """The words of a line, broken where the box ends; it scrolls where they are many."""

    TITLE_WORDS = "the whole line"
    CLOSED_BY = ("leave",)

    def __init__(self, view: View, words: str) -> None:
        super().__init__(view)
        self._words = words
        self._top = 0
        self._rows = self._total = 1

    def box_width(self, view: View) -> int:
        """Give a line as much of the terminal as it can use."""
        return min(WIDEST, view.layout.width)

    def content(self, view: View) -> list[list[Words]]:
        """Give the words, and how to leave."""
        lines: list[list[Words]] = [[line] for line in broken(self._words, self.box_width(view) - EDGES)]
        return [*lines, [], [("esc", "yours_bold"), " closes"]]

    def in_sight(self, content: list[list[Words]], rows: int) -> Sequence[list[Words]]:
        """Give the lines in sight."""
        self._rows, self._total = rows, len(content)
        self._top = max(0, min(self._top, len(content) - rows))
        return scrolled_to(content, self._top, rows)

    def press(self, event: events.Key) -> None:
        """Scroll, or close."""
        if event.key == "enter" or self.closes(event.key):
            self.dismiss(None)
            return
        self._top += scrolled(event.key, self._rows, self._total)
        self.repaint()


def broken(words: str, width: int) -> list[str]:
    """Break words into lines of at most `width` cells, between words where that is possible."""
    lines = []
    rest = words.rstrip()
    while rest:
        line = rest[: _fitting(rest, width)]
        if len(rest) > len(line) and not rest[len(line)].isspace() and " " in line.strip():
            line = line.rpartition(" ")[0]
        lines.append(line.rstrip())
        rest = rest[len(line) :].lstrip()
    return lines or [""]


def _fitting(words: str, width: int) -> int:
    """Give how many signs fit into so many cells, one at least."""
    cells = end = 0
    while end < len(words) and (cells := cells + cell_len(words[end])) <= width:
        end += 1
    return max(1, end)
