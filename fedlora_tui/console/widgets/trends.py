"""Row 3 of a low terminal: the losses and their trends in words and small bars."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.curves import holdout_points, rounds_so_far, train_points
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.text import left
from fedlora_tui.console.drawing.trend import scale, trend
from fedlora_tui.console.row import Row
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part

TRAIN_WIDTH, HOLDOUT_WIDTH = 16, 7


class Trends(Part):
    """The third row."""

    SLOW = True

    def draw(self, view: View) -> list[Text]:
        """Give the one line."""
        state, glyphs = view.state, view.look.glyphs
        row = Row(view.layout.width, glyphs)
        if view.layout.trends:
            row.at(1, f"train {left(numbers.loss(state.train_loss, glyphs), 5)} ", (_train_trend(view), "train"))
            row.at(32, f"hold-out {left(numbers.loss(state.eval_loss, glyphs), 5)} ")
            row.at(47, change_words(view), until=54)
            row.at(54, (_holdout_trend(view), "held"))
            row.at(64, "gain ", (numbers.signed(state.gain, glyphs), "held"))
        return [row.text()]


def change_words(view: View, gap: str = "") -> tuple[str, str]:
    """Give the change of the hold-out loss with its direction: lower is better."""
    change = view.state.change
    return numbers.change(change, view.look.glyphs, gap), "care" if change is not None and change > 0 else "held"


def _train_trend(view: View) -> str:
    points = train_points(view.state)
    span = max(rounds_so_far(view.state), 1e-6)
    low, high = scale([points], TRAIN_WIDTH, span)
    return trend(points, TRAIN_WIDTH, span, low, high, view.look.glyphs)


def _holdout_trend(view: View) -> str:
    points = holdout_points(view.state)
    if len(points) < 2:
        return ""
    last = points[-1][0]
    width = min(HOLDOUT_WIDTH, int(last) + 1)
    low, high = scale([points], width, max(last, 1.0))
    return trend(points, width, max(last, 1.0), low, high, view.look.glyphs)
