"""The one line that is left of the screen when the terminal is too small for it."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.row import Row
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part


class OneLine(Part):
    """State, round and loss, and that there is no room for more."""

    def draw(self, view: View) -> list[Text]:
        """Give the one line."""
        state, glyphs = view.state, view.look.glyphs
        words = f"{glyphs.run_state(state.phase)} {state.phase}"
        if view.label:
            words += f" {view.label}"
        if state.rounds:
            words += f" round {numbers.of(state.round, state.rounds, glyphs)}"
            words += f" hold-out {numbers.loss(state.eval_loss, glyphs)}"
        return [Row(view.layout.width, glyphs).at(0, f"{words} (terminal too small)").text()]
