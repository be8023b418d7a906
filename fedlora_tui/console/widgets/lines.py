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

    def wear(self, palette: Theme) -> None:
        """Show the same lines in other styles."""
        self._drawing_console = Console(theme=palette, color_system="truecolor", force_terminal=True, width=1000)
        self._strips = [self._strip(line) for line in self._lines]
        self.refresh()

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
        # Textual clears these where it renders a widget anew, which never happens here: they would be kept for ever.
        self._dirty_regions.clear()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Give the part of the lines that is to be painted, on the colours of the screen.

        The lines have neither border nor padding, so what Textual would lay around each of them is left out.
        """
        width, style = self.size.width, self.rich_style
        filters, (_, background) = self.get_line_filters(), self.background_colors
        lines = []
        for y in range(crop.y, crop.bottom):
            strip = self._strips[y] if y < len(self._strips) else Strip.blank(0)
            strip = strip.adjust_cell_length(width)
            if crop.x > 0 or crop.right < width:
                strip = strip.crop(crop.x, crop.right)
            strip = strip.apply_style(style)
            for line_filter in filters:
                strip = strip.apply_filter(line_filter, background)
            lines.append(strip)
        return lines

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
    before, after = list(old), list(new)
    start = _cut_what_is_equal(before, after, last=old.cell_length == new.cell_length)
    olds, news = _cells(before), _cells(after)
    length = max(len(olds), len(news))
    blank = (" ", None)
    olds += [blank] * (length - len(olds))
    news += [blank] * (length - len(news))
    differing = [x for x in range(length) if olds[x] != news[x]]
    return (start + differing[0], start + differing[-1] + 1) if differing else None


def _cut_what_is_equal(before: list[Segment], after: list[Segment], *, last: bool) -> int:
    """Take the segments that both begin with, and at `last` end with, out of both; give the columns of the first ones.

    Most of a line stays as it is: cells are compared one by one only where the segments differ.
    """
    most = min(len(before), len(after))
    same = next((place for place in range(most) if before[place] != after[place]), most)
    start = sum(segment.cell_length for segment in before[:same])
    del before[:same], after[:same]
    while last and before and after and before[-1] == after[-1]:
        before.pop()
        after.pop()
    return start


def _cells(segments: Sequence[Segment]) -> Cells:
    cells: Cells = []
    for segment in segments:
        style, text = segment.style or None, segment.text
        if segment.cell_length == len(text):
            cells += [(character, style) for character in text]
            continue
        for character in text:
            cells += [(character, style)] * max(1, cell_len(character))
    return cells
