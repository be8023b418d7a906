"""What stands behind an option of the command line, read: numbers, lists, words that are known."""

from __future__ import annotations

import math

from fedlora_tui.config import RULES
from fedlora_tui.errors import UserError

MOST_DIGITS = 18


def positive(text: str) -> int:
    """Read a whole number from 1. Raises UserError."""
    if not _whole(text) or int(text) < 1:
        raise UserError("allowed is a whole number from 1, like 5")
    return int(text)


def count(text: str) -> int:
    """Read a whole number from 0. Raises UserError."""
    if not _whole(text):
        raise UserError("allowed is a whole number from 0, like 10")
    return int(text)


def which_round(text: str) -> str:
    """Read which round is meant: latest, best, or its number. Raises UserError."""
    if text not in ("latest", "best") and not _whole(text):
        raise UserError("allowed is latest, best, or the number of a finished round, like 5")
    return text


def speed(text: str) -> float:
    """Read how many times as fast a replay goes, or max. Raises UserError."""
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0 or (math.isinf(speed) and text != "max"):
        raise UserError("allowed is a number above 0, like 4, or max for as fast as it goes")
    return speed


def numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers from 1 with commas between them, or none. Raises UserError."""
    if text == "none":
        return ()
    parts = text.split(",")
    if not all(_whole(part) and int(part) >= 1 for part in parts):
        raise UserError("allowed are whole numbers from 1 with commas between them, like 1,4,16, or none")
    return tuple(dict.fromkeys(map(int, parts)))


def rates(text: str) -> tuple[float, ...]:
    """Read learning rates with commas between them. Raises UserError."""
    try:
        rates = tuple(float(part) for part in text.split(","))
    except ValueError:
        rates = ()
    if not rates or not all(0.0 < rate <= 10.0 for rate in rates):
        raise UserError("allowed are learning rates with commas between them, like 5e-3,1e-2")
    return rates


def partitions(text: str) -> tuple[str, ...]:
    """Read ways to deal text out, with commas between them. Raises UserError."""
    known = RULES["data.partition"].words
    kinds = tuple(dict.fromkeys(text.split(",")))
    if not set(kinds) <= set(known):
        raise UserError(f"allowed are {', '.join(known)}, with commas between them")
    return kinds


def methods(text: str) -> tuple[str, ...]:
    """Read aggregation methods with commas between them, or all. Raises UserError."""
    known = RULES["federation.aggregation"].words
    methods = known if text == "all" else tuple(dict.fromkeys(text.split(",")))
    if not set(methods) <= set(known):
        raise UserError(f"allowed are all, or {', '.join(known)} with commas between them")
    return methods


def _whole(text: str) -> bool:
    """Tell whether a text is a whole number, and not so long that Python would not read it."""
    return text.isdecimal() and len(text) <= MOST_DIGITS
