"""The end of a log file that another process writes: read on as it grows, a bounded part of it kept."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

from fedlora_tui.protocol.printable import printable

MOST_BYTES = 256 * 1024
"""As much is read at once at most: where more was written, what came before it is passed over."""

MOST_LINES = 2000
MOST_COLUMNS = 2000
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
"""What terminals take as a command: it would do something to this one, too."""


class LogFile:
    """The last lines of a file.

    `lines` are the newest of them, `first` is the number of the first one since this began to read, `capped` is True
    where the file has more before it, and `trouble` is why there are none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self.first = 0
        self.trouble = ""
        self.capped = False
        self._at: int | None = None
        self._rest = b""

    def look(self) -> None:
        """Read what came since the last look; a file that has become shorter is read anew."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                begin = size - MOST_BYTES if self._at is None or self._at > size else max(self._at, size - MOST_BYTES)
                begin = max(0, begin)
                if begin != self._at:
                    self._begin_anew(begin)
                file.seek(begin)
                some = file.read(MOST_BYTES)
        except OSError as error:
            self.trouble = f"{self.path}: {error.strerror or error}"
            return
        self.trouble = ""
        self._at = begin + len(some)
        self._take(some)

    def _begin_anew(self, begin: int) -> None:
        """Forget what was read: what follows does not go on from there."""
        self.first += len(self.lines)
        self.lines.clear()
        self._rest = b""
        self._at = begin
        self.capped = begin > 0

    def _take(self, some: bytes) -> None:
        *whole, self._rest = (self._rest + some).split(b"\n")
        if len(self._rest) > MOST_BYTES:
            whole, self._rest = [*whole, self._rest], b""
        for line in whole:
            full = len(self.lines) == MOST_LINES
            self.first, self.capped = self.first + full, self.capped or full
            self.lines.append(plain(line.decode("utf-8", errors="replace")))


def plain(line: str) -> str:
    """Give a line as it can be shown: no commands to a terminal, of a progress bar its last state, and not endless."""
    line = _SEQUENCE.sub("", line.rstrip("\r").rpartition("\r")[2]).expandtabs(4)
    return printable(line[:MOST_COLUMNS])
