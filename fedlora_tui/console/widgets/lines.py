"""A widget made of drawn lines that repaints no more than the cells that changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from rich.theme import Theme
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

Cells = list[tuple[str, Style | None]]


class Lines(Widget):
    """Shows the lines it was last given; the styles that they name are looked up in `palette`.

    Textual sends a whole widget again when it is refreshed. Here each line is compared with the one it replaces, and
    only the columns between the first and the last difference go to the terminal.
    """

    DEFAULT_CSS = "Lines { height: auto; background: transparent; }"

    def __init__(self, palette: Theme, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._drawing_console = Console(theme=palette, color_system="truecolor", force_terminal=True, width=1000)
        self._lines: list[Text] = []
        self._strips: list[Strip] = []

    def show(self, lines: Sequence[Text]) -> None:
        """Replace what is shown; lines beyond the widget's height are kept and not seen."""
        blank = Strip.blank(0)
        for y in range(max(len(self._lines), len(lines))):
            line = lines[y] if y < len(lines) else Text()
            if y < len(self._lines) and line == self._lines[y]:
                continue
            old = self._strips[y] if y < len(self._strips) else blank
            new = self._strip(line)
            self._strips[y : y + 1] = [new]
            span = changed_span(old, new)
            if span is not None:
                self.refresh(Region(span[0], y, span[1] - span[0], 1))
        del self._strips[len(lines) :]
        self._lines = list(lines)

    def render_line(self, y: int) -> Strip:
        """Give one line, as long as the widget is wide, on the colours of the screen."""
        width = self.size.width
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(0)
        return strip.adjust_cell_length(width).apply_style(self.rich_style)

    @property
    def text(self) -> str:
        """What is shown, without its colours."""
        return "\n".join(strip.text.rstrip() for strip in self._strips)

    def _strip(self, line: Text) -> Strip:
        segments = [Segment(part.text, part.style) for part in line.render(self._drawing_console) if part.text]
        return Strip(segments, cell_len(line.plain))


def changed_span(old: Strip, new: Strip) -> tuple[int, int] | None:
    """Give the columns from the first to behind the last difference of two lines, None where they are equal."""
    if old == new:
        return None
    before, after = _cells(old), _cells(new)
    length = max(len(before), len(after))
    blank = (" ", None)
    before += [blank] * (length - len(before))
    after += [blank] * (length - len(after))
    differing = [x for x in range(length) if before[x] != after[x]]
    return (differing[0], differing[-1] + 1) if differing else None


def _cells(strip: Strip) -> Cells:
    cells: Cells = []
    for segment in strip:
        style, text = segment.style or None, segment.text
        if segment.cell_length == len(text):
            cells += [(character, style) for character in text]
            continue
        for character in text:
            cells += [(character, style)] * max(1, cell_len(character))
    return cells
