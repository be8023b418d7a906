"""The box of commands: one line, what could be meant by it, and why it cannot be done where it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual import events

from fedlora_tui.console.actions.action import Situation
from fedlora_tui.console.actions.registry import ACTIONS
from fedlora_tui.console.command_line import Act, Known, Look, Match, Read, Wrong, matches, read
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import left
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import EDGES, Dialog
from fedlora_tui.console.typed_line import TypedLine
from fedlora_tui.console.view import View

SHOWN = 8
"""How many matches are in sight."""

NAME_WIDTH = 22
MOST_TYPED = 400


class CommandDialog(Dialog[Read | None]):
    """What is typed, and what it could become. It closes with what was asked for; leaving the console is not that."""

    TITLE_WORDS = "command"
    RIGHT_WORDS = ": ctrl+p"

    def __init__(self, view: View, history: Sequence[str] = ()) -> None:
        super().__init__(view)
        self._typed = TypedLine(MOST_TYPED)
        self._history = [*history]
        self._place = len(self._history)
        self._draft = ""
        self._completing: list[Match] = []
        self._choice = -1
        self._complaint = ""

    @property
    def typed(self) -> str:
        """The line as it stands."""
        return self._typed.text

    @property
    def takes_letters(self) -> bool:
        """Every letter is written into the line."""
        return True

    def content(self, view: View) -> list[list[Words]]:
        """Give the line, the matches in as many rows as there may be, why it was refused, and the keys."""
        glyphs = view.look.glyphs
        found = self._completing or matches(self.typed, _known(view))
        top = max(0, self._choice - SHOWN + 1)
        lines = [_match(match, place == self._choice, glyphs) for place, match in enumerate(found)][top : top + SHOWN]
        more = len(found) - top - SHOWN
        return [
            [(": ", "yours_bold"), *self._typed.words(self.box_width(view) - EDGES - 3, glyphs, focused=True)],
            [],
            *lines,
            *([[]] * (SHOWN - len(lines))),
            [(f"{more} more", "quiet")] if more > 0 else [],
            [(self._complaint, "care")],
            [
                *(("enter", "yours_bold"), " do it   ", ("tab", "yours_bold"), " complete   "),
                *((f"{glyphs.up} {glyphs.down}", "yours_bold"), " earlier ones   ", ("esc", "yours_bold"), " leave"),
            ],
        ]

    def press(self, event: events.Key) -> None:
        """Write in the line, complete it, bring back an earlier one, do it or leave."""
        self._complaint = ""
        if event.key == "escape":
            self.dismiss(None)
            return
        if event.key == "enter":
            self._do()
            return
        if event.key in ("tab", "shift+tab"):
            self._complete(1 if event.key == "tab" else -1)
        elif event.key in ("up", "down"):
            self._go_back(-1 if event.key == "up" else 1)
        else:
            self._edited(self._typed.press(event))
        self.repaint()

    def on_paste(self, event: events.Paste) -> None:
        """Take what is pasted as typed, in one line."""
        self._edited(self._typed.paste(event.text))
        self.repaint()

    def _edited(self, edited: bool) -> None:
        if edited:
            self._completing, self._choice = [], -1

    def _write(self, text: str) -> None:
        self._typed.put(text)
        self._edited(True)

    def _complete(self, step: int) -> None:
        """Take the next of the matches of what was typed."""
        if not self._completing:
            self._completing = matches(self.typed, _known(self._view))
            self._choice = -1 if step > 0 else 0
        if not self._completing:
            self._complaint = "nothing matches that"
            return
        self._choice = (self._choice + step) % len(self._completing)
        if len(self._completing) == 1:
            match = self._completing[0]
            self._write(match.text + ("" if match.whole else " "))
        else:
            self._typed.put(self._completing[self._choice].text)

    def _go_back(self, step: int) -> None:
        """Bring an earlier line back, or come back to what was typed."""
        if self._place == len(self._history):
            self._draft = self.typed
        self._place = max(0, min(len(self._history), self._place + step))
        self._write(self._draft if self._place == len(self._history) else self._history[self._place])
        if not self._history:
            self._complaint = "nothing was typed here before"

    def _do(self) -> None:
        asked = read(self.typed, _known(self._view))
        complaint = self._refusal(asked)
        if complaint is None:
            self.dismiss(asked)
            return
        self._complaint = complaint
        self.repaint()

    def _refusal(self, asked: Read) -> str | None:
        """Say why what is asked for cannot be done now, None where it can."""
        if isinstance(asked, Wrong):
            return asked.words
        if isinstance(asked, Look):
            return None
        situation = self._view.situation
        if isinstance(asked, Act):
            return ACTIONS[asked.action].reason(replace(situation, direction=asked.direction))
        reasons = (ACTIONS[gate].reason(_about(situation, org)) for gate, org in asked.gates)
        return next((reason for reason in reasons if reason is not None), None)


def _about(situation: Situation, org: str) -> Situation:
    """Give a situation in which an organization that was named is meant, whoever is marked; empty: none was."""
    return replace(situation, selected=org, marked=()) if org else situation


def _match(match: Match, chosen: bool, glyphs: Glyphs) -> list[Words]:
    style = "yours_bold" if chosen else ""
    mark = f"{glyphs.cursor} " if chosen else "  "
    return [(mark + left(match.text, NAME_WIDTH, glyphs), style), ("  " + match.does, "quiet")]


def _known(view: View) -> Known:
    directions = {
        name: tuple(dict.fromkeys(way for way in action.keys.values() if way))
        for name, action in ACTIONS.items()
        if "" not in action.keys.values()
    }
    does = {name: action.does for name, action in ACTIONS.items() if name != "command"}
    return Known(view.state, view.selected or "", does, directions)
