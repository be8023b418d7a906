"""ledger.jsonl: the append-only journal of an organization's node, written by its processes in turn and synced.

The node's own process tells of the link there, and each process that answers a message tells of that: a lock on the
file keeps their lines apart, and numbers them without holes.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fedlora_tui.engine.journal import end_of_last_line
from fedlora_tui.engine.synced import sync_names
from fedlora_tui.errors import UserError
from fedlora_tui.node.events import NodeEvent, NodeRecord, from_line, to_line

NAME = "ledger.jsonl"


class NodeJournal:
    """One process's hand on a node's ledger; readable by its owner alone."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Open the ledger of a folder that is there. Raises OSError."""
        self._path = folder / NAME
        self._clock = clock
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Where the file stood after this process's last line, and that line's number.
        self._last: tuple[int, int] = (-1, -1)
        if not os.fstat(self._descriptor).st_size:
            # A line is there no sooner than the ledger's name is, and that of its folder.
            sync_names(folder)

    def append(self, event: NodeEvent) -> NodeRecord:
        """Write one event, and wait until it is on the disk. Raises OSError where it is not."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            size = self._mended()
            number = self._last[1] if size == self._last[0] else _last_number(self._descriptor, size)
            record = NodeRecord(number + 1, self._clock(), event)
            line = (to_line(record) + "\n").encode()
            if os.fstat(self._descriptor).st_nlink == 0:
                raise OSError(errno.ENOENT, "the ledger was removed while the node went on", str(self._path))
            if os.write(self._descriptor, line) != len(line):
                os.ftruncate(self._descriptor, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(self._descriptor)
            self._last = size + len(line), record.seq
            return record
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; nothing can be appended after."""
        os.close(self._descriptor)

    def _mended(self) -> int:
        """Cut off a last line that a crash tore; give the file's size."""
        size = os.fstat(self._descriptor).st_size
        whole = end_of_last_line(self._descriptor, size)
        if whole < size:
            os.ftruncate(self._descriptor, whole)
        return whole


def _last_number(descriptor: int, size: int) -> int:
    """Give the number of the last line, -1 where there is none."""
    if not size:
        return -1
    start = end_of_last_line(descriptor, size - 1)
    try:
        return int(json.loads(os.pread(descriptor, size - start, start))["seq"])
    except (ValueError, KeyError, TypeError):
        raise OSError(errno.EIO, "the ledger's last line is none that was written for it") from None


class LedgerReader:
    """A reader of a ledger that grows: each look gives what came since the last one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._read = 0
        self._lines = 0

    def look(self) -> list[NodeRecord]:
        """Give the new records, oldest first, those of unknown kinds left out. Raises UserError for a broken line."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return list(self._parsed(whole))

    def _parsed(self, whole: bytes) -> Iterator[NodeRecord]:
        for line in whole.splitlines():
            self._lines += 1
            try:
                record = from_line(line.decode("utf-8"))
            except ValueError as error:
                raise UserError(f"{self._path}:{self._lines}: {error}") from None
            if record is not None:
                yield record


def read_ledger(folder: Path) -> list[NodeRecord]:
    """Read a whole ledger, oldest first. Raises UserError where there is none or a line is broken."""
    if not (folder / NAME).is_file():
        raise UserError(f"{folder}: no ledger of a node is here; name a node's folder with --folder")
    return LedgerReader(folder).look()
