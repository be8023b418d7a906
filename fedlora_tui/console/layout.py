"""Where everything stands: width and height judged apart, falling away in a fixed order as they shrink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

LEAST_WIDTH, LEAST_HEIGHT = 40, 10
NORMAL_WIDTH, WIDE_WIDTH = 100, 180
NORMAL_HEIGHT, WIDE_HEIGHT = 32, 50
LAST_ROWS = 3
CHART_NORMAL, CHART_WIDE = 9, 18
"""Lines of the loss chart below its rule, with its axis."""

WAITS_WIDTH = 76

TABLE_LEAST = 5
CHART_LEAST, CHART_KEPT = 6, 8
"""Lines of the chart of all runs, with its axis, under which it is left out; and those to which the table yields."""


@dataclass(frozen=True)
class Layout:
    """The rows that each part gets, 0 where a part is left out, and the width of the pane on the right.

    `chart`, `table` and `log` count the lines below their rule or head; `columns` is the word for the width. `at_round`
    is there where runs are compared: the line of all losses at one round; under a list, the lines about the chosen row.
    `boxes` are the width and the height, its rule among them, of panes by their ids, where a page has many. `alone` is
    the pane that has the screen to itself, empty where all have their places.
    """

    width: int
    height: int
    columns: str
    digits: int = 0
    trends: int = 0
    machine_line: int = 0
    chart: int = 0
    right: int = 0
    table: int = 0
    log: int = 0
    box: int = 0
    at_round: int = 0
    boxes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    too_small: bool = False
    alone: str = ""

    @property
    def rounds_width(self) -> int:
        """Columns of the pane of rounds between chart and machine, 0 where there is none."""
        if self.alone:
            return self.width if self.alone == "rounds" else 0
        return 67 if self.columns == "wide" and self.chart else 0

    @property
    def log_width(self) -> int:
        """Columns of the log; two stand free between it and the pane of what waits."""
        if self.alone:
            return self.width if self.alone == "log" else 0
        return self.width - (self.waits_width + 2 if self.waits_width else 0)

    @property
    def waits_width(self) -> int:
        """Columns of the pane of what waits for the next round, beside the log; 0 where there is none."""
        if self.alone:
            return self.width if self.alone == "waits" else 0
        return WAITS_WIDTH if self.columns == "wide" and self.log else 0

    @property
    def chart_width(self) -> int:
        """Columns of the loss chart; two stand free between panes."""
        if self.alone:
            return self.width if self.alone == "loss" else 0
        beside = [width for width in (self.rounds_width, self.right) if width]
        return self.width - sum(beside) - 2 * len(beside)


def arrange(width: int, height: int, *, box: int = 0, alone: str = "") -> Layout:
    """Divide a terminal; `box` is the height of a notice that takes the log's place, 0 for none.

    A pane that is to be `alone` gets all that is free, but for the notice.
    """
    columns = width_word(width)
    if not fits(width, height):
        return Layout(width, height, columns, too_small=True)
    if alone:
        free = height - 2 - LAST_ROWS
        box = box if free - box >= TABLE_LEAST else 0
        return _all_of(Layout(width, height, columns, box=box, alone=alone), free - box)
    if height >= NORMAL_HEIGHT:
        return _tall(width, height, columns, box)
    return _low(width, height, columns, box)


def arrange_comparison(width: int, height: int, runs: int, alone: str = "") -> Layout:
    """Divide a terminal between the chart of so many runs and the table of them; the chart takes what is free.

    A pane that is to be `alone` gets all of it.
    """
    if not fits(width, height):
        return Layout(width, height, width_word(width), too_small=True)
    free = height - 2 - 2 - LAST_ROWS
    at_round = int(free > TABLE_LEAST)
    free -= at_round
    if alone:
        return _all_of(Layout(width, height, width_word(width), at_round=at_round, alone=alone), free + 2)
    chart = free - 1 - min(runs, max(TABLE_LEAST, free - 1 - CHART_KEPT))
    if chart < CHART_LEAST:
        chart = 0
    table = free - (1 + chart if chart else 0)
    return Layout(width, height, width_word(width), chart=chart, table=table, at_round=at_round)


def _all_of(layout: Layout, rows: int) -> Layout:
    """Give the pane that is alone all of so many rows."""
    match layout.alone:
        case "table" | "run-table":
            return replace(layout, table=rows - 2)
        case "log" | "waits":
            return replace(layout, log=rows - 1)
        case "machine":
            return replace(layout, chart=rows - 1, right=layout.width)
    return replace(layout, chart=rows - 1)


def width_word(width: int) -> str:
    """Give the word for a width: compact, normal or wide."""
    return "wide" if width >= WIDE_WIDTH else "normal" if width >= NORMAL_WIDTH else "compact"


def fits(width: int, height: int) -> bool:
    """Tell whether a terminal is large enough for more than one line."""
    return width >= LEAST_WIDTH and height >= LEAST_HEIGHT


def _tall(width: int, height: int, columns: str, box: int) -> Layout:
    """Divide a terminal with room for big digits and the loss chart."""
    right = {"wide": 45, "normal": 41, "compact": 0}[columns]
    machine_line = 0 if right else 1
    chart = CHART_WIDE if height >= WIDE_HEIGHT else CHART_NORMAL
    free = height - 2 - 4 - machine_line - (1 + chart) - 2 - LAST_ROWS
    log = max(3, min(12, free // 3)) if height >= WIDE_HEIGHT else max(3, min(5, free - 14))
    below = box or log + 1
    return Layout(
        width,
        height,
        columns,
        digits=4,
        machine_line=machine_line,
        chart=chart,
        right=right,
        table=max(0, free - below),
        log=0 if box else log,
        box=min(box, free),
    )


def _low(width: int, height: int, columns: str, box: int) -> Layout:
    """Divide a terminal that has trends in row 3 for the chart, and the machine in row 4."""
    free = height - 2 - 2 - 2 - LAST_ROWS
    log = 5 if free >= 20 else 3 if free >= 16 else 2
    below = box or log + 1
    if free - below < TABLE_LEAST:
        below = box if box and free - box >= 1 else 0
    machine_line = trends = 1
    if free - below < TABLE_LEAST and not below:
        machine_line, free = 0, free + 1
    if free - below < TABLE_LEAST and not below:
        trends, free = 0, free + 1
    return Layout(
        width,
        height,
        columns,
        trends=trends,
        machine_line=machine_line,
        table=free - below,
        log=0 if box or not below else log,
        box=below if box else 0,
    )
