"""The loss chart: the curve grows to the right over the planned run, so it is itself the progress.

The train loss is a line in quarter blocks, two by two sub-cells a character; the hold-out loss one sign a round, and
further series lie behind both, each with a sign of its own; a changed knob a dotted line with its name.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from rich.cells import cell_len
from rich.text import Span, Text

from fedlora_tui.console.drawing.glyphs import UNICODE, Glyphs
from fedlora_tui.console.drawing.numbers import fixed, power
from fedlora_tui.console.drawing.text import cut_end

Points = Sequence[tuple[float, float]]

LABEL_WIDTH = 5
MARGIN = LABEL_WIDTH + 2
"""Cells left of the plot: a label, a space, the axis."""

_TICK_ROWS = 2
_LARGEST = 1e9
_LEAST_OF_A_LINE, _LEAST_OF_A_NAME = 2, 8
"""Rows of a knob's line that no other's name may take; cells under which a name is not cut but left out."""

_UPPER_LEFT, _UPPER_RIGHT, _LOWER_LEFT, _LOWER_RIGHT = 1, 2, 4, 8
_BITS = ((_UPPER_LEFT, _UPPER_RIGHT), (_LOWER_LEFT, _LOWER_RIGHT))
# Mantissas of a tick's step, each with what the topmost tick is a multiple of: labels keep few digits and little room
# is lost above the data.
_STEPS = ((1, 1), (2, 1), (3, 1), (5, 5))


@dataclass(frozen=True)
class LossChart:
    """What the chart shows: points are (x, loss), x in finished rounds, so a step within round 7 is at 6.4.

    `rounds` is the planned end of the x-axis, `first` its start; what lies outside them is not drawn. A knob that acts
    from round 4 on stands at 3. `others` are further series of marks, one a round, quiet and behind the rest; what of
    them is above `ceiling` is left out. `signs` are those of the hold-out loss and of the others, else the terminal's.
    """

    train: Points = ()
    holdout: Points = ()
    knobs: Sequence[tuple[float, str]] = ()
    rounds: float = 1
    first: float = 0
    others: tuple[Points, ...] = ()
    signs: tuple[str, ...] = ()
    ceiling: float = math.inf


@dataclass(frozen=True)
class LossAxis:
    """Rows of losses: the middle of row 0 is at `top`, each row further down `row` less, labels have `decimals`."""

    top: float
    row: float
    decimals: int


@dataclass
class _Canvas:
    chars: list[list[str]]
    roles: list[list[str]]

    def put(self, row: int, column: int, char: str, role: str) -> None:
        self.chars[row][column] = char
        self.roles[row][column] = role


def draw(chart: LossChart, width: int, height: int, styles: Mapping[str, str], glyphs: Glyphs = UNICODE) -> list[Text]:
    """Exactly `height` lines of exactly `width` cells, the last one the axis of rounds; `styles` are rich's by role."""
    width, height = max(width, 0), max(height, 0)
    plot_width, rows = width - MARGIN, height - 1
    if plot_width < 2 or rows < 1:
        return [Text(" " * width) for _ in range(height)]
    line = _line(chart, plot_width)
    own, others = _marks(chart, glyphs)
    # The newest mean still moves with every step, and the axis would move with it.
    drawn = line[:-1] if len(line) > 4 else line
    losses = [loss for _, loss in drawn]
    losses += [loss for _, points in (own, *others) for _, loss in points]
    axis = loss_axis(losses, rows)
    canvas = _Canvas([[" "] * plot_width for _ in range(rows)], [[""] * plot_width for _ in range(rows)])
    knobs = [(_cell(chart, x, plot_width), name) for x, name in chart.knobs if _within(chart, x)]
    knobs.sort(key=lambda knob: knob[0])
    for column, _ in knobs:
        for row in range(rows):
            canvas.put(row, column, glyphs.knob, "yours")
    # What lies further back is drawn first; of the others, the first ones are nearest.
    for sign, points in reversed(others):
        _draw_marks(canvas, chart, points, axis, sign, "quiet")
    _draw_line(canvas, line, axis, glyphs)
    _draw_marks(canvas, chart, own[1], axis, own[0], "held")
    _draw_names(canvas, knobs, glyphs)
    lines = [_margin_text(axis, row, glyphs) for row in range(rows)]
    texts = [
        _text(lines[row] + "".join(canvas.chars[row]), ["quiet"] * MARGIN + canvas.roles[row], styles)
        for row in range(rows)
    ]
    rule = " " * (MARGIN - 1) + glyphs.axis_corner + round_axis(chart.first, chart.rounds, plot_width, glyphs)
    return [*texts, _text(rule, ["quiet"] * width, styles)]


def loss_axis(losses: Iterable[float], rows: int) -> LossAxis:
    """The axis with the smallest round step that holds all the losses in so many rows; without a loss its top is nan.

    Steps are round and the topmost tick lies above the highest loss, so the axis stays as it is while losses fall,
    until the lowest one needs a larger step.
    """
    losses = list(losses)
    if not losses:
        return LossAxis(math.nan, 1.0, 0)
    high, low = max(losses), min(losses)
    # Losses that hardly differ would otherwise fill the chart with their noise: it spans a tenth of a loss at least.
    least = max(abs(high) / max(40, 5 * rows), 1e-6)
    if rows < 2:
        return LossAxis(high, max(2 * (high - low), least), 2)
    exponent = math.floor(math.log10(least))
    while True:
        unit = 10.0**exponent
        for step, multiple in _STEPS:
            row = step * unit / _TICK_ROWS
            top = math.ceil(high / (multiple * unit) - 1e-9) * multiple * unit
            if step * unit >= least and top - (rows - 0.5) * row <= low:
                return LossAxis(top, row, max(0, -exponent))
        exponent += 1


def round_axis(first: float, last: float, width: int, glyphs: Glyphs = UNICODE) -> str:
    """The rule under a plot in `width` cells, with the numbers of round rounds at their places."""
    cells = [glyphs.axis_line] * width
    last = max(last, first + 1)
    step = _round_step((last - first) * 12 / width)
    ticks = [math.ceil(first)]
    ticks += [r for r in range((ticks[0] // step + 1) * step, math.floor(last) + 1, step) if r < last]
    ending = str(math.floor(last))
    free = width - len(ending) if len(ending) < width else width
    for tick in ticks:
        label = str(tick)
        column = round((tick - first) / (last - first) * (width - 1))
        if column + len(label) < free:
            cells[column : column + len(label)] = label
    if free < width:
        cells[free:] = ending
    return "".join(cells)


def _round_step(least: float) -> int:
    unit = 1
    while True:
        for step in (1, 2, 5):
            if step * unit >= least:
                return step * unit
        unit *= 10


def _within(chart: LossChart, x: float) -> bool:
    return chart.first <= x <= max(chart.rounds, chart.first + 1)


def _drawable(loss: float) -> bool:
    return abs(loss) < _LARGEST


def _cell(chart: LossChart, x: float, width: int) -> int:
    return round((x - chart.first) / max(chart.rounds - chart.first, 1) * (width - 1))


def _line(chart: LossChart, width: int) -> list[tuple[int, float]]:
    """Mean train loss of every half cell that holds a point, in order."""
    points = sorted(chart.train)
    xs, losses = [x for x, _ in points], [loss for _, loss in points]
    rounds_each = max(chart.rounds - chart.first, 1) / (width - 1) / 2
    start, stop = bisect_left(xs, chart.first), bisect_right(xs, max(chart.rounds, chart.first + 1))
    line = []
    # From 1 on, for a mark's cell reaches half a cell to each side of its round, and so does the line's.
    for half in range(1, 2 * width):
        end = bisect_left(xs, chart.first + half * rounds_each, start, stop) if half < 2 * width - 1 else stop
        if end > start:
            mean = sum(losses[start:end]) / (end - start)
            if not _drawable(mean):
                kept = [loss for loss in losses[start:end] if _drawable(loss)]
                mean = sum(kept) / len(kept) if kept else math.nan
            if _drawable(mean):
                line.append((half, mean))
            start = end
    return line


def _draw_line(canvas: _Canvas, line: list[tuple[int, float]], axis: LossAxis, glyphs: Glyphs) -> None:
    lowest = 2 * len(canvas.chars) - 1
    scale, offset = 2 / axis.row, 2 * axis.top / axis.row + 1
    bits: dict[tuple[int, int], int] = defaultdict(int)
    before: int | None = None
    for half, loss in _joined(line):
        y = min(max(math.floor(offset - loss * scale), 0), lowest)
        bits[y >> 1, half >> 1] |= _BITS[y & 1][half & 1]
        if before is not None and abs(y - before) > 1:
            # A steep part is shared by both half cells, so that the line keeps one thickness.
            middle = (y + before) // 2
            for between in range(min(y, before) + 1, max(y, before)):
                side = half - 1 if (between <= middle) == (before < y) else half
                bits[between >> 1, side >> 1] |= _BITS[between & 1][side & 1]
        before = y
    for (row, column), pattern in bits.items():
        canvas.put(row, column, glyphs.quarters[pattern], "train")


def _joined(line: list[tuple[int, float]]) -> list[tuple[int, float]]:
    joined = line[:1]
    for (half, loss), (then, next_loss) in pairwise(line):
        if then - half > 1:
            slope = (next_loss - loss) / (then - half)
            joined += [(between, loss + slope * (between - half)) for between in range(half + 1, then)]
        joined.append((then, next_loss))
    return joined


def _marks(chart: LossChart, glyphs: Glyphs) -> tuple[tuple[str, Points], list[tuple[str, Points]]]:
    """Give the hold-out loss and the other series, each with its sign and those of its points that can be drawn."""
    series = (chart.holdout, *chart.others)
    signs = chart.signs or tuple(glyphs.series(place) for place in range(len(series)))
    drawn = [
        (sign, [(x, loss) for x, loss in points if _within(chart, x) and _drawable(loss)])
        for sign, points in zip(signs, series, strict=True)
    ]
    return drawn[0], [(sign, [(x, y) for x, y in points if y <= chart.ceiling]) for sign, points in drawn[1:]]


def _draw_marks(canvas: _Canvas, chart: LossChart, points: Points, axis: LossAxis, sign: str, role: str) -> None:
    rows, width = len(canvas.chars), len(canvas.chars[0])
    for x, loss in points:
        row = min(max(math.floor((axis.top - loss) / axis.row + 0.5), 0), rows - 1)
        canvas.put(row, _cell(chart, x, width), sign, role)


def _draw_names(canvas: _Canvas, knobs: list[tuple[int, str]], glyphs: Glyphs) -> None:
    """Put each knob's name beside its line, in the first row where it hides nothing but a part of others' lines.

    Names of one line stand below each other; a name without room falls away.
    """
    width = len(canvas.chars[0])
    seen = {column: sum(chars[column] == glyphs.knob for chars in canvas.chars) for column, _ in knobs}
    for column, name in knobs:
        start, label = _beside(column, name, width, glyphs)
        end = start + len(label)
        row = _free_row(canvas, column, start, end, seen, glyphs) if label else None
        if row is not None:
            for other in _hidden(canvas.chars[row], start, end, seen, glyphs):
                seen[other] -= 1
            canvas.chars[row][start:end] = label
            canvas.roles[row][start:end] = ["yours"] * len(label)


def _beside(column: int, name: str, width: int, glyphs: Glyphs) -> tuple[int, str]:
    """Give where a name begins and how it is written: right of its line, at the plot's end left of it, else cut."""
    room = width - column - 2
    # A wide character would need two cells where the canvas has one.
    if not name or not name.isprintable() or cell_len(name) != len(name):
        return 0, ""
    if room < len(name) < column:
        return column - 1 - len(name), name + " "
    if room < min(len(name), _LEAST_OF_A_NAME):
        return 0, ""
    return column + 1, " " + cut_end(name, room, glyphs)


def _free_row(
    canvas: _Canvas, column: int, start: int, end: int, seen: Mapping[int, int], glyphs: Glyphs
) -> int | None:
    """Give the first row in which a name may stand from `start` to `end` and its line at `column` is seen.

    `seen` are the rows in which each line is seen yet.
    """
    free = {" ", glyphs.knob}
    first = start if start > column else max(0, start - 1)
    for row, chars in enumerate(canvas.chars):
        if chars[column] != glyphs.knob or not free.issuperset(chars[first : end + 1]):
            continue
        if all(seen[other] > _LEAST_OF_A_LINE for other in _hidden(chars, start, end, seen, glyphs)):
            return row
    return None


def _hidden(chars: Sequence[str], start: int, end: int, columns: Iterable[int], glyphs: Glyphs) -> list[int]:
    """Give the lines that a name from `start` to `end` would hide in a row."""
    return [column for column in columns if start <= column < end and chars[column] == glyphs.knob]


def _margin_text(axis: LossAxis, row: int, glyphs: Glyphs) -> str:
    if row % _TICK_ROWS:
        return " " * (LABEL_WIDTH + 1) + glyphs.axis
    if math.isnan(axis.top):
        return " " * (LABEL_WIDTH + 1) + glyphs.axis_tick
    label = fixed(axis.top - row * axis.row, axis.decimals, glyphs)
    if len(label) > LABEL_WIDTH:
        label = power(float(f"{axis.top - row * axis.row:.1g}"), glyphs)
    return f"{label[:LABEL_WIDTH]:>{LABEL_WIDTH}} {glyphs.axis_tick}"


def _text(plain: str, roles: Sequence[str], styles: Mapping[str, str]) -> Text:
    text = Text(plain)
    start = 0
    for role, group in groupby(roles):
        end = start + sum(1 for _ in group)
        style = styles.get(role, "")
        if style:
            text.spans.append(Span(start, end, style))
        start = end
    return text
