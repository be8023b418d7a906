"""The dialog before a file is overwritten; its focus is on what loses nothing."""

from __future__ import annotations

from typing import ClassVar

from textual import events

from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import Dialog
from fedlora_tui.console.view import View

KEEP, OVERWRITE = "keep it", "overwrite"


class OverwriteDialog(Dialog[bool]):
    """Whether a file that is there already is to be overwritten."""

    RIGHT_WORDS: ClassVar[str] = "enter"

    def __init__(self, view: View, out: str) -> None:
        super().__init__(view)
        self._out = out
        self._cursor = KEEP

    def title_words(self) -> str:
        """Name the file."""
        return f"{self._out} is there already"

    def content(self, view: View) -> list[list[Words]]:
        """Give the two choices and the keys."""
        glyphs = view.look.glyphs
        return [
            self._choice(view, "esc", KEEP, "nothing is written; the choices stay as they are"),
            self._choice(view, "o", OVERWRITE, "what stands in it now is gone"),
            [],
            [
                (f"{glyphs.up} {glyphs.down}", "yours_bold"),
                " choose   ",
                ("enter", "yours_bold"),
                " take it",
            ],
        ]

    def press(self, event: events.Key) -> None:
        """Take a choice by its key, or the one under the cursor."""
        if event.key == "escape":
            self.dismiss(False)
        elif event.key == "o":
            self.dismiss(True)
        elif event.key == "enter":
            self.dismiss(self._cursor == OVERWRITE)
        elif event.key in ("up", "down", "tab", "shift+tab", "j", "k", "left", "right"):
            self._cursor = OVERWRITE if self._cursor == KEEP else KEEP
            self.repaint()

    def _choice(self, view: View, key: str, name: str, words: str) -> list[Words]:
        here = self._cursor == name
        return [
            (f"{view.look.glyphs.cursor if here else ' '} ", "yours_bold"),
            (f"{key:<5}", "yours_bold"),
            (f"{name:<11}", "yours_bold" if here else ""),
            words,
        ]
