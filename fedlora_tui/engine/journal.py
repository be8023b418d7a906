"""events.jsonl: append a line, read it back, follow it while it grows."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from fedlora_tui.errors import UserError
from fedlora_tui.protocol.events import NewerVersion, Record, from_json

NAME = "events.jsonl"
BLOCK = 1 << 16


class Journal:
    """The one writer of a run's events; every line is handed to the system before anyone else sees the event.

    `mended` are the bytes of a last line, torn by a crash, that were cut off when the file was opened.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file = self._path.open("ab", buffering=0)
        self._descriptor = self._file.fileno()
        self.mended = self._mend()

    def append(self, record: Record) -> None:
        """Write one record as one line, whole or not at all. Raises OSError where the disk takes no more."""
        line = (record.line + "\n").encode()
        if os.fstat(self._descriptor).st_nlink == 0:
            raise OSError(errno.ENOENT, "the file was removed while the run went on", str(self._path))
        before = self._file.seek(0, os.SEEK_END)
        if self._file.write(line) != len(line):
            self._file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def sync(self) -> None:
        """Wait until what was appended is on the disk. Raises OSError."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; nothing can be appended after."""
        self._file.close()

    def _mend(self) -> int:
        """Cut the file back to its last whole line; give how many bytes that took."""
        size = self._file.seek(0, os.SEEK_END)
        with self._path.open("rb") as lines:
            whole = end_of_last_line(lines.fileno(), size)
        if whole < size:
            self._file.truncate(whole)
        return size - whole


def end_of_last_line(descriptor: int, size: int) -> int:
    """Give the place after the last line end of a file, looking from its end."""
    at = size
    while at > 0:
        start = max(0, at - BLOCK)
        found = os.pread(descriptor, at - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0


def read(folder: Path) -> Iterator[Record]:
    """Read a run's events, oldest first; a last line that was torn by a crash is left out.

    Raises UserError where a newer version wrote a line, ValueError for a line that no version wrote, and
    FileNotFoundError where there is no journal.
    """
    for number, line in enumerate(whole_lines(folder), 1):
        yield parsed(line, folder, number)


def since(folder: Path, number: int) -> list[Record]:
    """Read the events after the one of a number, oldest first, and nothing before it; errors are those of `read`."""
    newer = list[Record]()
    for line in lines_from_end(folder):
        record = parsed(line, folder)
        if record.seq <= number:
            break
        newer.append(record)
    return newer[::-1]


def whole_lines(folder: Path) -> Iterator[bytes]:
    """Give a journal's lines as they stand now, without their ends; a last one that has no end is left out."""
    with (folder / NAME).open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                # It is being written: who read on would take its rest for a line of its own.
                return
            yield line[:-1]


def parsed(line: bytes, folder: Path, number: int | None = None) -> Record:
    """Read one line; errors are those of `read`."""
    try:
        return from_json(line.decode("utf-8"))
    except NewerVersion as newer:
        place = folder / NAME if number is None else f"{folder / NAME}:{number}"
        raise UserError(f"{place}: {newer}; upgrade fedlora-tui to read this run") from None


class Follower:
    """A reader of a journal that grows: each look gives what came since the last one, and reads nothing twice.

    Any number of them may follow one journal. A line that is being written is left for the next look, and so is one
    that was torn: when its run goes on, it is cut off and another stands there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = 0

    def look(self) -> list[Record]:
        """Give the new records, oldest first; errors are those of `read`."""
        with (self._folder / NAME).open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        records = [parsed(line, self._folder) for line in whole.splitlines(keepends=True)]
        self._read += len(whole)
        return records


def lines_from_end(folder: Path) -> Iterator[bytes]:
    """Give a journal's whole lines from the newest to the oldest, reading no more of it than is asked for."""
    with (folder / NAME).open("rb") as file:
        at = end_of_last_line(file.fileno(), file.seek(0, os.SEEK_END))
        rest = b""
        while at > 0:
            start = max(0, at - BLOCK)
            file.seek(start)
            first, *whole = (file.read(at - start) + rest).split(b"\n")
            yield from (line for line in reversed(whole) if line)
            at, rest = start, first
        if rest:
            yield rest
