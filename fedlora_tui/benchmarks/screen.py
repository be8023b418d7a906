"""What a terminal shows, row by row, made of the bytes that a program wrote: its text alone, no colours.

It knows what Textual writes: text, moves of the cursor, erasing. A whole emulator would cost many times as much of the
processor that the measured program trains on, and a package that no run needs.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping

from rich.cells import cell_len

TOKENS = re.compile(
    r"\x1b\[(?P<arguments>[0-?]*)[ -/]*(?P<command>[@-~])"
    r"|\x1b(?:[\]P_^X].*?(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-Z\\`-~])"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
    r"|(?P<text>[^\x00-\x1f\x7f]+)",
    re.DOTALL,
)
"""A sequence with its command, another sequence, a control character, or a stretch of text."""


class Screen:
    """The text of a terminal of some columns and rows; a sign of two cells leaves the second one empty."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""
        self._x = self._y = 0
        self._cells = self._blank()

    def feed(self, written: bytes) -> None:
        """Take in what was written; a sequence that is cut off waits for its rest."""
        text = self._begun + self._decoder.decode(written)
        at = 0
        while at < len(text):
            token = TOKENS.match(text, at)
            if token is None:
                break
            if token["text"]:
                self._write(token["text"])
            elif token["control"]:
                self._control(token["control"])
            elif token["command"]:
                self._obey(token["command"], token["arguments"])
            at = token.end()
        self._begun = text[at:]

    def rows(self) -> list[str]:
        """Give the rows from top to bottom, each as wide as the terminal."""
        return ["".join(row) for row in self._cells]

    def cell(self, x: int, y: int) -> str:
        """Give the sign in a cell, counted from 0."""
        return self._cells[y][x]

    def _blank(self) -> list[list[str]]:
        return [[" "] * self.width for _ in range(self.height)]

    def _write(self, text: str) -> None:
        row = self._cells[self._y]
        if text.isascii():
            end = min(self.width, self._x + len(text))
            row[self._x : end] = text[: end - self._x]
            self._x = end
            return
        for sign in text:
            cells = cell_len(sign)
            if cells and self._x + cells <= self.width:
                row[self._x : self._x + cells] = [sign, *[""] * (cells - 1)]
                self._x += cells

    def _control(self, sign: str) -> None:
        if sign == "\r":
            self._x = 0
        elif sign == "\n":
            self._y = min(self.height - 1, self._y + 1)
        elif sign == "\b":
            self._x = max(0, self._x - 1)

    def _obey(self, command: str, arguments: str) -> None:
        if arguments == "?1049":
            self._cells = self._blank()
        elif command in MOVES and not arguments.startswith(("?", "<", "=", ">")):
            numbers = [int(number) if number.isdecimal() else 0 for number in arguments.split(";")]
            MOVES[command](self, [*numbers, 0])

    def _place(self, x: int, y: int) -> None:
        self._x, self._y = max(0, min(self.width - 1, x)), max(0, min(self.height - 1, y))

    def _erase(self, how: int, first: int, at: int, last: int) -> None:
        """Blank cells, counted through all rows: from `at` to `last`, from `first` to `at`, or all of them."""
        begin, end = {0: (at, last), 1: (first, at + 1)}.get(how, (first, last))
        for place in range(begin, end):
            self._cells[place // self.width][place % self.width] = " "

    def _erase_line(self, how: int) -> None:
        start = self._y * self.width
        self._erase(how, start, start + self._x, start + self.width)

    def _erase_screen(self, how: int) -> None:
        self._erase(how, 0, self._y * self.width + self._x, self.width * self.height)


MOVES: Mapping[str, Callable[[Screen, list[int]], None]] = {
    "H": lambda screen, n: screen._place((n[1] or 1) - 1, (n[0] or 1) - 1),
    "f": lambda screen, n: screen._place((n[1] or 1) - 1, (n[0] or 1) - 1),
    "A": lambda screen, n: screen._place(screen._x, screen._y - (n[0] or 1)),
    "B": lambda screen, n: screen._place(screen._x, screen._y + (n[0] or 1)),
    "C": lambda screen, n: screen._place(screen._x + (n[0] or 1), screen._y),
    "D": lambda screen, n: screen._place(screen._x - (n[0] or 1), screen._y),
    "G": lambda screen, n: screen._place((n[0] or 1) - 1, screen._y),
    "d": lambda screen, n: screen._place(screen._x, (n[0] or 1) - 1),
    "J": lambda screen, n: screen._erase_screen(n[0]),
    "K": lambda screen, n: screen._erase_line(n[0]),
}
"""What the commands do that move the cursor or erase; missing numbers are 0."""
