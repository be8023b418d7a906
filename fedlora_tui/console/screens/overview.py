"""The screen that an operator looks at all day: the run above, its organizations in the middle, the keys below."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen

from fedlora_tui.console.actions import REGISTRY
from fedlora_tui.console.layout import LAST_ROWS, Layout, arrange
from fedlora_tui.console.look import Look
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.big_digits import BigDigits
from fedlora_tui.console.widgets.failed import BOX_HEIGHT, Failed
from fedlora_tui.console.widgets.last_rows import LastRows
from fedlora_tui.console.widgets.log import Log
from fedlora_tui.console.widgets.loss_chart import Loss
from fedlora_tui.console.widgets.machine import Machine, MachineLine
from fedlora_tui.console.widgets.one_line import OneLine
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.rounds import Rounds
from fedlora_tui.console.widgets.row_table import HEAD_ROWS
from fedlora_tui.console.widgets.run_bar import RunBar
from fedlora_tui.console.widgets.run_line import RunLine
from fedlora_tui.console.widgets.starting import Starting
from fedlora_tui.console.widgets.table import OrganizationTable
from fedlora_tui.console.widgets.trends import Trends


def bindings() -> list[BindingType]:
    """Make Textual's bindings from the registry; none of them is ever switched off."""
    return [
        Binding(key, f"app.act({action.id!r}, {argument!r})", action.does, show=False)
        for action in REGISTRY
        for key, argument in action.keys.items()
    ]


class Overview(Screen[None], inherit_bindings=False):
    """The run, its losses, the machine, its organizations, the log."""

    BINDINGS: ClassVar[list[BindingType]] = bindings()
    AUTO_FOCUS = "#table"

    class NeedsPaint(Message):
        """Something other than the run changed what is to be seen: the size or the focus."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._arranged: tuple[Layout, bool] | None = None

    def compose(self) -> ComposeResult:
        """Give the parts from top to bottom."""
        palette = self._look.palette
        yield OneLine(palette, id="one-line")
        yield RunLine(palette, id="run-line")
        yield RunBar(palette, id="run-bar")
        yield Starting(palette, id="starting")
        yield BigDigits(palette, id="digits")
        yield Trends(palette, id="trends")
        yield MachineLine(palette, id="machine-line")
        with Horizontal(id="panes"):
            yield Loss(palette, id="loss")
            yield Rounds(palette, id="rounds")
            yield Machine(palette, id="machine")
        yield OrganizationTable(self._look, id="table")
        yield Log(palette, id="log")
        yield Failed(palette, id="failed")
        yield LastRows(palette, id="last-rows")

    def layout_for(self, phase: str) -> Layout:
        """Divide the terminal as it is now."""
        return arrange(self.size.width, self.size.height, box=BOX_HEIGHT if phase == "failed" else 0)

    def paint(self, view: View) -> None:
        """Draw the parts that are shown; when their places changed, all of them."""
        starting = view.state.phase == "starting"
        if self._arranged != (view.layout, starting):
            self._arranged = view.layout, starting
            self._arrange(view.layout, starting)
        for part in self.query(Part):
            if part.display:
                part.paint(view)

    def on_resize(self, event: events.Resize) -> None:
        """Ask for a paint in the new size."""
        self.post_message(self.NeedsPaint())

    def on_screen_resume(self) -> None:
        """Ask for a paint: what lay over it may have hidden a new size, or another run."""
        self.post_message(self.NeedsPaint())

    def on_descendant_focus(self) -> None:
        """Ask for a paint: the focused pane's rule is heavy."""
        self.post_message(self.NeedsPaint())

    @property
    def focused_pane(self) -> str:
        """The name of the pane that has the focus."""
        return self.focused.id or "" if self.focused is not None else ""

    def _arrange(self, layout: Layout, starting: bool) -> None:
        whole = not layout.too_small
        running = whole and not starting
        rows = {
            "one-line": int(layout.too_small),
            "run-line": int(whole),
            "run-bar": int(whole),
            "starting": layout.height - 2 - LAST_ROWS if whole and starting else 0,
            "digits": layout.digits if running else 0,
            "trends": layout.trends if running else 0,
            "machine-line": layout.machine_line if running else 0,
            "panes": layout.chart + 1 if running and layout.chart else 0,
            "table": layout.table + HEAD_ROWS if running else 0,
            "log": layout.log + 1 if running and layout.log else 0,
            "failed": layout.box if running else 0,
            "last-rows": LAST_ROWS if whole else 0,
        }
        for name, height in rows.items():
            part = self.query_one(f"#{name}")
            part.display = height > 0
            part.styles.height = height
        for name, width in (("loss", layout.chart_width), ("rounds", layout.rounds_width), ("machine", layout.right)):
            part = self.query_one(f"#{name}")
            part.display = width > 0
            part.styles.width = width
        if self.focused is None or not self.focused.display:
            self.query_one("#table").focus()
