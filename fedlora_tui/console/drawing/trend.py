"""Trends: a loss over a run in one row of small bars, all of a column on one scale.

A trend never scrolls: each cell is the mean of its share of the rounds that the width stands for, so a taller bar is a
worse loss, whoever's it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from fedlora_tui.console.drawing.glyphs import UNICODE, Glyphs

_LARGEST = 1e300

Points = Sequence[tuple[float, float]]


def trend(values: Points, width: int, span: float, low: float, high: float, glyphs: Glyphs = UNICODE) -> str:
    """Exactly `width` cells over the rounds 0 to `span`, from points (rounds finished, loss), `low` to `high` high.

    `span` is what has happened so far to fill the width with it, or the planned rounds to leave the rest empty. Cells
    after the last point are empty, so a series that ended early is seen to have ended.
    """
    levels = glyphs.trend
    drawn = means(values, width, span)
    return "".join(" " if mean is None else levels[_level(mean, low, high, len(levels) - 1)] for mean in drawn)


def means(values: Points, width: int, span: float) -> list[float | None]:
    """Mean loss of each of `width` equal shares of the rounds 0 to `span`, None where the series is not yet or over.

    A share that holds no point, between others that do, repeats the one before it.
    """
    width = max(width, 0)
    sums, counts = [0.0] * width, [0] * width
    per_round = width / span if span > 0 else 0.0
    first_x, last = math.inf, -1
    for x, value in values:
        if not (math.isfinite(x) and math.isfinite(value)) or x < 0 or x > span or not width:
            continue
        # A point stands at the end of its step, and so belongs to the share that ends with it.
        cell = min(max(math.ceil(x * per_round - 1e-9) - 1, 0), width - 1)
        sums[cell] += value
        counts[cell] += 1
        first_x, last = min(first_x, x), max(last, cell)
    return _filled(sums, counts, first_x, last)


def scale(many: Iterable[Points], width: int = 0, span: float = 0.0) -> tuple[float, float]:
    """Lowest and highest loss of all series of a column; of their drawn means when `width` and `span` are given."""
    low, high = math.inf, -math.inf
    for series in many:
        drawn = means(series, width, span) if width > 0 and span > 0 else [value for _, value in series]
        for value in drawn:
            if value is not None and math.isfinite(value):
                low, high = min(low, value), max(high, value)
    return (low, high) if low <= high else (0.0, 1.0)


def _filled(sums: list[float], counts: list[int], first_x: float, last: int) -> list[float | None]:
    drawn: list[float | None] = [total / n if n else None for total, n in zip(sums, counts, strict=True)]
    known = next((mean for mean in drawn if mean is not None), None)
    # A point within round 1 says that the series was there from the start.
    before = known if first_x <= 1 else None
    for cell in range(last + 1):
        if drawn[cell] is None:
            drawn[cell] = before
        before = drawn[cell]
    return drawn


def _level(mean: float, low: float, high: float, highest: int) -> int:
    if not -_LARGEST < low < high < _LARGEST:
        return 0
    return round((min(max(mean, low), high) - low) / (high - low) * highest)
