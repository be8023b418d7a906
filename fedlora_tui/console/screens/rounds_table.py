"""The screen of all rounds: one row each, newest first, and what there is to tell of the one under the cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from textual.widget import Widget

from fedlora_tui.console.layout import Layout
from fedlora_tui.console.layout_of_pages import DETAILS, arrange_list
from fedlora_tui.console.look import Look
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.screens.page import Page
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.rounds_list import RoundDetails, RoundsList, all_rounds
from fedlora_tui.console.widgets.row_table import HEAD_ROWS, moved
from fedlora_tui.protocol.state import RoundSummary, RunState


class RoundsTable(Page):
    """All rounds of the run in front."""

    NAME: ClassVar[str] = "rounds_table"

    def __init__(self, look: Look, runs: Runs) -> None:
        super().__init__(look, runs)
        self._details = True
        self._rounds: list[RoundSummary] = []

    def parts(self) -> Iterable[Widget]:
        """Give its own parts from top to bottom."""
        yield RoundsList(self._look.palette, id="rounds-list")
        yield RoundDetails(self._look.palette, id="round-details")

    def layout_for(self, state: RunState) -> Layout:
        """Divide the terminal as it is now."""
        return arrange_list(self.app.size.width, self.app.size.height, DETAILS if self._details else 0)

    def rows(self, layout: Layout, starting: bool) -> Mapping[str, int]:
        """Give the height of each of its parts."""
        return {"rounds-list": layout.table + HEAD_ROWS, "round-details": layout.at_round}

    def paint(self, view: View) -> None:
        """Draw the table, and the details of the round under its cursor."""
        self._rounds = all_rounds(view)
        for table in self.query(RoundsList):
            for details in self.query(RoundDetails):
                details.chosen = self._rounds[table.cursor(self._rounds)] if self._rounds else None
        super().paint(view)

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what it does by itself."""
        return {"move": self._move, "open": self._open, "panes": self._next_pane}

    def on_rounds_list_pointed(self, message: RoundsList.Pointed) -> None:
        """Put the cursor on what was pointed at."""
        if message.index is None:
            self._move(message.direction)
        else:
            self.query_one(RoundsList).choose(message.index, self._rounds)
        self.post_message(self.NeedsPaint())

    def _move(self, direction: str) -> None:
        table = self.query_one(RoundsList)
        page = max(1, self.layout_for(self._runs.front.state).table)
        table.choose(moved(table.cursor(self._rounds), direction, page), self._rounds)

    def _open(self, argument: str) -> None:
        """Show the lines about the chosen round, or give their rows back to the table."""
        self._details = not self._details
        if self._details and not self.layout_for(self._runs.front.state).at_round:
            self._runs.front.refuse("too low here for more about a round")

    def _next_pane(self, direction: str) -> None:
        self._runs.front.refuse("the rounds are the only rows here")
