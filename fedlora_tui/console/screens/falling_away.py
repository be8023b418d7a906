"""What of a dialog falls away on a small terminal, and in which order; its keys never do."""

from __future__ import annotations

from collections.abc import Sequence

from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import width_of

KEY = "yours_bold"
BLANK, SAID, CHOSEN, COMPLAINT, KEYS = range(5)
STAYING = ("esc", "enter")
"""The keys that are named as long as there is room for any."""


def kept(content: Sequence[Sequence[Words]], rows: int) -> list[Sequence[Words]]:
    """Give the lines that `rows` have room for.

    Blank lines fall away first, then what is only said, then what is chosen, then why something cannot be; the lowest
    of a kind before the others. The keys, which stand last, never do.
    """
    kinds = [_kind(line) for line in content]
    last = max((place for place, kind in enumerate(kinds) if kind != BLANK), default=-1)
    if last >= 0:
        kinds[last] = KEYS
    falls = sorted(range(len(content)), key=lambda place: (kinds[place], -place))
    gone = set(falls[: max(0, len(content) - max(1, rows))])
    return [line for place, line in enumerate(content) if place not in gone]


def keys_within(line: Sequence[Words], width: int) -> list[Words]:
    """Give a line of keys and what they do in `width` cells: enter and esc are the last to fall away."""
    if width_of(*line) <= width:
        return list(line)
    pairs = _pairs(line)
    while len(pairs) > 1 and _width(pairs) > width:
        moving = [pair for pair in pairs if _key(pair) not in STAYING]
        pairs.remove(moving[-1] if moving else pairs[-2 if _key(pairs[-1]) == "esc" else -1])
    return [part for pair in pairs for part in pair]


def _kind(line: Sequence[Words]) -> int:
    styles = {part[1] for part in line if not isinstance(part, str) and part[0].strip()}
    if "care" in styles:
        return COMPLAINT
    if KEY in styles:
        return CHOSEN
    return SAID if any((part if isinstance(part, str) else part[0]).strip() for part in line) else BLANK


def _pairs(line: Sequence[Words]) -> list[list[Words]]:
    """Divide a line into keys, each with what it does behind it; what stands before the first one is left out."""
    pairs: list[list[Words]] = []
    for part in line:
        if not isinstance(part, str) and part[1] == KEY and part[0].strip():
            pairs.append([part])
        elif pairs:
            pairs[-1].append(part)
    return pairs


def _key(pair: Sequence[Words]) -> str:
    return pair[0] if isinstance(pair[0], str) else pair[0][0]


def _width(pairs: Sequence[Sequence[Words]]) -> int:
    """Give the cells of pairs; the gap behind the last one is none."""
    last = pairs[-1][-1]
    words = last if isinstance(last, str) else last[0]
    return sum(width_of(*pair) for pair in pairs) - (len(words) - len(words.rstrip()))
