"""The dialog of keys and signs, made from the registry; it scrolls where it does not fit."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events

from fedlora_tui.console.actions.action import Action
from fedlora_tui.console.actions.registry import by_group
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.replaying import OTHERWISE
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import BOX_WIDTH, Dialog, scrolled, scrolled_to
from fedlora_tui.console.view import View

LEFT_GROUPS, RIGHT_GROUPS = ("the run", "organizations"), ("looking", "here")
KEY_WIDTH, RIGHT_KEY_WIDTH, RIGHT_COLUMN = 8, 13, 37
MARKS = (
    ("training", "testing", "done", "waiting", "joining", "leaving"),
    ("late", "fault", "quarantine", "absent", "stopped"),
)
WORDS = (
    ("loss", "nats per token; lower is better"),
    ("gain", "base minus now on its own hold-out; higher is better"),
    ("trend", "its train loss over the whole run, one scale for the column"),
    ("cos", "its last update against the common one, 1 = same direction"),
    ("drift", "share of the ideal update that the method lost this round"),
    ("↑↓", "what the adapters sent weighed; text sent must read 0 B"),
)


class HelpDialog(Dialog[None]):
    """Keys, signs and words."""

    TITLE_WORDS = "keys on this screen"
    CLOSED_BY = ("help", "leave")

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._top = 0
        self._rows = 1
        self._total = 1

    def content(self, view: View) -> list[list[Words]]:
        """Give the keys, in two columns where there is room, then the signs and the words."""
        glyphs, width = view.look.glyphs, self.box_width(view)
        return [
            [],
            *(_key_lines(view) if width >= BOX_WIDTH else _column(LEFT_GROUPS + RIGHT_GROUPS, RIGHT_KEY_WIDTH, view)),
            [],
            _line("what the marks mean", width, glyphs),
            *(_marks(row, glyphs) for row in MARKS),
            [(f"{glyphs.yours} ", "yours"), "yours   ", (f"{glyphs.knob} ", "yours"), "a change"],
            [],
            *(_word(name, words, glyphs) for name, words in WORDS),
            [],
            [(" " * (width - 17), ""), ("esc", "yours_bold"), " closes"],
        ]

    def in_sight(self, content: list[list[Words]], rows: int) -> Sequence[list[Words]]:
        """Give the lines in sight."""
        self._rows, self._total = rows, len(content)
        self._top = max(0, min(self._top, len(content) - rows))
        return scrolled_to(content, self._top, rows)

    def press(self, event: events.Key) -> None:
        """Scroll, or close."""
        if event.key == "enter" or self.closes(event.key):
            self.dismiss(None)
            return
        self._top += scrolled(event.key, self._rows, self._total)
        self.repaint()

    def on_mouse_scroll_down(self) -> None:
        """Scroll down."""
        self._top += 1
        self.repaint()

    def on_mouse_scroll_up(self) -> None:
        """Scroll up."""
        self._top -= 1
        self.repaint()


def _key_lines(view: View) -> list[list[Words]]:
    left = _column(LEFT_GROUPS, KEY_WIDTH, view)
    right = _column(RIGHT_GROUPS, RIGHT_KEY_WIDTH, view)
    lines = []
    for place in range(max(len(left), len(right))):
        words: list[Words] = list(left[place]) if place < len(left) else []
        if place < len(right):
            width = Text.assemble(*words).cell_len if words else 0
            words += [" " * (RIGHT_COLUMN - width), *right[place]]
        lines.append(words)
    return lines


def _column(groups: tuple[str, ...], key_width: int, view: View) -> list[list[Words]]:
    lines: list[list[Words]] = []
    for name in groups:
        actions = [action for action in by_group()[name] if view.replay is None or action.serves_replay]
        if not actions:
            continue
        lines += [[]] if lines else []
        lines.append([(name, "quiet")])
        lines += [_key(action, key_width, view) for action in actions]
    return lines


def _key(action: Action, width: int, view: View) -> list[Words]:
    replay, glyphs = view.replay is not None, view.look.glyphs
    does = OTHERWISE[action.id].does if replay and action.id in OTHERWISE else action.does
    shown = action.shown_in(view.keymap).replace("↑", glyphs.up).replace("↓", glyphs.down)
    return [(f"{shown:<{width - 1}} ", "yours_bold"), does]


def _line(title: str, width: int, glyphs: Glyphs) -> list[Words]:
    return [(f"{glyphs.rule} {title} " + glyphs.rule * (width - 9 - len(title)), "quiet")]


def _marks(names: tuple[str, ...], glyphs: Glyphs) -> list[Words]:
    return [("   ".join(f"{glyphs.organization_state(name)} {name}" for name in names), "")]


def _plain(name: str, glyphs: Glyphs) -> str:
    return "sent" if glyphs.ascii and not name.isascii() else name


def _word(name: str, words: str, glyphs: Glyphs) -> list[Words]:
    return [(f"{_plain(name, glyphs):<10}", "quiet"), words]
