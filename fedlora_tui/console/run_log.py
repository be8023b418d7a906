"""What the log of a run tells, from its beginning, as far back as there is room for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.state import NOT_LOGGED

MOST = 5000
"""The most records that are kept: a few megabytes."""


class RunLog:
    """The records, the oldest first; `count` is how many there were, `beginnings` how often they began anew."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=MOST)
        self.count = 0
        self.beginnings = 0

    @property
    def capped(self) -> bool:
        """True where there were more than are kept."""
        return self.count > len(self._records)

    def add(self, record: Record) -> None:
        """Take in a record, unless it is of a kind that no log tells."""
        if not isinstance(record.event, NOT_LOGGED):
            self._records.append(record)
            self.count += 1

    def begin_anew(self, records: Iterable[Record]) -> None:
        """Forget what was told, and tell these: a replay goes back."""
        self._records.clear()
        self.count = 0
        self.beginnings += 1
        for record in records:
            self.add(record)

    def since(self, count: int) -> list[tuple[int, Record]]:
        """Give the records behind the first so many, as far as they are kept, each with its number."""
        first = self.count - len(self._records)
        skipped = max(0, count - first)
        return list(enumerate(islice(self._records, skipped, None), first + skipped))
