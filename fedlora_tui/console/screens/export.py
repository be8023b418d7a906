"""The dialog that asks what to write: enter alone writes the latest adapter."""

from __future__ import annotations

from textual import events

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import Dialog
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.machine import ADAPTER_BYTES, BASE_BYTES
from fedlora_tui.console.wording import finished_rounds
from fedlora_tui.protocol.commands import Export

KINDS = ("adapter of all", "merged model")
ROUNDS = ("latest", "best", "another")


class ExportDialog(Dialog[Export | None]):
    """What to write, and of which round."""

    TITLE_WORDS = "export"
    RIGHT_WORDS = "e"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._field = 0
        self._kind = 0
        self._round = 0
        self._typed = ""

    def content(self, view: View) -> list[list[Words]]:
        """Give the fields, what they come to, and the keys."""
        glyphs = view.look.glyphs
        complaint = self._complaint()
        target = "" if complaint else _folder(view, self._number(), merged=self._kind == 1)
        return [
            [("what     ", "quiet"), *self._choices(0, list(KINDS), self._kind)],
            [("round    ", "quiet"), *self._choices(1, self._round_words(), self._round)],
            [("to       ", "quiet"), (complaint, "care") if complaint else target],
            [("size     ", "quiet"), _size(view, merged=self._kind == 1)],
            [],
            ["Written with privacy: none. Anyone with it can probe its training text."],
            [
                *(("enter", "yours_bold"), " write   ", ("tab", "yours_bold"), " next field   "),
                *((f"{glyphs.left} {glyphs.right}", "yours_bold"), " change it   ", ("esc", "yours_bold"), " leave"),
            ],
        ]

    def press(self, event: events.Key) -> None:
        """Move between the fields, change them, write or leave."""
        if event.key == "escape":
            self.dismiss(None)
        elif event.key == "enter":
            self._write()
        else:
            self._edit(event)
            self.repaint()

    def _edit(self, event: events.Key) -> None:
        if event.key in ("tab", "down", "shift+tab", "up"):
            self._field = 1 - self._field
        elif event.key in ("left", "right"):
            step = 1 if event.key == "right" else -1
            if self._field == 0:
                self._kind = (self._kind + step) % len(KINDS)
            else:
                self._round = (self._round + step) % len(ROUNDS)
        elif event.key == "backspace":
            self._typed = self._typed[:-1]
        elif event.character is not None and event.character.isascii() and event.character.isdigit():
            self._field, self._round = 1, 2
            self._typed = (self._typed + event.character)[-5:]

    def _write(self) -> None:
        if not self._complaint():
            name = self._typed if self._round == 2 else ROUNDS[self._round]
            self.dismiss(Export(round=name, merged=self._kind == 1))

    def _number(self) -> int:
        rounds = finished_rounds(self._view.state)
        best = self._view.state.best
        if self._round == 2:
            return int(self._typed or 0)
        return best.round if self._round == 1 and best is not None else rounds[-1].round

    def _complaint(self) -> str:
        """Say why it cannot be written, empty when it can."""
        rounds = [row.round for row in finished_rounds(self._view.state)]
        if self._round == 2 and not self._typed:
            return f"type the number of a round, {rounds[0]} to {rounds[-1]}"
        if self._number() not in rounds:
            return f"round {self._typed} is not finished: {rounds[0]} to {rounds[-1]} are"
        return ""

    def _round_words(self) -> list[str]:
        glyphs, state = self._view.look.glyphs, self._view.state
        last = finished_rounds(state)[-1]
        latest = f"latest: {last.round}"
        if self._round == 0:
            latest += f", hold-out {numbers.loss(last.eval_loss, glyphs)}"
        best = f"best: {state.best.round}" if state.best is not None else "best"
        if self._round == 1 and state.best is not None:
            best += f", hold-out {numbers.loss(state.best.eval_loss, glyphs)}"
        return [latest, best, f"another: {self._typed}{glyphs.caret}" if self._round == 2 else "another"]

    def _choices(self, field: int, choices: list[str], chosen: int) -> list[Words]:
        glyphs = self._view.look.glyphs
        words: list[Words] = []
        for place, choice in enumerate(choices):
            gap = "   " if words else ""
            if place == chosen:
                style = "yours_bold" if self._field == field else ""
                words += [gap, (f"{glyphs.choice_left} {choice} {glyphs.choice_right}", style)]
            else:
                words += [gap, (choice, "quiet")]
        return words


def _folder(view: View, number: int, *, merged: bool) -> str:
    folder = view.state.started.folder if view.state.started else ""
    return f"{folder}/exports/round-{number:04d}{'-merged' if merged else ''}"


def _size(view: View, *, merged: bool) -> str:
    started, glyphs = view.state.started, view.look.glyphs
    if started is None:
        return glyphs.dash
    if merged:
        size = numbers.bytes_text(started.params * BASE_BYTES.get(started.dtype, 4), glyphs)
        return f"{size} of weights, config and tokenizer + README.md"
    size = numbers.bytes_text(started.trainable * ADAPTER_BYTES, glyphs)
    return f"{size} of weights, adapter_config.json + README.md"
