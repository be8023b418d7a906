"""Where a reader stands in an answer that is longer than its room, and that may still grow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate


class Reading:
    """The first line in sight: the end is followed until the reader scrolls, and again once the end is in sight.

    It is kept as how many letters stand before it, so that an answer which grows, or is broken otherwise in another
    width, does not move from under the reader.
    """

    def __init__(self) -> None:
        self._before: int | None = None

    @property
    def follows(self) -> bool:
        """True while the end is followed."""
        return self._before is None

    def top(self, lines: Sequence[str], rows: int) -> int:
        """Give the place of the first of so many rows in sight."""
        last = max(0, len(lines) - rows)
        if self._before is None:
            return last
        ends = accumulate(map(_letters, lines))
        return min(last, next((place for place, end in enumerate(ends) if end > self._before), last))

    def move(self, direction: str, lines: Sequence[str], rows: int) -> bool:
        """Scroll up, down, page_up, page_down, first or last; False where all is in sight."""
        last = len(lines) - rows
        if last <= 0:
            return False
        steps = {"up": -1, "down": 1, "page_up": -rows, "page_down": rows, "first": -len(lines), "last": len(lines)}
        top = max(0, self.top(lines, rows) + steps[direction])
        self._before = None if top >= last else sum(map(_letters, lines[:top]))
        return True


def _letters(line: str) -> int:
    return len("".join(line.split()))
