"""The estimate drawn: memory, operations of a round, speed and time, each with what it is made of."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.layout import NORMAL_WIDTH
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.setup.offer import Figures

LABEL_COLUMN, FIGURE_COLUMN, MADE_OF_COLUMN = 2, 12, 22
PARTS = ("libraries", "base", "adapters", "passes")
UNITS = "GTPE"
"""Of operations: 10^9, and a thousand times as much for each further one."""


def draw_figures(figures: Figures | None, rounds: int, why_unknown: str, width: int, glyphs: Glyphs) -> list[Text]:
    """Draw a rule and four lines, memory first and time last; what is not known is a dash and the reason."""
    where = "" if figures is None else f", on {figures.device}"
    head = rule(width, glyphs, "2 what it would take", (f"an estimate{where}", "quiet"))
    if figures is None:
        rows = [
            ("memory", glyphs.dash, why_unknown),
            *((name, glyphs.dash, "") for name in ("a round", "speed", "time")),
        ]
    else:
        rows = [
            ("memory", numbers.bytes_text(figures.memory, glyphs), _memory(figures, width, glyphs)),
            ("a round", _operations(figures.operations, glyphs), _round(figures, glyphs)),
            ("speed", _per_second(figures.speed, glyphs), _speed(figures, why_unknown, glyphs)),
            ("time", numbers.duration(figures.seconds, glyphs), _time(figures, rounds, glyphs)),
        ]
    tight = figures is not None and figures.memory > figures.free
    styles = ["care" if tight else "", "", "", ""]
    return [head, *(_line(*row, style, width, glyphs) for row, style in zip(rows, styles, strict=True))]


def _line(name: str, figure: str, made_of: str, style: str, width: int, glyphs: Glyphs) -> Text:
    row = Row(width, glyphs).at(LABEL_COLUMN, (name, "quiet")).at(FIGURE_COLUMN, (figure, style or "ink_bold"))
    return row.at(max(MADE_OF_COLUMN, row.end + 2), (made_of, style or "quiet"), until=width - 1).text()


def _memory(figures: Figures, width: int, glyphs: Glyphs) -> str:
    free = numbers.bytes_text(figures.free, glyphs)
    parts = ", ".join(f"{name} {_short(getattr(figures, name), glyphs)}" for name in PARTS)
    if figures.memory > figures.free:
        return f"more than the {free} that are free: {parts}"
    return f"{parts}; {free} free" if width >= NORMAL_WIDTH else parts


def _short(size: int, glyphs: Glyphs) -> str:
    """Write bytes without the space and the letters that a line of four has no room for."""
    return numbers.bytes_text(size, glyphs).replace(" ", "").removesuffix("iB")


def _round(figures: Figures, glyphs: Glyphs) -> str:
    trained, measured = (numbers.count_short(count, glyphs) for count in (figures.trained, figures.measured))
    return f"operations: {trained} tokens trained, {measured} measured"


def _per_second(speed: float | None, glyphs: Glyphs) -> str:
    return glyphs.dash if speed is None else f"{_operations(speed, glyphs)}/s"


def _operations(count: float, glyphs: Glyphs) -> str:
    """Write a number of operations as `82.5 G` or `1.2 T`: a decimal under 100, none above."""
    size, unit = count / 1e9, 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{numbers.seconds(size, glyphs)} {UNITS[unit]}"


def _speed(figures: Figures, why_unknown: str, glyphs: Glyphs) -> str:
    if figures.rate is None or figures.speed is None:
        return why_unknown
    share = numbers.percent(figures.speed / figures.rate, glyphs)
    return f"{share} of {_per_second(figures.rate, glyphs)}, what matrix products reach here"


def _time(figures: Figures, rounds: int, glyphs: Glyphs) -> str:
    if figures.seconds is None:
        return ""
    each = numbers.duration(figures.seconds / rounds, glyphs)
    return f"{numbers.count(rounds, glyphs)} rounds of {each}, beside the start"
