"""One line drawn at fixed columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Span, Text

from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cells, cut_end

Part = str | tuple[str, str]
"""Words, alone or with the name of their style."""


class Row:
    """Puts words at columns, from left to right; what would overlap or stand out is cut."""

    def __init__(self, width: int, glyphs: Glyphs) -> None:
        self.width = width
        self._glyphs = glyphs
        self._words: list[str] = []
        self._spans: list[Span] = []
        self._length = 0
        self._end = 0

    @property
    def end(self) -> int:
        """The first free column."""
        return self._end

    def at(self, column: int, *parts: Part, until: int | None = None) -> Row:
        """Put parts at a column, or behind what stands there; `until` is the column before which they end."""
        limit = self.width if until is None else min(until, self.width)
        if column >= limit:
            return self
        if column > self._end:
            self._put(" " * (column - self._end))
            self._end = column
        for place, part in enumerate(parts, 1):
            words, style = (part, "") if isinstance(part, str) else part
            room = limit - self._end
            # A part that ends where the room does must show that others are lost behind it.
            lost = cells(words) == room and width_of(*parts[place:])
            words = cut_end(f"{words} " if lost else words, room, self._glyphs)
            if style:
                self._spans.append(Span(self._length, self._length + len(words), style))
            self._put(words)
            self._end += cells(words)
        return self

    def to(self, column: int, *parts: Part) -> Row:
        """Put parts so that they end before a column, where there is room for the whole of them."""
        if column > self.width or column - width_of(*parts) < self._end:
            return self
        return self.at(column - width_of(*parts), *parts)

    def text(self) -> Text:
        """Give the line, padded to its width."""
        self._put(" " * (self.width - self._end))
        self._end = self.width
        return Text("".join(self._words), no_wrap=True, end="", spans=self._spans)

    def _put(self, words: str) -> None:
        self._words.append(words)
        self._length += len(words)


def width_of(*parts: Part) -> int:
    """Give the cells that parts take."""
    return sum(cells(part if isinstance(part, str) else part[0]) for part in parts)


def rule(
    width: int,
    glyphs: Glyphs,
    title: str,
    *right: Part,
    focused: bool = False,
    right_end: int | None = None,
    beside: Sequence[Part] = (),
) -> Text:
    """Draw a pane's rule with its number and name, heavy when focused, and what stands at its right end.

    What stands `beside` the name goes before what stands right.
    """
    line = glyphs.rule_focused if focused else glyphs.rule
    style = "yours" if focused else "quiet"
    row = Row(width, glyphs).at(0, (line, style), " ", (title, "yours_bold" if focused else "ink"), *beside, " ")
    end = width if right_end is None else right_end
    tail: tuple[Part, ...] = (" ", *right, " ", (line, style)) if right else ()
    fill = end - row.end - width_of(*tail)
    if fill < 1:
        tail, fill = (), end - row.end
    row.at(row.end, (line * max(0, fill), style), *tail)
    return row.text()
