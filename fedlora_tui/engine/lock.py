"""One writer a run: a lock on a file in the run's folder, which says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fedlora_tui.errors import UserError
from fedlora_tui.protocol.naming import called

NAME = "lock"
TRIES, BETWEEN = 10, 0.05
"""Who asks whether a run is being written holds the lock for an instant: a writer tries again for so long."""


@dataclass(frozen=True)
class Holder:
    """The process that writes a run; `since` is in seconds since the epoch."""

    pid: int
    host: str
    since: float

    @property
    def words(self) -> str:
        """Name it in a sentence."""
        return f"pid {self.pid} on {self.host} since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.since))}"


class Lock:
    """The right to write a run, held until it is closed or its process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises UserError where another holds it, and OSError where there can be none."""
        self._file = (folder / NAME).open("a+b", buffering=0)
        for attempt in range(TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt == TRIES - 1:
                    self._file.close()
                    raise UserError(refusal(folder)) from None
                time.sleep(BETWEEN)
            else:
                break
        with suppress(OSError):  # a full disk is no reason not to hold it: it is then held by nobody known
            self._file.truncate(0)
            self._file.write(
                json.dumps(asdict(Holder(os.getpid(), socket.gethostname(), round(time.time(), 3)))).encode()
            )

    def close(self) -> None:
        """Let another write the run."""
        self._file.close()


def held(folder: Path) -> bool:
    """Tell whether a run is being written now."""
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
        return Holder(int(told["pid"]), str(told["host"]), float(told["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def refusal(folder: Path) -> str:
    """Say who writes a run, and how to look at it."""
    who = holder(folder)
    by = f"is being written by {who.words}" if who else "is being written by another process"
    return f"run {folder.name} {by}: fedlora-tui attach {called(folder)} shows it"
