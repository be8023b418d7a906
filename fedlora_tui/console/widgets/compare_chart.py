"""The pane of all runs' losses: one sign a run, the run in front on top of the others and in its own colour."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.curves import holdout_points
from fedlora_tui.console.drawing.chart import LossChart, draw
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import rule
from fedlora_tui.console.standing import ceiling
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part


class CompareChart(Part):
    """The hold-out loss of all runs by round."""

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
        title = rule(layout.width, glyphs, "1 hold-out loss by round", *front)
        behind = [place for place in range(len(view.runs)) if place != view.place and place not in hidden]
        chart = LossChart(
            holdout=holdout_points(view.state) if view.place not in hidden else (),
            rounds=max(1, *(run.state.rounds for run in view.runs)),
            others=tuple(holdout_points(view.runs[place].state) for place in behind),
            signs=tuple(glyphs.series(place) for place in (view.place, *behind)),
            ceiling=ceiling(view.runs),
        )
        names = {name: name for name in view.look.roles}
        return [title, *draw(chart, layout.width, layout.chart, names, glyphs)]
