"""events.jsonl: append a line, read it back."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from fedlora_tui.protocol.events import Record, from_json, to_json

NAME = "events.jsonl"


class Journal:
    """The one writer of a run's events; every line is handed to the system before anyone else sees the event."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / NAME).open("ab", buffering=0)

    def append(self, record: Record) -> None:
        """Write one record as one line, whole or not at all. Raises OSError where the disk takes no more."""
        line = (to_json(record) + "\n").encode()
        before = self._file.seek(0, os.SEEK_END)
        if self._file.write(line) != len(line):
            self._file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)

    def close(self) -> None:
        """Close the file; nothing can be appended after."""
        self._file.close()


def read(folder: Path) -> Iterator[Record]:
    """Read a run's events, oldest first; a last line that was torn by a crash is left out.

    Raises ValueError for a line that no version wrote, and FileNotFoundError where there is no journal.
    """
    with (folder / NAME).open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield from_json(line.decode("utf-8"))
