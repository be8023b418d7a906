"""The dialog that asks what to write: enter alone writes the latest adapter."""

from __future__ import annotations

from textual import events

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import Dialog, Sends
from fedlora_tui.console.screens.round_field import RoundField, choices
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.budget import said_of_export
from fedlora_tui.console.widgets.machine import ADAPTER_BYTES, BASE_BYTES
from fedlora_tui.protocol.commands import Export

KINDS = ("adapter of all", "merged model")


class ExportDialog(Dialog[Sends | None]):
    """What to write, and of which round."""

    TITLE_WORDS = "export"
    RIGHT_WORDS = "e"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._field = 0
        self._kind = 0
        self._round = RoundField()

    def content(self, view: View) -> list[list[Words]]:
        """Give the fields, what they come to, and the keys."""
        glyphs = view.look.glyphs
        complaint = self._round.complaint(view.state)
        target = "" if complaint else _folder(view, self._round.number(view.state), merged=self._kind == 1)
        return [
            [("what     ", "quiet"), *choices(KINDS, self._kind, glyphs, focused=self._field == 0)],
            [("round    ", "quiet"), *self._round.words(view.state, glyphs, focused=self._field == 1)],
            [("to       ", "quiet"), (complaint, "care") if complaint else target],
            [("size     ", "quiet"), _size(view, merged=self._kind == 1)],
            [],
            [said_of_export(view.state, glyphs)],
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
                self._round.turn(step)
        elif self._round.press(event):
            self._field = 1

    def _write(self) -> None:
        if not self._round.complaint(self._view.state):
            export = Export(round=self._round.name, merged=self._kind == 1)
            self.dismiss(Sends(export, "writing the adapter"))


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
