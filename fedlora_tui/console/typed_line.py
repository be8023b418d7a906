"""A line that is typed: what stands in it, where the caret is, and what keys and what is pasted make of it."""

from __future__ import annotations

from textual import events

from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cells, cut_end, cut_start
from fedlora_tui.console.row import Part as Words

DIGITS = "0123456789"
BEHIND = 12
"""The most cells behind the caret that stay in sight where the line is longer than its room."""


class TypedLine:
    """One line with its caret; `allowed` are the characters that it takes, empty where it takes all that print."""

    def __init__(self, most: int, allowed: str = "", text: str = "") -> None:
        """`most` is how many characters it holds."""
        self._most = most
        self._allowed = allowed
        self.text = text
        self.caret = len(text)

    def put(self, text: str) -> None:
        """Let the line be this text, with the caret behind it."""
        self.text = text[: self._most]
        self.caret = len(self.text)

    def write(self, words: str) -> bool:
        """Put words where the caret is, on one line, as far as they are allowed and fit; False where nothing is."""
        taken = "".join(letter for letter in words if self._takes(letter))[: self._most - len(self.text)]
        self.text = self.text[: self.caret] + taken + self.text[self.caret :]
        self.caret += len(taken)
        return bool(taken)

    def paste(self, words: str) -> bool:
        """Put what was pasted where the caret is: its lines become one."""
        return self.write(" ".join(words.split()))

    def press(self, event: events.Key) -> bool:
        """Take a key that writes, erases or moves the caret; False for any other, and for a letter not allowed."""
        if event.key in ("left", "right", "home", "end"):
            self._move(event.key)
        elif event.key in ("backspace", "delete"):
            self._erase(self.caret - 1 if event.key == "backspace" else self.caret)
        elif event.key == "ctrl+u":
            self.put("")
        elif event.key == "ctrl+w":
            before = self.text[: self.caret].rstrip().rpartition(" ")
            kept = before[0] + before[1]
            self.text, self.caret = kept + self.text[self.caret :], len(kept)
        elif event.is_printable and event.character:
            return self._takes(event.character) and (self.write(event.character) or True)
        else:
            return False
        return True

    def words(self, room: int, glyphs: Glyphs, *, focused: bool, style: str = "") -> list[Words]:
        """Write the line into so many cells, with the caret where it has the focus."""
        return shown(self.text, self.caret if focused else None, room, glyphs, style)

    def _takes(self, letter: str) -> bool:
        return letter.isprintable() and (not self._allowed or letter in self._allowed)

    def _move(self, key: str) -> None:
        to = {"left": self.caret - 1, "right": self.caret + 1, "home": 0, "end": len(self.text)}[key]
        self.caret = max(0, min(len(self.text), to))

    def _erase(self, place: int) -> None:
        if 0 <= place < len(self.text):
            self.text = self.text[:place] + self.text[place + 1 :]
            self.caret = place


def shown(text: str, caret: int | None, room: int, glyphs: Glyphs, style: str = "") -> list[Words]:
    """Write a text into so many cells, with its caret in sight where it has one; what does not fit is a sign."""
    if caret is None:
        return [(cut_start(text, room, glyphs), style)]
    room = max(1, room - cells(glyphs.caret))
    before, behind = text[:caret], text[caret:]
    before = cut_start(before, max(1, room - min(cells(behind), BEHIND)), glyphs)
    return [(before, style), (glyphs.caret, "yours_bold"), (cut_end(behind, room - cells(before), glyphs), style)]
