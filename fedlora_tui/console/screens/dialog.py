"""What all dialogs have in common: a box in the middle, over a screen that goes on living."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.screen import ModalScreen

from fedlora_tui.console.actions.registry import ACTIONS, REGISTRY
from fedlora_tui.console.box import box
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.falling_away import kept, keys_within
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.lines import Lines
from fedlora_tui.protocol.commands import Command

BOX_WIDTH = 76
EDGES = 5
"""Columns of a box that hold no words: its two edges and the space inside them."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Sends:
    """What a dialog sends to the run, and the words on the answer row until the run answers.

    `further` are commands that go with the first one; the answer row then waits for the answers to all of them.
    """

    command: Command
    words: str
    further: tuple[Command, ...] = ()


class Dialog(ModalScreen[Result], inherit_bindings=False):
    """A box of words; a subclass gives its `content` and takes its keys."""

    BINDINGS: ClassVar[list[BindingType]] = []
    TITLE_WORDS: ClassVar[str] = ""
    RIGHT_WORDS: ClassVar[str] = ""
    CLOSED_BY: ClassVar[tuple[str, ...]] = ()
    """The actions whose keys close this dialog, in whatever keys they have, as escape does."""

    class Asks(Message):
        """It sends something to the run and stays open."""

        def __init__(self, asked: Sends) -> None:
            super().__init__()
            self.asked = asked

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def compose(self) -> ComposeResult:
        """Give the box."""
        yield Lines(self._view.look.palette, id="dialog")

    def on_mount(self) -> None:
        """Draw for the first time."""
        self.paint(self._view)

    def paint(self, view: View) -> None:
        """Draw anew, for the run behind it goes on."""
        self._view = view
        width = self.box_width(view)
        content = list(self.in_sight(self.content(view), max(1, view.layout.height - 2)))
        content[-1:] = [keys_within(line, width - EDGES) for line in content[-1:]]
        lines = box(width, view.look.glyphs, self.title_words(), content, right=self.right_words(view))
        for dialog in self.query("#dialog").results(Lines):
            dialog.styles.width, dialog.styles.height = width, len(lines)
            dialog.show(lines)

    @property
    def takes_letters(self) -> bool:
        """True while every letter is written into a field, and none is a key."""
        return False

    @property
    def words(self) -> str:
        """Its title and what it says, for the clipboard."""
        said = (
            "".join(part if isinstance(part, str) else part[0] for part in line) for line in self.content(self._view)
        )
        return "\n".join([self.title_words(), *(line.rstrip() for line in said)]).rstrip()

    def title_words(self) -> str:
        """Give the words on the upper edge."""
        return self.TITLE_WORDS

    def right_words(self, view: View) -> str:
        """Give the words at the right end of the upper edge."""
        action = next((own for own in REGISTRY if own.shown == self.RIGHT_WORDS), None)
        return self.RIGHT_WORDS if action is None else action.shown_in(view.keymap)

    def box_width(self, view: View) -> int:
        """Give the columns of the box with its edges."""
        return min(BOX_WIDTH, view.layout.width)

    def repaint(self) -> None:
        """Draw anew after a key."""
        self.paint(self._view)

    def closes(self, key: str) -> bool:
        """Tell whether a key closes it without a change."""
        keymap = self._view.keymap
        return key == "escape" or any(key in ACTIONS[name].keys_in(keymap) for name in self.CLOSED_BY)

    def press(self, event: events.Key) -> None:
        """Take a key. The application hands it over, so that keys typed ahead of the dialog's first paint count."""
        raise NotImplementedError

    def content(self, view: View) -> list[list[Words]]:
        """Give the lines within the box."""
        raise NotImplementedError

    def in_sight(self, content: list[list[Words]], rows: int) -> Sequence[Sequence[Words]]:
        """Give the lines that there is room for."""
        return kept(content, rows)


def scrolled_to(content: list[list[Words]], top: int, rows: int) -> list[list[Words]]:
    """Give the lines in sight from `top` on; the last one, which has the keys, stays in the last row."""
    return [*content[top : top + rows - 1], content[-1]] if rows < len(content) else content


def scrolled(key: str, page: int, total: int) -> int:
    """Give by how many lines a key scrolls: `page` lines are in sight, of `total`; 0 for a key that does not."""
    steps = {
        "up": -1,
        "k": -1,
        "down": 1,
        "j": 1,
        "pageup": -page,
        "pagedown": page,
        "space": page,
        "home": -total,
        "g": -total,
        "end": total,
        "G": total,
        "upper_g": total,
    }
    return steps.get(key, 0)
