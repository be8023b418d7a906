"""The pane of all runs' losses: one sign a run, the run in front on top of the others and in its own colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from fedlora_tui.console.curves import Points, holdout_points
from fedlora_tui.console.drawing.chart import LossChart, draw
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import rule
from fedlora_tui.console.standing import ceiling
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.protocol.state import RunState

ROUNDS, TOKENS, SECONDS = "rounds", "tokens", "seconds"
X_AXES = (ROUNDS, TOKENS, SECONDS)
"""What the x-axis can go by."""

UNITS = {
    TOKENS: ((1e9, "billions of tokens"), (1e6, "millions of tokens"), (1e3, "thousands of tokens"), (1, "tokens")),
    SECONDS: ((3600, "hours"), (60, "minutes"), (1, "seconds")),
}
LEAST_OF_A_UNIT = 10
"""How many of a unit the longest run has at least, for ticks are whole."""


def by_axis(states: Sequence[RunState], axis: str) -> tuple[str, list[Points]]:
    """Give each run's hold-out losses by rounds, or by what its rounds took until then, and the unit of it.

    Seconds are those of its rounds alone: what it spent paused is not among them.
    """
    if axis not in UNITS:
        return "round", [holdout_points(state) for state in states]
    taken = [_taken(state, axis) for state in states]
    most = max((x for points in taken for x, _ in points), default=0.0)
    size, name = next((u for u in UNITS[axis] if most / u[0] >= LEAST_OF_A_UNIT), UNITS[axis][-1])
    return name, [[(x / size, loss) for x, loss in points] for points in taken]


def _taken(state: RunState, axis: str) -> Points:
    points: Points = []
    total = 0.0
    for row in state.history:
        total += row.tokens if axis == TOKENS else (row.seconds or 0.0) if row.round else 0.0
        if row.eval_loss is not None:
            points.append((total, row.eval_loss))
    return points


def _end(view: View, points: Sequence[Points]) -> int:
    """Give where the x-axis ends: with the planned rounds, or with what the longest run took so far."""
    if view.x_axis not in UNITS:
        return max(1, *(run.state.rounds for run in view.runs))
    return max(1, math.ceil(max((x for own in points for x, _ in own), default=0.0)))


class CompareChart(Part):
    """The hold-out loss of all runs by rounds, tokens or seconds."""

    SLOW = True

    def draw(self, view: View) -> list[Text]:
        """Give the rule with the sign of the run in front, and the chart below it."""
        layout, glyphs = view.layout, view.look.glyphs
        if not layout.chart:
            return []
        hidden = view.run_order.hidden
        front: tuple[Words, ...] = ((glyphs.series(view.place), "held"), f" {view.label}")
        if hidden:
            front = (f"{len(view.runs) - len(hidden)} of {len(view.runs)}   ", *front)
        unit, points = by_axis([run.state for run in view.runs], view.x_axis)
        focused = view.focused == "compare-chart"
        title = rule(layout.width, glyphs, f"1 hold-out loss by {unit}", *front, focused=focused)
        behind = [place for place in range(len(view.runs)) if place != view.place and place not in hidden]
        chart = LossChart(
            holdout=points[view.place] if view.place not in hidden else (),
            rounds=_end(view, points),
            others=tuple(points[place] for place in behind),
            signs=tuple(glyphs.series(place) for place in (view.place, *behind)),
            ceiling=ceiling(view.runs),
        )
        names = {name: name for name in view.look.roles}
        return [title, *draw(chart, layout.width, layout.chart, names, glyphs)]
