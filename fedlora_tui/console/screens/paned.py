"""A page whose panes have numbers: a number puts the focus there, again shows that pane alone, 0 brings all back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from fedlora_tui.console.look import Look
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.screens.page import Page


class Paned(Page):
    """A subclass names its panes, the chart among them, and what its x-axis can be; `layout_for` looks at `alone`."""

    PANES: ClassVar[Mapping[str, str]] = {}
    """The ids of its panes by their numbers."""

    CHART: ClassVar[str] = ""
    X_AXES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, look: Look, runs: Runs) -> None:
        super().__init__(look, runs)
        self.alone = ""
        self.x_axis = self.X_AXES[0]

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what all pages with panes do by themselves."""
        return {"pane": self._show_pane, "layout": self._show_all, "x_axis": self._turn_axis}

    def back(self) -> bool:
        """Bring all panes back; False where all are there."""
        was, self.alone = self.alone, ""
        return bool(was)

    def focus_pane(self, name: str) -> None:
        """Put the focus in a pane."""
        raise NotImplementedError

    def in_sight(self, name: str) -> bool:
        """Tell whether a pane has a place on the screen."""
        part = self.query_one(f"#{name}")
        return all(widget.display for widget in (part, *part.ancestors))

    def _show_pane(self, number: str) -> None:
        name, session = self.PANES.get(number), self._runs.front
        if name is None:
            session.refuse(f"there is no pane {number} here: 1 to {max(self.PANES)}")
        elif name == self.alone:
            session.refuse(f"it is alone already: {self.key('layout')} brings all panes back")
        elif self.alone or self.focused_pane == name or not self.in_sight(name):
            self.alone = name
            session.answer(f"pane {number} alone: {self.key('layout')} brings all panes back")
        else:
            self.focus_pane(name)
            session.answer(f"pane {number}: {self.key('pane', number)} again shows it alone")

    def _show_all(self, argument: str) -> None:
        if self.back():
            self._runs.front.answer("all panes are back")
        else:
            self._runs.front.refuse("all panes are here: a pane's key twice shows it alone")

    def _turn_axis(self, argument: str) -> None:
        if not self.in_sight(self.CHART):
            self._runs.front.refuse(f"the chart has no room here: {self.key('pane', '1')} shows it alone")
            return
        self.x_axis = self.X_AXES[(self.X_AXES.index(self.x_axis) + 1) % len(self.X_AXES)]
        self._runs.front.answer(f"x-axis: {self.x_axis}")
