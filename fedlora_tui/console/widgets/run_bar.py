"""Row 2: one bar of all rounds."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.drawing.bars import run_bar
from fedlora_tui.console.row import Row
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part


class RunBar(Part):
    """The second row."""

    def draw(self, view: View) -> list[Text]:
        """Give the one line."""
        width = view.layout.width
        done, rest = run_bar(view.state.progress, width - 2, view.look.glyphs)
        style = {"failed": "broken", "done": "held"}.get(view.state.phase, "train")
        return [Row(width, view.look.glyphs).at(1, (done, style), (rest, "quiet")).text()]
