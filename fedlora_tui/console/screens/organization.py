"""The screen of one organization: its losses, what may be told of its data, its rounds, and all that ever left it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from textual.containers import Horizontal
from textual.widget import Widget

from fedlora_tui.console.layout import Layout
from fedlora_tui.console.layout_of_pages import ORGANIZATION_PANES, arrange_organization
from fedlora_tui.console.look import Look
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.screens.page import Page
from fedlora_tui.console.widgets.own_data import ItsData, WhatLeft
from fedlora_tui.console.widgets.own_figures import OwnFigures, OwnLoss
from fedlora_tui.console.widgets.own_rounds import OwnAdapter, OwnModules, OwnRounds, Scrolled
from fedlora_tui.protocol.state import RunState

PAGE_ROWS = 5
"""How many rows of a pane one key scrolls."""

BESIDE = (("own-loss", "its-data"), ("own-rounds", "what-left"), ("own-modules", "own-adapter"))


class OneOrganization(Page):
    """The selected organization; up and down go to the others."""

    NAME: ClassVar[str] = "organization"

    def __init__(self, look: Look, runs: Runs) -> None:
        super().__init__(look, runs)
        self._chosen = "own-loss"

    def parts(self) -> Iterable[Widget]:
        """Give its own parts from top to bottom."""
        palette = self._look.palette
        yield OwnFigures(palette, id="own-figures")
        yield Horizontal(OwnLoss(palette, id="own-loss"), ItsData(palette, id="its-data"), id="beside-0")
        yield Horizontal(OwnRounds(palette, id="own-rounds"), WhatLeft(palette, id="what-left"), id="beside-1")
        yield Horizontal(OwnModules(palette, id="own-modules"), OwnAdapter(palette, id="own-adapter"), id="beside-2")

    def layout_for(self, state: RunState) -> Layout:
        """Divide the terminal as it is now."""
        return arrange_organization(self.app.size.width, self.app.size.height, self._chosen)

    def rows(self, layout: Layout, starting: bool) -> Mapping[str, int]:
        """Give the height of each of its parts."""
        heights = {"own-figures": layout.digits or layout.trends}
        for place, pair in enumerate(BESIDE):
            own = [layout.boxes[name] for name in pair if name in layout.boxes]
            stacked = len(own) == 2 and own[0][0] == layout.width
            heights[f"beside-{place}"] = sum(h for _, h in own) if stacked else max((h for _, h in own), default=0)
        return heights

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what it does by itself."""
        return {"move": self._move, "panes": self._next_pane}

    @property
    def focused_pane(self) -> str:
        """The pane that keys scroll; none of them takes keys by itself."""
        return self._chosen

    def arranged(self, layout: Layout) -> None:
        """Give each pane its place; those of a narrow terminal stand below one another."""
        for place, pair in enumerate(BESIDE):
            widths = [layout.boxes[name][0] for name in pair if name in layout.boxes]
            narrow = any(width == layout.width for width in widths)
            beside = self.query_one(f"#beside-{place}")
            beside.styles.layout = "vertical" if narrow else "horizontal"
            for second, name in enumerate(pair):
                pane = self.query_one(f"#{name}")
                width, height = layout.boxes.get(name, (0, 0))
                pane.display = height > 0
                pane.styles.width, pane.styles.height = width, height
                pane.styles.margin = (0, 0, 0, 2 if second and not narrow else 0)

    def _move(self, direction: str) -> None:
        if direction in ("page_up", "page_down"):
            pane = self.query_one(f"#{self._chosen}")
            if isinstance(pane, Scrolled):
                pane.scroll(PAGE_ROWS if direction == "page_down" else -PAGE_ROWS)
            else:
                self._runs.front.refuse(f"nothing scrolls here: {self.key('panes', 'next')} goes to rounds and modules")
            return
        self._runs.front.move(direction, 1)

    def _next_pane(self, direction: str) -> None:
        """Choose the next pane; one that had fallen away comes into sight."""
        place = ORGANIZATION_PANES.index(self._chosen) + (-1 if direction == "previous" else 1)
        self._chosen = ORGANIZATION_PANES[place % len(ORGANIZATION_PANES)]
