"""Bars of one row: the run's progress, meters with our part and the others', and plain shares.

Each is returned in its parts, left to right, so that every part can have its own role; joined they are exactly `width`
cells.
"""

from __future__ import annotations

import math

from fedlora_tui.console.drawing.glyphs import UNICODE, Glyphs


def run_bar(done: float, width: int, glyphs: Glyphs = UNICODE) -> tuple[str, str]:
    """Done and open part of a run as `━━━━╸` and `┈┈┈`, from the share done, 0 to 1."""
    width = max(width, 0)
    filled = int(_share(done) * width + 1e-9)
    head = glyphs.bar_head if _share(done) > 0 and filled < width else ""
    return glyphs.bar_done * filled + head, glyphs.bar_rest * (width - filled - len(head))


def meter(
    ours: float | None, others: float | None, total: float | None, width: int, glyphs: Glyphs = UNICODE
) -> tuple[str, str, str]:
    """Our part, the others' and what is free as `████`, `▓▓` and `░░░░`, from three amounts in one unit."""
    width = max(width, 0)
    whole = total if total is not None and math.isfinite(total) and total > 0 else math.inf
    mine = _cells((ours or 0.0) / whole, width)
    # Rounding the sum, not the part, keeps the end of the bar where the used share says.
    used = max(mine, _cells(((ours or 0.0) + (others or 0.0)) / whole, width))
    return glyphs.meter_ours * mine, glyphs.meter_others * (used - mine), glyphs.meter_rest * (width - used)


def share_bar(share: float | None, width: int, glyphs: Glyphs = UNICODE) -> tuple[str, str]:
    """A share from 0 to 1 and what is left of it as `████` and `░░░░`."""
    width = max(width, 0)
    filled = _cells(share or 0.0, width)
    return glyphs.meter_ours * filled, glyphs.meter_rest * (width - filled)


def _cells(share: float, width: int) -> int:
    return round(_share(share) * width)


def _share(share: float) -> float:
    return 0.0 if math.isnan(share) else min(max(share, 0.0), 1.0)
