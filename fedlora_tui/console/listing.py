"""The list of all runs, read in a thread: a folder may hold many, on a disk that takes its time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from fedlora_tui.protocol.handle import ListedRun, ListRuns


class Listing:
    """What the list said last; `runs` is None until it was read once, `trouble` why it could not be."""

    def __init__(self, read: ListRuns) -> None:
        self.place = read.place
        self.runs: Sequence[ListedRun] | None = None
        self.trouble = ""
        self._read = read
        self._reader: threading.Thread | None = None

    @property
    def reading(self) -> bool:
        """True while it is being read."""
        return self._reader is not None and self._reader.is_alive()

    def begin(self) -> None:
        """Read it anew, unless that is under way."""
        if not self.reading:
            self._reader = threading.Thread(target=self._look, name="listing", daemon=True)
            self._reader.start()

    def _look(self) -> None:
        try:
            runs, trouble = tuple(self._read()), ""
        except Exception as error:
            runs, trouble = (), f"the runs cannot be listed: {error}"
        self.runs, self.trouble = runs, trouble
