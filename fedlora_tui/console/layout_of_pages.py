"""Where everything stands on the pages over the overview: what falls away, and in which order, as they shrink."""

from __future__ import annotations

from fedlora_tui.console.layout import (
    CHART_LEAST,
    CHART_WIDE,
    LAST_ROWS,
    NORMAL_HEIGHT,
    NORMAL_WIDTH,
    WIDE_HEIGHT,
    WIDE_WIDTH,
    Layout,
    fits,
    width_word,
)

DIGITS = 4
CHART_NORMAL, CHART_LOW = 11, 7
RIGHT = {"wide": 60, "normal": 41}
"""The width of the panes on the right; two columns stand free before them."""

LEAST = {"own-rounds": 8, "its-data": 10, "what-left": 7, "own-modules": 8, "own-adapter": 8}
"""The rows that a pane below the chart is worth showing in, its rule among them."""

LEAST_PAIR = 3
"""The rows under which two panes side by side have no place: a rule, a head and a row."""

PAIRS = (("own-rounds", "what-left"), ("own-modules", "own-adapter"))
ORGANIZATION_PANES = ("own-loss", "its-data", "own-rounds", "what-left", "own-modules", "own-adapter")
"""The panes of one organization in the order of their numbers."""

DETAILS = 3
"""Rows below a list, with their rule, that say more of the row under the cursor."""


def arrange_organization(width: int, height: int, chosen: str) -> Layout:
    """Divide a terminal between the panes of one organization; `chosen` is one that is in sight in any case.

    Side by side where it is wide. Where it is low or narrow the lower panes fall away, and the chosen one takes the
    place of the first of them.
    """
    columns = width_word(width)
    if not fits(width, height):
        return Layout(width, height, columns, too_small=True)
    digits = DIGITS if height >= NORMAL_HEIGHT else 0
    free = height - 2 - LAST_ROWS - (digits or 1)
    if width >= NORMAL_WIDTH:
        boxes = _side_by_side(width, height, free, chosen)
    else:
        boxes = _stacked(width, free, chosen)
    return Layout(width, height, columns, digits=digits, trends=0 if digits else 1, boxes=boxes)


def _side_by_side(width: int, height: int, free: int, chosen: str) -> dict[str, tuple[int, int]]:
    right = RIGHT["wide" if width >= WIDE_WIDTH else "normal"]
    left = width - right - 2
    chart = CHART_WIDE if height >= WIDE_HEIGHT else max(CHART_LOW, CHART_NORMAL - max(0, 40 - height))
    top = min(1 + chart, free)
    if chosen not in ("own-loss", "its-data") and free - top < LEAST_PAIR <= free - 1 - CHART_LEAST:
        top = free - LEAST_PAIR
    boxes = {"own-loss": (left, top), "its-data": (right, top)}
    rest = free - top
    pairs = list(PAIRS)
    if rest < 2 * (LEAST["own-rounds"] - 1):
        pairs = [next((pair for pair in PAIRS if chosen in pair), PAIRS[0])]
    for place, pair in enumerate(pairs):
        rows = -(-rest // (len(pairs) - place))
        rest -= rows
        if rows >= LEAST_PAIR:
            boxes |= {pair[0]: (left, rows), pair[1]: (right, rows)}
    return boxes


def _stacked(width: int, free: int, chosen: str) -> dict[str, tuple[int, int]]:
    lower = ["own-rounds", "its-data", "what-left", "own-modules", "own-adapter"]
    if chosen in lower:
        lower = lower[lower.index(chosen) :]
    boxes: dict[str, tuple[int, int]] = {}
    if free >= 1 + CHART_LOW + LEAST[lower[0]]:
        boxes["own-loss"] = width, 1 + CHART_LOW
        free -= 1 + CHART_LOW
    shown = [lower[0]]
    for name in lower[1:]:
        if sum(LEAST[own] for own in (*shown, name)) > free:
            break
        shown.append(name)
    rest = free - sum(LEAST[name] for name in shown[1:])
    return boxes | {name: (width, LEAST[name] if place else rest) for place, name in enumerate(shown)}


def arrange_list(width: int, height: int, details: int = 0) -> Layout:
    """Give a list all the rows; `details` lines below its rule say more of the chosen row where there is room."""
    columns = width_word(width)
    if not fits(width, height):
        return Layout(width, height, columns, too_small=True)
    free = height - 2 - LAST_ROWS - 2
    below = 1 + details if details and free - details - 1 >= 5 else 0
    return Layout(width, height, columns, table=free - below, at_round=below)
