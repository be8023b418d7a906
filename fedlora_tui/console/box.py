"""Boxes: for dialogs and for what must not be overlooked; everything else has rules."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cut_end
from fedlora_tui.console.row import Part, Row, width_of

HEAD_EDGES = 6
"""Columns of the upper edge that hold no title."""

CORNERS = {False: tuple("╭╮╰╯─│"), True: tuple("++++-|")}


def box(
    width: int, glyphs: Glyphs, title: str, content: Sequence[Sequence[Part]], *, right: str = "", style: str = "yours"
) -> list[Text]:
    """Draw a box around lines of words, with its title and what stands at the right on its upper edge."""
    upper_left, upper_right, lower_left, lower_right, across, down = CORNERS[glyphs.ascii]
    title = cut_end(title, width - HEAD_EDGES, glyphs)
    head = Row(width, glyphs).at(0, (f"{upper_left}{across} ", style), (title, f"{style}_bold"), " ")
    tail: tuple[Part, ...] = (f" {right} ",) if right else ()
    if head.end + width_of(*tail) + 2 > width:
        # The corner stays, and what stands right falls away.
        tail = ()
    fill = width - head.end - width_of(*tail) - 2
    head.at(head.end, (across * max(0, fill), style), *tail, (across + upper_right, style))
    lines = [head.text()]
    for words in content:
        row = Row(width, glyphs).at(0, (down, style)).at(3, *words, until=width - 2)
        lines.append(row.at(width - 1, (down, style)).text())
    lines.append(Row(width, glyphs).at(0, (lower_left + across * (width - 2) + lower_right, style)).text())
    return lines
