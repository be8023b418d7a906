"""The screen of an audit: what attacks on the run's adapter found, as the newest report in its folder has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from textual.widget import Widget

from fedlora_tui.console.layout import Layout
from fedlora_tui.console.layout_of_pages import arrange_list
from fedlora_tui.console.run_folder import folder_of
from fedlora_tui.console.screens.page import Page, bindings
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.audit_figures import AuditFigures
from fedlora_tui.console.widgets.row_table import HEAD_ROWS, moved
from fedlora_tui.protocol.audits import NEWEST, newest
from fedlora_tui.protocol.state import RunState


class AuditPage(Page):
    """The newest audit of the run in front; where there is none yet, how one is made."""

    NAME: ClassVar[str] = "audit"
    BINDINGS = bindings("audit")

    def parts(self) -> Iterable[Widget]:
        """Give its own parts from top to bottom."""
        yield AuditFigures(self._look.palette, id="audit-figures")

    def layout_for(self, state: RunState) -> Layout:
        """Divide the terminal as it is now."""
        return arrange_list(self.app.size.width, self.app.size.height)

    def rows(self, layout: Layout, starting: bool) -> Mapping[str, int]:
        """Give the height of each of its parts."""
        return {"audit-figures": layout.table + HEAD_ROWS}

    def paint(self, view: View) -> None:
        """Look what the folder has by now, and draw it."""
        for figures in self.query(AuditFigures):
            if view.slow:
                _take_in(figures, view)
        super().paint(view)

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what it does by itself."""
        return {"move": self._move, "open": self._open, "panes": self._next_pane}

    def _move(self, direction: str) -> None:
        figures = self.query_one(AuditFigures)
        figures.top = max(0, moved(figures.top, direction, figures.room))

    def _open(self, argument: str) -> None:
        audit = self.query_one(AuditFigures).audit
        said = f"the whole report: {audit.report} in the run's folder" if audit else "there is no report yet"
        self._runs.front.refuse(said)

    def _next_pane(self, direction: str) -> None:
        self._runs.front.refuse("the figures are the only rows here")


def _take_in(figures: AuditFigures, view: View) -> None:
    folder = folder_of(view)
    try:
        figures.audit, figures.trouble = newest(folder), ""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no audit"
        figures.audit, figures.trouble = None, f"{NEWEST} in the run's folder: {reason}; make another audit"
