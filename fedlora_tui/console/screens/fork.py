"""The dialog of a fork: with which finished round a second run begins, and what is changed in it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from textual import events

from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import EDGES, Dialog
from fedlora_tui.console.screens.round_field import RoundField
from fedlora_tui.console.typed_line import TypedLine
from fedlora_tui.console.view import View

LABEL_WIDTH = 9
MOST_TYPED = 1000
EXAMPLE = "like lora.rank=8 federation.learning_rate=5e-4"
ROUNDS_KEY = "federation.rounds"


@dataclass(frozen=True)
class Asked:
    """The round that a fork is to begin with, and its changes, each like `lora.rank=8`."""

    round: int
    changes: tuple[str, ...]


class ForkDialog(Dialog[Asked | None]):
    """Which round, and which changes, written as on the command line."""

    TITLE_WORDS = "fork: a second run, with changes"
    RIGHT_WORDS = "f"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._round = RoundField()
        self._changes = TypedLine(MOST_TYPED)
        self._typing = False

    @property
    def takes_letters(self) -> bool:
        """True while the line of changes is written."""
        return self._typing

    def content(self, view: View) -> list[list[Words]]:
        """Give the fields, what enter does, or why it does nothing, and the keys."""
        glyphs = view.look.glyphs
        complaint = self._complaint()
        return [
            [("round    ", "quiet"), *self._round.words(view.state, glyphs, focused=not self._typing)],
            [("changes  ", "quiet"), *self._line(view)],
            [],
            *([[(complaint, "care")], []] if complaint else self._what_enter_does()),
            [],
            [
                *(("enter", "yours_bold"), " fork   ", ("tab", "yours_bold"), " next field   "),
                *((f"{glyphs.left} {glyphs.right}", "yours_bold"), " round   ", ("esc", "yours_bold"), " leave"),
            ],
        ]

    def press(self, event: events.Key) -> None:
        """Move between the fields, write in them, fork or leave."""
        if event.key == "escape":
            self.dismiss(None)
        elif event.key == "enter":
            if not self._complaint():
                self.dismiss(Asked(self._number(), tuple(shlex.split(self._changes.text))))
        else:
            self._edit(event)
            self.repaint()

    def on_paste(self, event: events.Paste) -> None:
        """Take what is pasted as changes."""
        self._typing = True
        self._changes.paste(event.text)
        self.repaint()

    def _edit(self, event: events.Key) -> None:
        if event.key in ("tab", "down", "shift+tab", "up"):
            self._typing = not self._typing
        elif self._typing:
            self._changes.press(event)
        elif event.key in ("left", "right"):
            self._round.turn(1 if event.key == "right" else -1)
        elif not self._round.press(event) and event.is_printable and event.character:
            # Nothing but a number is written in the other field: a letter there begins a change.
            self._typing = True
            self._changes.write(event.character)

    def _what_enter_does(self) -> list[list[Words]]:
        return [
            [f"A run of its own beside this one, from round {self._number()} on;"],
            ["fedlora-tui attach shows it. This one stays as it is."],
        ]

    def _number(self) -> int:
        return self._round.number(self._view.state)

    def _complaint(self) -> str:
        """Say why there can be no such fork, empty when there can."""
        state = self._view.state
        if complaint := self._round.complaint(state):
            return complaint
        try:
            changes = shlex.split(self._changes.text)
        except ValueError:
            return "changes: a quotation mark is not closed"
        for change in changes:
            key, separator, value = change.partition("=")
            if not (key and separator and value):
                return f"{change}: allowed is section.key=value, {EXAMPLE}"
        if self._number() >= state.rounds and not any(it.startswith(f"{ROUNDS_KEY}=") for it in changes):
            return f"round {self._number()} is the last: it would be done; add {ROUNDS_KEY}={state.rounds + 10}"
        return ""

    def _line(self, view: View) -> list[Words]:
        """Write the line of changes, and what it may be where it is empty."""
        glyphs = view.look.glyphs
        if not self._changes.text:
            caret = glyphs.caret if self._typing else ""
            return [(caret, "yours_bold"), (f"none, or {EXAMPLE}", "quiet")]
        room = self.box_width(view) - EDGES - LABEL_WIDTH
        return self._changes.words(room, glyphs, focused=self._typing, style="yours_bold" if self._typing else "")
