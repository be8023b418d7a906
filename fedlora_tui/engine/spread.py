"""How organizations' updates are spread over the modules, as events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from fedlora_tui.aggregation.products import Update
from fedlora_tui.protocol.events import UpdateMeasured

MOST_MODULES = 24
"""Of how many modules, those with the largest shares, one event tells."""

DIGITS = 6
"""The decimals of a share or a cosine: more would be most of a journal's bytes."""

MOST_ORGANIZATIONS = 64
"""With more organizations in a round nothing is told: a journal would be made of little else."""


def by_module(number: int, moved: Mapping[str, Update]) -> Iterator[UpdateMeasured]:
    """Tell of each update of round `number` which share of its squared length is in which module, the largest first."""
    if len(moved) > MOST_ORGANIZATIONS:
        return
    for name, update in moved.items():
        whole = update.norm**2
        if not whole or not math.isfinite(whole):
            continue
        shares = {module: norm**2 / whole for module, (norm, _) in update.modules.items()}
        largest = sorted(shares, key=lambda module: -shares[module])[:MOST_MODULES]
        told = {module: round(shares[module], DIGITS) for module in largest}
        cosines = {module: round(update.modules[module][1], DIGITS) for module in largest}
        yield UpdateMeasured(name, number, told, cosines, len(shares))
