"""What stands on a terminal, cell by cell with its colours: read from a console, or from what a program wrote.

A row is a tuple of stretches, each a text in one ink, as wide together as the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.segment import Segment
from rich.style import Style
from textual.app import App

from fedlora_tui.benchmarks.screen import Screen


@dataclass(frozen=True)
class Ink:
    """The colours of a stretch as `#rrggbb`, empty where they are the terminal's own."""

    colour: str = ""
    behind: str = ""
    bold: bool = False


Row = tuple[tuple[str, Ink], ...]

PLAIN = Ink()


def rows_of(app: App[str]) -> list[Row]:
    """Read what a running console shows, with the dialog that lies over it."""
    # The public way gives a finished SVG and nothing else.
    drawn = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    return [_joined((part.text, _ink(part)) for strip in line for part in strip) for line in drawn.strips]


def text_of(rows: Iterable[Row]) -> list[str]:
    """Give the rows as plain text, without the spaces behind them."""
    return ["".join(text for text, _ in row).rstrip() for row in rows]


def _ink(part: Segment) -> Ink:
    style = part.style or Style.null()
    colour, behind = (_hex(one) for one in (style.color, style.bgcolor))
    if style.reverse:
        colour, behind = behind, colour
    return Ink(colour, behind, bool(style.bold))


def _hex(colour: object) -> str:
    triplet = getattr(colour, "triplet", None)
    return "" if triplet is None else triplet.hex


def _joined(parts: Iterable[tuple[str, Ink]]) -> Row:
    grouped = groupby(parts, key=lambda part: part[1])
    return tuple((text, ink) for ink, some in grouped if (text := "".join(text for text, _ in some)))


class Painted(Screen):
    """The text of a terminal, and in what ink each of its cells was written."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(width, height)
        self._ink = PLAIN
        self._inks: dict[tuple[int, int], Ink] = {}

    def painted(self) -> tuple[Row, ...]:
        """Give the rows from top to bottom."""
        return tuple(
            _joined((self.cell(x, y), self._inks.get((x, y), PLAIN)) for x in range(self.width))
            for y in range(self.height)
        )

    def _write(self, text: str) -> None:
        begin = self._x
        super()._write(text)
        for x in range(begin, self._x):
            self._inks[x, self._y] = self._ink

    def _blank(self) -> list[list[str]]:
        self._inks = {}
        return super()._blank()

    def _erase(self, how: int, first: int, at: int, last: int) -> None:
        super()._erase(how, first, at, last)
        begin, end = {0: (at, last), 1: (first, at + 1)}.get(how, (first, last))
        for place in range(begin, end):
            self._inks.pop((place % self.width, place // self.width), None)

    def _obey(self, command: str, arguments: str) -> None:
        if command == "m" and not arguments.startswith(("?", ">")):
            self._ink = _turned(self._ink, [int(number or 0) for number in arguments.split(";")])
        else:
            super()._obey(command, arguments)


def _turned(ink: Ink, numbers: Sequence[int]) -> Ink:
    """Give the ink after a sequence of those that set colours; of them Textual writes true ones alone."""
    at = 0
    while at < len(numbers):
        number = numbers[at]
        if number in (38, 48) and numbers[at + 1 : at + 2] == [2]:
            colour = "#{:02x}{:02x}{:02x}".format(*numbers[at + 2 : at + 5])
            ink = replace(ink, colour=colour) if number == 38 else replace(ink, behind=colour)
            at += 5
            continue
        match number:
            case 0:
                ink = PLAIN
            case 1:
                ink = replace(ink, bold=True)
            case 22:
                ink = replace(ink, bold=False)
            case 39:
                ink = replace(ink, colour="")
            case 49:
                ink = replace(ink, behind="")
        at += 1
    return ink
