"""One writer a run: a lock on a file in the run's folder, which says who holds it, and what its journal cannot."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fedlora_tui.errors import UserError
from fedlora_tui.protocol.naming import called

NAME = "lock"
TRIES, BETWEEN = 10, 0.05
"""Who asks whether a folder is being written holds its lock for an instant: a writer tries again for so long."""


@dataclass(frozen=True)
class Holder:
    """The process that writes a run; `since` is in seconds since the epoch.

    `waits`: the run is paused because its journal cannot be written, and so cannot say it.
    """

    pid: int
    host: str
    since: float
    waits: bool = False

    @property
    def words(self) -> str:
        """Name it in a sentence."""
        return f"pid {self.pid} on {self.host} since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.since))}"

    @property
    def line(self) -> bytes:
        """Write it, always in as many bytes for the same process."""
        return json.dumps({**asdict(self), "waits": int(self.waits)}).encode()


class Lock:
    """The right to write a run, held until it is closed or its process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises UserError where another holds it, and OSError where there can be none."""
        # Opened without cutting it: it says who holds it.
        self._path = folder / NAME
        self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        try:
            take(self._file.fileno())
        except BlockingIOError:
            self._file.close()
            raise UserError(refusal(folder)) from None
        self._holder = Holder(os.getpid(), socket.gethostname(), round(time.time(), 3))
        with suppress(OSError):  # a full disk is no reason not to hold it: it is then held by nobody known
            self._file.truncate(0)
            os.write(self._file.fileno(), self._holder.line)

    @property
    def stands(self) -> bool:
        """False where its file was removed since, or is another one: then it keeps nobody out."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def tell(self, *, waits: bool) -> None:
        """Say whether the run waits for its journal: in as many bytes as before, for which a full disk has room."""
        self._holder = replace(self._holder, waits=waits)
        with suppress(OSError, ValueError):
            os.pwrite(self._file.fileno(), self._holder.line, 0)

    def close(self) -> None:
        """Let another write the run."""
        self._file.close()


def take(descriptor: int) -> None:
    """Take the lock on an open file for this process alone. Raises BlockingIOError where another holds it."""
    for _ in range(TRIES - 1):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(BETWEEN)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def held(folder: Path) -> bool:
    """Tell whether a run, or a node's ledger, is being written now."""
    try:
        file = (folder / NAME).open("rb")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def holder(folder: Path) -> Holder | None:
    """Give who took the lock last; None where nobody knows."""
    try:
        told = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return Holder(int(told["pid"]), str(told["host"]), float(told["since"]), bool(told.get("waits")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def refusal(folder: Path) -> str:
    """Say who writes a run, and how to look at it."""
    who = holder(folder)
    by = f"is being written by {who.words}" if who else "is being written by another process"
    return f"run {folder.name} {by}: fedlora-tui attach {called(folder)} shows it"
