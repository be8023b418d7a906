"""The pane of the loss chart: train line and hold-out marks over the planned run."""

from __future__ import annotations

import math

from rich.text import Text

from fedlora_tui.console.curves import holdout_points, knobs_turned, rounds_so_far, train_points
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.chart import LossChart, draw
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import rule
from fedlora_tui.console.standing import ceiling
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.wording import mark_words

PLANNED, SO_FAR, LAST = "the planned run", "so far", "the last 20 rounds"
"""What the x-axis can show."""

LAST_ROUNDS = 20
WIDTH_FOR_ALL = 64
"""From how many columns on the key of the curves names the other runs of a race too."""


class Loss(Part):
    """The pane of the losses; the hold-out losses of a race's other runs lie quietly behind."""

    SLOW = True
    can_focus = True

    def draw(self, view: View) -> list[Text]:
        """Give the rule with the key of the curves, and the chart below it."""
        layout, state, glyphs = view.layout, view.state, view.look.glyphs
        if not layout.chart:
            return []
        others = [holdout_points(run.state) for run in view.others]
        key: tuple[Words, ...] = ("   ", (f"{glyphs.others[0]} other runs", "quiet")) if others else ()
        title = rule(
            layout.chart_width,
            glyphs,
            "1 loss" if view.x_axis in ("", PLANNED) else f"1 loss, {view.x_axis}",
            (glyphs.curve_key, "train"),
            f" train {numbers.loss(state.train_loss, glyphs)}   ",
            (glyphs.holdout, "held"),
            f" hold-out {numbers.loss(state.eval_loss, glyphs)}",
            *(key if layout.chart_width > WIDTH_FOR_ALL else ()),
            focused=view.focused == "loss",
        )
        first, rounds = _span(view)
        chart = LossChart(
            train=train_points(state),
            holdout=holdout_points(state),
            knobs=[(mark.round - 1, mark_words(mark, glyphs)) for mark in knobs_turned(state)],
            rounds=rounds,
            first=first,
            others=tuple(others),
            signs=(glyphs.holdout, *[glyphs.others[0]] * len(others)),
            ceiling=ceiling(view.runs),
        )
        names = {name: name for name in view.look.roles}
        return [title, *draw(chart, layout.chart_width, layout.chart, names, glyphs)]


def _span(view: View) -> tuple[int, int]:
    """Give the rounds at which the x-axis begins and ends."""
    behind = max(1, math.ceil(rounds_so_far(view.state)))
    if view.x_axis == SO_FAR:
        return 0, behind
    if view.x_axis == LAST:
        first = max(0, behind - LAST_ROUNDS)
        return first, first + LAST_ROUNDS
    return 0, max(view.state.rounds, 1)
