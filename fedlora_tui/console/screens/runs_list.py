"""The screen of all runs: watch one that goes on, replay one that is over, resume one that stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from fedlora_tui.console.layout import Layout
from fedlora_tui.console.layout_of_pages import arrange_list
from fedlora_tui.console.look import Look
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.screens.page import Page, bindings
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.row_table import HEAD_ROWS, moved
from fedlora_tui.console.widgets.run_list import LIVING, UNREADABLE, RunKeys, RunList, cannot_resume, enter_words
from fedlora_tui.protocol.handle import ListedRun
from fedlora_tui.protocol.state import RunState

LINES_BELOW = 2
LOOK_SECONDS = 0.1
AGAIN_SECONDS = 3.0
"""How old a list may become while it is shown."""


class RunsList(Page):
    """All runs; the list is read anew while the page is shown."""

    NAME: ClassVar[str] = "runs"
    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")

    class Chosen(Message):
        """This console is to go to another run: to `attach`, `replay` or `resume` it."""

        def __init__(self, how: str, run: str) -> None:
            super().__init__()
            self.how = how
            self.run = run

    def __init__(self, look: Look, runs: Runs) -> None:
        super().__init__(look, runs)
        self._read_at = 0.0
        self._view: View | None = None

    def parts(self) -> Iterable[Widget]:
        """Give its own parts from top to bottom."""
        yield RunList(self._look.palette, id="run-list")
        yield RunKeys(self._look.palette, id="run-keys")

    def layout_for(self, state: RunState) -> Layout:
        """Divide the terminal as it is now."""
        return arrange_list(self.app.size.width, self.app.size.height, LINES_BELOW)

    def rows(self, layout: Layout, starting: bool) -> Mapping[str, int]:
        """Give the height of each of its parts."""
        return {"run-list": layout.table + HEAD_ROWS, "run-keys": layout.at_round}

    def on_mount(self) -> None:
        """Begin to read, and look often whether that is done: nothing else paints while the run is at rest."""
        self.set_interval(LOOK_SECONDS, self._look_at_the_list)
        self._look_at_the_list()

    def paint(self, view: View) -> None:
        """Draw the list as it was read last, and what the keys would do."""
        self._view = view
        for table in self.query(RunList):
            self._take(table)
            for keys in self.query(RunKeys):
                keys.chosen = table.under_cursor
        super().paint(view)

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what it does by itself."""
        return {"move": self._move, "open": self._open, "resume_listed": self._resume, "panes": self._next_pane}

    def on_run_list_pointed(self, message: RunList.Pointed) -> None:
        """Put the cursor on what was pointed at."""
        if message.index is None:
            self._move(message.direction)
        else:
            self.query_one(RunList).choose(message.index)
        self.post_message(self.NeedsPaint())

    def _look_at_the_list(self) -> None:
        listing = self._runs.listing
        if listing is None or self.app.screen is not self:
            return
        if not listing.reading and time.monotonic() - self._read_at > AGAIN_SECONDS:
            self._read_at = time.monotonic()
            listing.begin()
        table = self.query_one(RunList)
        if table.listed != listing.runs or table.trouble != listing.trouble:
            self.post_message(self.NeedsPaint())

    def _take(self, table: RunList) -> None:
        """Take over what was read; the cursor begins on the run that is shown."""
        listing = self._runs.listing
        if listing is None:
            table.trouble = "this console was not told where runs stand"
            return
        table.listed, table.trouble, table.place = listing.runs, listing.trouble, listing.place
        if not table.chosen and self._view is not None and self._view.state.started is not None:
            table.chosen = self._view.state.started.run

    def _move(self, direction: str) -> None:
        table = self.query_one(RunList)
        table.choose(moved(table.cursor, direction, max(1, self.layout_for(self._runs.front.state).table)))

    def _chosen(self) -> ListedRun | None:
        found = self.query_one(RunList).under_cursor
        if found is None:
            self._runs.front.refuse("no run is selected")
        return found

    def _open(self, argument: str) -> None:
        """Watch the chosen run where it goes on, replay it where it is over."""
        found, view = self._chosen(), self._view
        if found is None or view is None:
            return
        shown = view.state.started.run if view.state.started is not None else view.run
        if found.state == UNREADABLE or (found.id == shown and view.replay is None):
            self._runs.front.refuse(enter_words(found, view))
        else:
            self.post_message(self.Chosen("attach" if found.state in LIVING else "replay", found.id))

    def _resume(self, argument: str) -> None:
        found, view = self._chosen(), self._view
        if found is None or view is None:
            return
        if (reason := cannot_resume(found, view)) is not None:
            self._runs.front.refuse(reason)
        else:
            self.post_message(self.Chosen("resume", found.id))

    def _next_pane(self, direction: str) -> None:
        self._runs.front.refuse("the runs are the only rows here")
