"""What every part of the overview has in common."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text

from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.lines import Lines


class Part(Lines):
    """A part that draws itself from a view; a slow one is drawn at most once a second."""

    SLOW: ClassVar[bool] = False

    def paint(self, view: View) -> None:
        """Draw what changed, unless it is not due."""
        if view.slow or not self.SLOW:
            self.show(self.draw(view))

    def draw(self, view: View) -> list[Text]:
        """Give the lines for a view."""
        raise NotImplementedError
