"""The field of a dialog that says which finished round is meant: the latest, the best, or another by its number."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.typed_line import DIGITS, TypedLine
from fedlora_tui.console.wording import finished_rounds
from fedlora_tui.protocol.state import RunState

ROUNDS = ("latest", "best", "another")
ANOTHER = 2
MOST_DIGITS = 5


class RoundField:
    """Which round was chosen so far."""

    def __init__(self) -> None:
        self._choice = 0
        self._typed = TypedLine(MOST_DIGITS, DIGITS)

    @property
    def name(self) -> str:
        """The choice as a command names it: `latest`, `best` or a number."""
        return self._typed.text if self._choice == ANOTHER else ROUNDS[self._choice]

    def turn(self, step: int) -> None:
        """Go to the choice before or after."""
        self._choice = (self._choice + step) % len(ROUNDS)

    def press(self, event: events.Key) -> bool:
        """Take a key into the number of another round; a digit begins one. False where it is no key of a number."""
        digit = bool(event.character) and (event.character or "") in DIGITS
        if not digit and (self._choice != ANOTHER or event.key in ("left", "right")):
            return False
        self._choice = ANOTHER
        return self._typed.press(event)

    def number(self, state: RunState) -> int:
        """Give the number of the round, 0 where none is typed yet."""
        if self._choice == ANOTHER:
            return int(self._typed.text or 0)
        best = state.best
        return best.round if self._choice == 1 and best is not None else finished_rounds(state)[-1].round

    def complaint(self, state: RunState) -> str:
        """Say why there is no such round, empty when there is."""
        rounds = [row.round for row in finished_rounds(state)]
        if self._choice == ANOTHER and not self._typed.text:
            return f"type the number of a round, {rounds[0]} to {rounds[-1]}"
        if self.number(state) not in rounds:
            return f"round {self._typed.text} is not finished: {rounds[0]} to {rounds[-1]} are"
        return ""

    def words(self, state: RunState, glyphs: Glyphs, *, focused: bool) -> list[Words]:
        """Write the choices; the chosen one stands between marks."""
        last = finished_rounds(state)[-1]
        latest = f"latest: {last.round}"
        if self._choice == 0:
            latest += f", hold-out {numbers.loss(last.eval_loss, glyphs)}"
        best = f"best: {state.best.round}" if state.best is not None else "best"
        if self._choice == 1 and state.best is not None:
            best += f", hold-out {numbers.loss(state.best.eval_loss, glyphs)}"
        typed = self._typed.words(MOST_DIGITS + 1, glyphs, focused=True)
        another = f"another: {''.join(words[0] for words in typed)}" if self._choice == ANOTHER else "another"
        return choices([latest, best, another], self._choice, glyphs, focused=focused)


def choices(words: Sequence[str], chosen: int, glyphs: Glyphs, *, focused: bool) -> list[Words]:
    """Write choices side by side; the chosen one stands between marks."""
    line: list[Words] = []
    for place, choice in enumerate(words):
        gap = "   " if line else ""
        if place == chosen:
            style = "yours_bold" if focused else ""
            line += [gap, (f"{glyphs.choice_left} {choice} {glyphs.choice_right}", style)]
        else:
            line += [gap, (choice, "quiet")]
    return line
