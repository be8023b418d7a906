"""The screen that lays the runs of a race side by side: their losses in one chart, and one row each."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from fedlora_tui.console.layout import LAST_ROWS, Layout, arrange_comparison
from fedlora_tui.console.look import Look
from fedlora_tui.console.screens.overview import Overview, bindings
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.compare_chart import CompareChart
from fedlora_tui.console.widgets.last_rows import LastRows
from fedlora_tui.console.widgets.one_line import OneLine
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.row_table import HEAD_ROWS
from fedlora_tui.console.widgets.run_bar import RunBar
from fedlora_tui.console.widgets.run_line import RunLine
from fedlora_tui.console.widgets.run_table import AtRound, RunTable


class Compare(Screen[None], inherit_bindings=False):
    """All runs of a race; rows 1 and 2 and the last three stay as they are on the overview."""

    BINDINGS: ClassVar[list[BindingType]] = bindings()

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._arranged: Layout | None = None

    def compose(self) -> ComposeResult:
        """Give the parts from top to bottom."""
        palette = self._look.palette
        yield OneLine(palette, id="one-line")
        yield RunLine(palette, id="run-line")
        yield RunBar(palette, id="run-bar")
        yield CompareChart(palette, id="compare-chart")
        yield RunTable(palette, id="run-table")
        yield AtRound(palette, id="at-round")
        yield LastRows(palette, id="last-rows")

    def layout_for(self, runs: int) -> Layout:
        """Divide the terminal as it is now."""
        return arrange_comparison(self.app.size.width, self.app.size.height, runs)

    def paint(self, view: View) -> None:
        """Draw the parts that are shown; when their places changed, all of them. Before it is composed, nothing."""
        parts = list(self.query(Part))
        if parts and self._arranged != view.layout:
            self._arranged = view.layout
            self._arrange(view.layout)
        for part in parts:
            if part.display:
                part.paint(view)

    def on_resize(self, event: events.Resize) -> None:
        """Ask for a paint in the new size."""
        self.post_message(Overview.NeedsPaint())

    def _arrange(self, layout: Layout) -> None:
        whole = not layout.too_small
        rows = {
            "one-line": int(layout.too_small),
            "run-line": int(whole),
            "run-bar": int(whole),
            "compare-chart": layout.chart + 1 if whole and layout.chart else 0,
            "run-table": layout.table + HEAD_ROWS if whole else 0,
            "at-round": layout.at_round,
            "last-rows": LAST_ROWS if whole else 0,
        }
        for name, height in rows.items():
            part = self.query_one(f"#{name}")
            part.display = height > 0
            part.styles.height = height
