"""The screen that an operator looks at all day: the run above, its organizations in the middle, the keys below."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from textual import events
from textual.containers import Horizontal
from textual.widget import Widget

from fedlora_tui.console.layout import LAST_ROWS, Layout, arrange
from fedlora_tui.console.look import Look
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.screens.filter_field import FilterField
from fedlora_tui.console.screens.paned import Paned
from fedlora_tui.console.view import Field, View
from fedlora_tui.console.widgets.big_digits import BigDigits
from fedlora_tui.console.widgets.columns import rows_as_text
from fedlora_tui.console.widgets.failed import BOX_HEIGHT, Failed, failed_words
from fedlora_tui.console.widgets.log import Log
from fedlora_tui.console.widgets.loss_chart import LAST, PLANNED, SO_FAR, Loss
from fedlora_tui.console.widgets.machine import Machine, MachineLine
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.rounds import Rounds
from fedlora_tui.console.widgets.row_table import HEAD_ROWS
from fedlora_tui.console.widgets.starting import Starting
from fedlora_tui.console.widgets.table import OrganizationTable
from fedlora_tui.console.widgets.trends import Trends
from fedlora_tui.console.widgets.waits import Waits
from fedlora_tui.protocol.state import RunState

GAP = 2
"""Columns between panes that stand beside one another."""


class Overview(Paned):
    """The run, its losses, the machine, its organizations, the log."""

    AUTO_FOCUS = "#table"
    NAME: ClassVar[str] = "overview"
    PANES: ClassVar[Mapping[str, str]] = dict(
        zip("123456", ("loss", "table", "machine", "log", "rounds", "waits"), strict=True)
    )
    CHART: ClassVar[str] = "loss"
    X_AXES: ClassVar[tuple[str, ...]] = (PLANNED, SO_FAR, LAST)

    def __init__(self, look: Look, runs: Runs) -> None:
        super().__init__(look, runs)
        self._filter = FilterField()
        self._wanted = "table"

    def parts(self) -> Iterable[Widget]:
        """Give its own parts from top to bottom."""
        palette = self._look.palette
        yield Starting(palette, id="starting")
        yield BigDigits(palette, id="digits")
        yield Trends(palette, id="trends")
        yield MachineLine(palette, id="machine-line")
        yield Horizontal(
            Loss(palette, id="loss"), Rounds(palette, id="rounds"), Machine(palette, id="machine"), id="panes"
        )
        yield OrganizationTable(self._look, id="table")
        yield Horizontal(Log(palette, id="log"), Waits(palette, id="waits"), id="below")
        yield Failed(palette, id="failed")

    def layout_for(self, state: RunState) -> Layout:
        """Divide the terminal as it is now."""
        box = BOX_HEIGHT if state.phase == "failed" else 0
        return arrange(self.size.width, self.size.height, box=box, alone=self.alone)

    def rows(self, layout: Layout, starting: bool) -> Mapping[str, int]:
        """Give the height of each of its parts."""
        heights = {
            "digits": layout.digits,
            "trends": layout.trends,
            "machine-line": layout.machine_line,
            "panes": layout.chart + 1 if layout.chart else 0,
            "table": layout.table + HEAD_ROWS if layout.alone in ("", "table") else 0,
            "below": layout.log + 1 if layout.log else 0,
            "failed": layout.box,
        }
        if starting:
            return {"starting": layout.height - 2 - LAST_ROWS, **dict.fromkeys(heights, 0)}
        return {"starting": 0, **heights}

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what it does by itself."""
        return {
            **super().verbs(),
            "move": self._move,
            "panes": self._next_pane,
            "filter": self._open_filter,
            "sort": self._sort,
            "mark": self._mark,
        }

    @property
    def field(self) -> Field | None:
        """The filter, while it is typed."""
        return self._filter.shown(self._runs.front)

    def press(self, event: events.Key) -> bool:
        """Take a key into the filter while that is typed."""
        if self._filter.open:
            self._filter.press(event, self._runs.front, self._keymap)
            return True
        return False

    def on_paste(self, event: events.Paste) -> None:
        """Take what is pasted into the filter while that is typed."""
        if self._filter.open:
            self._filter.paste(event.text, self._runs.front)
            self.post_message(self.NeedsPaint())

    def selection(self, view: View) -> str:
        """Give the rows that are marked, else the selected one, with their heads; of a failure its box; else a pane."""
        failed, pane = self.query_one(Failed), self.focused_pane
        if failed.display and pane in ("", "table"):
            return failed_words(view)
        if pane in ("", "table"):
            names = self._runs.front.marked or ((view.selected,) if view.selected is not None else ())
            return rows_as_text(names, view)
        return self.query_one(f"#{pane}", Part).text

    def back(self) -> bool:
        """Show all rows again, go back to the table from another pane, or take the marks away."""
        session = self._runs.front
        if self._filter.clear(session):
            session.answer("all organizations are shown")
        elif super().back():
            session.answer("all panes are back")
        elif self.focused_pane not in ("", "table"):
            self.focus_pane("table")
        elif session.arrangement.marked:
            session.mark(frozenset())
            session.answer("nothing is marked")
        else:
            return False
        return True

    def arranged(self, layout: Layout) -> None:
        """Give the panes beside one another their widths; the focus is where it was put, once that is in sight."""
        for name, width in (
            *(("loss", layout.chart_width), ("rounds", layout.rounds_width), ("machine", layout.right)),
            *(("log", layout.log_width if layout.log else 0), ("waits", layout.waits_width)),
        ):
            part = self.query_one(f"#{name}")
            part.display = width > 0
            part.styles.width = width
            part.styles.margin = (0, 0, 0, 0 if layout.alone or name in ("loss", "log") else GAP)
        wanted = layout.alone or self._wanted
        pane = self.query_one(f"#{wanted if self.in_sight(wanted) else 'table'}")
        if self.focused is not pane:
            pane.focus()

    def focus_pane(self, name: str) -> None:
        """Put the focus in a pane."""
        self._wanted = name
        self.query_one(f"#{name}").focus()

    def on_descendant_focus(self) -> None:
        """Note where a click put the focus; where a pane has lost its place, it gets it back with that."""
        if self.in_sight(self._wanted) and not self.alone:
            self._wanted = self.focused_pane

    def _move(self, direction: str) -> None:
        session = self._runs.front
        if self.alone not in ("", "table"):
            session.refuse(f"there are no rows to move in: {self.key('layout')} brings all panes back")
            return
        session.move(direction, max(1, self.layout_for(session.state).table))

    def _open_filter(self, argument: str) -> None:
        self._filter.open = True

    def _sort(self, direction: str) -> None:
        session = self._runs.front
        arrangement, state = session.arrangement, session.state
        if direction == "turn":
            session.sort(arrangement.by, turned=not arrangement.turned)
        else:
            session.sort(arrangement.next_order(state), turned=False)
        session.answer(f"sorted {session.arrangement.words(state)}")

    def _mark(self, argument: str) -> None:
        session = self._runs.front
        name = session.selected or ""
        session.mark(session.arrangement.marked ^ {name})
        marked = len(session.marked)
        word = "marked" if name in session.arrangement.marked else "not marked any more"
        session.answer(f"{name} {word}; {marked} are: drop and faults take them all" if marked else f"{name} {word}")

    def _next_pane(self, direction: str) -> None:
        if self.alone:
            self._runs.front.refuse(f"this pane is alone: {self.key('layout')} brings all back")
            return
        if direction == "previous":
            self.focus_previous()
        else:
            self.focus_next()
        self._wanted = self.focused_pane or "table"
