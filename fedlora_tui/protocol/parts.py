"""What events are made of where a field holds more than one value: a GPU, a change that waits, counts of a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Waiting:
    """A change that was taken and acts at the start of `round`; `before` is what a setting stood at."""

    command: str
    value: Any
    round: int
    before: Any = None


@dataclass(frozen=True)
class Gpu:
    """One accelerator as the driver and torch see it; what has no source is None. Memory in bytes, power in watts."""

    name: str
    index: int
    memory_used: int | None = None
    memory_total: int | None = None
    memory_ours: int | None = None
    busy: float | None = None
    celsius: float | None = None
    watts: float | None = None
    watts_limit: float | None = None


@dataclass(frozen=True)
class TextCounts:
    """What else may be told of an organization's text, in counts alone.

    `dropped` counts by reason what could not be used. `longest` are the tokens of the longest document to train on,
    `kinds` how many tokens of the vocabulary occur, `rows` how many rows there are to train on, and `filled` which
    share of their places holds a token.
    """

    dropped: Mapping[str, int]
    longest: int
    kinds: int
    rows: int
    filled: float | None
