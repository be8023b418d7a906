"""The screen that lays the runs of a race side by side: their losses in one chart, and one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from textual.widget import Widget

from fedlora_tui.console.layout import Layout, arrange_comparison
from fedlora_tui.console.look import Look
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.screens.paned import Paned
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.compare_chart import X_AXES, CompareChart
from fedlora_tui.console.widgets.row_table import HEAD_ROWS
from fedlora_tui.console.widgets.run_table import AtRound, RunTable, run_as_text
from fedlora_tui.protocol.state import RunState


class Compare(Paned):
    """All runs of a race."""

    NAME: ClassVar[str] = "compare"
    PANES: ClassVar[Mapping[str, str]] = {"1": "compare-chart", "2": "run-table"}
    CHART: ClassVar[str] = "compare-chart"
    X_AXES: ClassVar[tuple[str, ...]] = X_AXES

    def __init__(self, look: Look, runs: Runs) -> None:
        super().__init__(look, runs)
        self._came_from = runs.place
        self._pane = "run-table"

    def parts(self) -> Iterable[Widget]:
        """Give its own parts from top to bottom."""
        palette = self._look.palette
        yield CompareChart(palette, id="compare-chart")
        yield RunTable(palette, id="run-table")
        yield AtRound(palette, id="at-round")

    def layout_for(self, state: RunState) -> Layout:
        """Divide the terminal as it is now."""
        size = self.app.size
        return arrange_comparison(size.width, size.height, len(self._runs.sessions), self.alone)

    def rows(self, layout: Layout, starting: bool) -> Mapping[str, int]:
        """Give the height of each of its parts."""
        return {
            "compare-chart": layout.chart + 1 if layout.chart else 0,
            "run-table": layout.table + HEAD_ROWS if layout.alone in ("", "run-table") else 0,
            "at-round": layout.at_round,
        }

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what it does by itself."""
        own = {"move": self._move, "panes": self._next_pane, "sort": self._sort, "mark": self._mark}
        return {**super().verbs(), **own}

    @property
    def focused_pane(self) -> str:
        """The pane whose rule is heavy; the cursor is in the table all the same."""
        return self.alone or self._pane

    def focus_pane(self, name: str) -> None:
        """Put the focus in a pane."""
        self._pane = name

    def selection(self, view: View) -> str:
        """Give the row of the run in front with its heads, or the chart where that has the focus."""
        if self.focused_pane == "compare-chart":
            return self.query_one(CompareChart).text
        return run_as_text(view)

    def back(self) -> bool:
        """Bring all panes back, else put the run in front again that was there before."""
        if super().back():
            self._runs.front.answer("all panes are back")
            return True
        self._runs.show(self._came_from)
        return False

    def _move(self, direction: str) -> None:
        self._runs.move(direction, max(1, self.layout_for(self._runs.front.state).table))

    def _sort(self, direction: str) -> None:
        runs, order = self._runs, self._runs.order
        if direction == "turn":
            runs.sort(order.by, turned=not order.turned)
        else:
            runs.sort(order.next_by, turned=False)
        runs.front.answer(f"sorted {runs.order.words or 'as in the race'}")

    def _mark(self, argument: str) -> None:
        runs = self._runs
        charted = runs.chart(runs.place)
        runs.front.answer(f"{runs.front.label} is {'in the chart again' if charted else 'out of the chart'}")

    def _next_pane(self, direction: str) -> None:
        self._runs.front.refuse("the runs are the only rows here")
