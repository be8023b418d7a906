"""Where the parts of the screen for trying a text stand: models side by side, or behind tabs where it is small."""

from __future__ import annotations

from dataclasses import dataclass

from fedlora_tui.console.layout import LAST_ROWS, LEAST_HEIGHT, LEAST_WIDTH, NORMAL_HEIGHT, NORMAL_WIDTH
from fedlora_tui.console.trying import MOST_READY

HEAD_ROWS = 2
TABLE_ROWS = 5
"""The table of losses: its rule, its head and a row a model."""

BESIDE_WORDS = 8
"""Rows of an answer that are none of its words, where models stand side by side."""

FEWEST_WORDS = 5


@dataclass(frozen=True)
class TryLayout:
    """The rows of each part, 0 where it is left out; `words` are those of an answer alone."""

    tabs: bool
    typed: int = 0
    answers: int = 0
    words: int = 0
    table: int = 0
    prompts: int = 0
    too_small: bool = False


def arrange_try(width: int, height: int, ready: int) -> TryLayout:
    """Divide a terminal, for so many texts that are ready."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return TryLayout(tabs=True, too_small=True)
    if width < NORMAL_WIDTH or height < NORMAL_HEIGHT:
        return _behind_tabs(height)
    typed, table = 5, TABLE_ROWS + 1
    free = height - HEAD_ROWS - typed - table - LAST_ROWS - BESIDE_WORDS
    prompts = min(ready, MOST_READY) + 2
    if free - prompts < FEWEST_WORDS:
        prompts = 0
    words = free - prompts
    return TryLayout(False, typed, words + BESIDE_WORDS, words, table, prompts)


def _behind_tabs(height: int) -> TryLayout:
    """Divide a small terminal: one answer at a time; losses stay as long as there is room for them."""
    typed = 3
    free = height - HEAD_ROWS - typed - 1 - LAST_ROWS
    table = TABLE_ROWS if free - TABLE_ROWS >= 3 else 0
    free -= table
    if free >= 5:
        typed, free = typed + 1, free - 1
    speed = int(free >= 2)
    return TryLayout(True, typed, 1 + free, free - speed, table)
