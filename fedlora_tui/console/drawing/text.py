"""Text cut and padded to cells: a wide character takes two, a combining one none."""

from __future__ import annotations

from rich.cells import cell_len

from fedlora_tui.console.drawing.glyphs import UNICODE, Glyphs


def cells(text: str) -> int:
    """Give the cells that a text takes; most texts are plain, and theirs are as many as their characters."""
    return len(text) if text.isascii() and text.isprintable() else cell_len(text)


def cut_end(text: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """The text, or as much of its start as `width` cells hold with an ellipsis at the end."""
    if width <= 0:
        return ""
    if cells(text) <= width:
        return text
    mark = _start(glyphs.ellipsis, width)
    return _fitting(_start(text, width - cell_len(mark)), mark, "", width)


def cut_start(text: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """The text, or as much of its end as `width` cells hold behind an ellipsis: a field that is written in."""
    if cells(text) <= width:
        return text
    mark = _start(glyphs.ellipsis, width)
    return _fitting(mark, "", _end(text, width - cell_len(mark)), width)


def cut_middle(name: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """The name, or its start and its telling end with an ellipsis between, as `telecom-su…rt-2`, in `width` cells."""
    if width <= 0:
        return ""
    if cell_len(name) <= width:
        return name
    mark = _start(glyphs.ellipsis, width)
    kept = width - cell_len(mark)
    tail = min(kept, max(1, kept * 3 // 10))
    return _fitting(_start(name, kept - tail), mark, _end(name, tail), width)


def right(text: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """The text standing right in exactly `width` cells, cut at its end when longer."""
    cut = cut_end(text, width, glyphs)
    return " " * (width - cells(cut)) + cut


def left(text: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """The text standing left in exactly `width` cells, cut at its end when longer."""
    cut = cut_end(text, width, glyphs)
    padded = cut + " " * (width - cells(cut))
    # A joiner at the end takes the first space into its own cell.
    while cell_len(padded) < width:
        padded += " "
    return padded


def _start(text: str, cells: int) -> str:
    if text.isascii() and text.isprintable():
        return text[: max(cells, 0)]
    end = 0
    while end < len(text) and cell_len(text[: end + 1]) <= cells:
        end += 1
    return text[:end]


def _end(text: str, cells: int) -> str:
    if text.isascii() and text.isprintable():
        return text[len(text) - cells :] if cells > 0 else ""
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= cells:
        start -= 1
    return text[start:]


def _fitting(head: str, mark: str, tail: str, width: int) -> str:
    # Joining can widen what was measured apart: a variation selector makes the character before it wide.
    while cell_len(head + mark + tail) > width and (head or tail):
        head, tail = (head, tail[1:]) if tail else (head[:-1], tail)
    return head + mark + tail
