"""How soon a key shows: keys pressed while a run trains, and the first output that is the answer to each."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedlora_tui.benchmarks.pseudo_terminal import HEIGHT, WIDTH, PseudoTerminal
from fedlora_tui.benchmarks.screen import Screen
from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.layout import arrange
from fedlora_tui.console.screens.help import HelpDialog
from fedlora_tui.console.widgets.columns import placed_columns
from fedlora_tui.errors import UserError

ESCAPE = "\x1b"
KEYS = ("j", "k", "G", "g", "?", "?", "j", "k", "G", "g", "?", ESCAPE)
"""What is pressed again and again: each shows, wherever the one before it led, with two organizations or more."""

LEAST_APART, MOST_APART = 0.1, 0.3
"""Seconds from an answer to the next key, drawn anew each time: keys fall at any moment between two paints."""

PATIENCE = 20.0
"""Seconds after which a key that shows nothing is an error."""


@dataclass(frozen=True)
class Stroke:
    """A key and the seconds from writing it on the terminal to the arrival of the output that shows its answer."""

    key: str
    seconds: float


@dataclass(frozen=True)
class Shown:
    """What keys change on the screen: the organizations that the cursor stands at (one, once a paint is whole), help.

    Nothing else does: neither a paint of the run's own nor a new order of rows moves the cursor to another one.
    """

    selected: frozenset[str]
    help: bool

    def answers(self, key: str, before: Shown) -> bool:
        """Tell whether this shows the answer to a key pressed at what was shown before."""
        if key in ("?", ESCAPE):
            return self.help != before.help
        return bool(self.selected - before.selected)


def shown_on(screen: Screen) -> Shown:
    """Read what keys change off the screen."""
    name = placed_columns(arrange(screen.width, screen.height).columns, screen.width)[0]
    marked = [y for y in range(screen.height) if screen.cell(name.start - 2, y) == UNICODE.cursor]
    names = ("".join(screen.cell(x, y) for x in range(name.start, name.start + name.width)).strip() for y in marked)
    return Shown(frozenset(filter(None, names)), any(HelpDialog.TITLE_WORDS in row for row in screen.rows()))


class Typist:
    """Presses keys on a console's terminal, and watches its screen for what they do."""

    def __init__(self, terminal: PseudoTerminal, seed: int) -> None:
        self.terminal = terminal
        self.screen = Screen(WIDTH, HEIGHT)
        self.strokes: list[Stroke] = []
        self._random = random.Random(seed)

    def read(self, seconds: float) -> None:
        """Let the screen go on for some seconds."""
        self.terminal.read(seconds, self._take)

    def type_while(self, trains: Callable[[], bool]) -> None:
        """Press keys as long as the run trains; help is closed at the end. Raises UserError without an answer."""
        self._wait_for_rows()
        while trains():
            for key in KEYS:
                self.read(self._random.uniform(LEAST_APART, MOST_APART))
                counts = trains()
                if not counts and not shown_on(self.screen).help:
                    return
                stroke = self._stroke(key)
                if counts:
                    self.strokes.append(stroke)

    def _stroke(self, key: str) -> Stroke:
        before = shown_on(self.screen)
        came = 0.0

        def answered(piece: bytes, arrived: float) -> bool:
            nonlocal came
            self.screen.feed(piece)
            came = arrived
            return shown_on(self.screen).answers(key, before)

        pressed = self.terminal.press(key)
        if not self.terminal.read(PATIENCE, answered):
            raise UserError(f"{self.terminal.name} showed no answer to {key!r} within {PATIENCE:g} s")
        return Stroke(key, came - pressed)

    def _wait_for_rows(self) -> None:
        end = time.monotonic() + PATIENCE
        while not shown_on(self.screen).selected:
            if time.monotonic() > end:
                raise UserError(f"{self.terminal.name} showed no organizations within {PATIENCE:g} s")
            self.read(LEAST_APART)

    def _take(self, piece: bytes, arrived: float) -> bool:
        self.screen.feed(piece)
        return False


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that is no less than so large a share of all values."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
