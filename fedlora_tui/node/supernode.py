"""An organization's SuperNode as a child process: started on ports that are free, heard, started again, and ended.

It is the head of a process group, and its stdin ends with this process, however that ends: no process stays behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from fedlora_tui.config_places import to_literal

LOG = "supernode.log"
MOST_LOG_BYTES = 16 * 2**20
"""As long as the log grows before it begins anew; the one before it is kept beside it."""
COPIED_BYTES = 2**20
FLOWER_HOME = "flower"
CONFIG = "supernode.toml"
PROGRAM = "fedlora_tui.federation.supernode"

END_SECONDS, KILL_SECONDS, END_LOOK_SECONDS = 8.0, 5.0, 0.05
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 60.0
MOST_PORTS = 3
"""Another process may take a port between its being found free and its being used."""

CONNECTING, UP, DOWN, ENDED, HELD = "connecting", "up", "down", "ended", "held"
ENDS = (ENDED, HELD)
IN_USE = (
    "a node with this key is connected already: end that one; after a crash of this one the SuperLink lets it in again "
    "within half a minute"
)
HELD_WAIT = 5.0

NOT_LET_IN = "the SuperLink does not let this node in: its operator has to register this node's key there"
LET_IN_SECONDS = 10.0
"""How long a node asks again that is not let in: its key may be on its way to the server."""


@dataclass(frozen=True)
class Connection:
    """How a node reaches its SuperLink; `insecure`: without TLS and without a key."""

    superlink: str
    root_certificates: Path | None = None
    key: Path | None = None
    insecure: bool = False

    @property
    def options(self) -> list[str]:
        """What flower-supernode is told of it."""
        words = ["--superlink", self.superlink]
        words += ["--insecure"] if self.insecure else []
        words += ["--root-certificates", str(self.root_certificates)] if self.root_certificates else []
        return words + (["--auth-supernode-private-key", str(self.key)] if self.key else [])


@dataclass(frozen=True)
class Heard:
    """How the link stands now: connecting, up or down, and why."""

    state: str
    note: str = ""


class Refusing(Exception):
    """The SuperLink does not let this node in, or the SuperNode cannot work: there is no use in going on."""


class SuperNode:
    """The SuperNode's process, through as many starts as it takes."""

    def __init__(
        self, folder: Path, connection: Connection, own: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`own` are the node's own settings, which its app reads; its files lie in `folder`."""
        self._folder = folder
        self._connection = connection
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._states = -1
        self._unread = b""
        self._was_up = self._held = False
        self._started = 0.0
        self._starts = 0
        self._wait = SHORTEST_WAIT
        self._again: float | None = None
        self._refused: float | None = None
        self._last = ""
        settings = "".join(f"{name} = {to_literal(value)}\n" for name, value in own.items())
        _write_privately(folder / CONFIG, settings)

    @property
    def running(self) -> bool:
        """Tell whether its process is here."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start its process."""
        self._starts += 1
        self._started = self._clock()
        self._was_up, self._held, self._last, self._unread, self._again = False, False, "", b"", None
        self._states, told = os.pipe()
        os.set_blocking(self._states, False)
        command = [sys.executable, "-m", PROGRAM, str(told), *self._connection.options]
        command += ["--host", "127.0.0.1", "--port", str(free_port()), "--node-config", str(self._folder / CONFIG)]
        with _log(self._folder / LOG) as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
                pass_fds=(told,),
            )
        os.close(told)

    def look(self) -> list[Heard]:
        """Give what became of the link since the last look. Raises Refusing where the SuperNode cannot go on."""
        heard = self._hear()
        _keep_short(self._folder / LOG)
        if self._process is not None and not self.running:
            heard += [*self._hear(), *self._ended()]
        elif self._again is not None and self._clock() >= self._again:
            self.start()
        return heard

    def end(self) -> None:
        """End its process and all that it started, and wait for that."""
        self._again = None
        if self._process is None:
            return
        process, self._process = self._process, None
        _signal(process.pid, signal.SIGTERM)
        until = time.monotonic() + END_SECONDS
        # Its app is of its group, and may need a moment more than Flower itself.
        while (process.poll() is None or _lives(process.pid)) and time.monotonic() < until:
            time.sleep(END_LOOK_SECONDS)
        _signal(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_SECONDS)
        self._let_go(process)

    def _hear(self) -> list[Heard]:
        if self._states < 0:
            return []
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._states, 65536):
                self._unread += chunk
        *lines, self._unread = self._unread.split(b"\n")
        heard = [Heard(str(one["state"]), str(one["note"])) for one in map(json.loads, lines)]
        self._last = next((one.note for one in reversed(heard) if one.state in ENDS), self._last)
        self._held = self._held or any(one.state == HELD for one in heard)
        self._was_up = self._was_up or any(one.state == UP for one in heard)
        return [Heard(one.state, in_words(one.note)) for one in heard if one.state in (CONNECTING, UP, DOWN)]

    def _ended(self) -> list[Heard]:
        """The process ended by itself: start another after a while, or say why there is no use."""
        assert self._process is not None
        process, self._process = self._process, None
        _signal(process.pid, signal.SIGKILL)
        self._let_go(process)
        if self._held:
            self._starts, self._again = 0, self._clock() + HELD_WAIT
            return [Heard(DOWN, IN_USE)]
        why = in_words(self._last) or f"its SuperNode ended with status {process.returncode}; see {self._folder / LOG}"
        final = self._last and not _port_was_taken(self._last)
        if not self._was_up and not self._may_be_let_in(why) and (self._starts >= MOST_PORTS or final):
            raise Refusing(why)
        lasted = self._clock() - self._started > LONGEST_WAIT
        self._wait = SHORTEST_WAIT if lasted else min(2 * self._wait, LONGEST_WAIT)
        if self._was_up:
            self._starts, self._refused = 0, None
        self._again = self._clock() + self._wait
        return [Heard(DOWN, f"{why}; started again in {self._wait:g} s")]

    def _may_be_let_in(self, why: str) -> bool:
        """Tell whether a node that was not let in asks again."""
        if why != NOT_LET_IN:
            return False
        self._refused = self._clock() if self._refused is None else self._refused
        return self._clock() - self._refused < LET_IN_SECONDS

    def _let_go(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()
        if self._states >= 0:
            os.close(self._states)
            self._states = -1

    def _environment(self) -> dict[str, str]:
        """Give what its processes find around them: our own programs first, and nothing that calls home."""
        home = self._folder / FLOWER_HOME
        home.mkdir(exist_ok=True)
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        own = {
            "PATH": path,
            "FLWR_HOME": str(home.absolute()),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        }
        return {**os.environ, "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1", **own}


def in_words(note: str) -> str:
    """Say why a link is down in the words of who can put it right; what is not known stays as Flower says it."""
    low = note.lower()
    if "certificate" in low and ("mismatch" in low or "not valid for" in low or "doesn't match" in low):
        return "the SuperLink's certificate is for another name: give --superlink a name that stands in it"
    if "certificate has expired" in low:
        return "the SuperLink's certificate has expired: its operator has to renew it"
    if "certificate verify failed" in low:
        return "the SuperLink's certificate is not signed by the authority in --root-certificates"
    if "wrong version number" in low or "record layer failure" in low:
        return "the SuperLink speaks no TLS: is it started with --insecure, or is this another port"
    if "failed to activate supernode" in low or "unauthorized" in low or "401" in low or "not registered" in low:
        return NOT_LET_IN
    if "server disconnected without sending a response" in low:
        return "what listens there gives no answer; where it asks for TLS, --insecure does not go"
    if "refused" in low and "errno" in low:
        return "nobody listens there"
    if "name or service not known" in low or "temporary failure in name resolution" in low:
        return "there is no machine of this name"
    if _port_was_taken(note):
        return "its port was taken by another process"
    for noise in ("Exit Code: 305", "Failed to initialize the connection to the SuperLink."):
        note = note.replace(noise, "")
    return note.partition("For more information, visit")[0].strip()


def _port_was_taken(note: str) -> bool:
    """Tell whether Flower's note says that the port it was given could not be bound."""
    # Why its API failed stands in the log alone; the port is all that it is given.
    return "HTTP API failed to start" in note


def free_port() -> int:
    """Give a port of loopback that nobody listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _signal(group: int, kind: int) -> None:
    """Send a signal to a process group, if anybody is there yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, kind)


def _lives(group: int) -> bool:
    """Tell whether anybody of a process group is at work; who is dead and waits to be taken away is not."""
    for one in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if one.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(one.pid) == group:
                return True
    return False


def _log(path: Path) -> IO[bytes]:
    """Open the log to append to, readable by its owner alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _keep_short(path: Path) -> None:
    """Put aside the end of a log that grew too long, and empty it; nothing is put aside where there is no room.

    The processes that write it have it open, so it stays the same file: they append, from its new beginning on.
    """
    with contextlib.suppress(OSError):
        size = path.stat().st_size
        if size <= MOST_LOG_BYTES:
            return
        aside = path.with_suffix(".log.1")
        with path.open("r+b") as log:
            try:
                log.seek(size - MOST_LOG_BYTES)
                _copy(log, aside)
            except OSError:
                aside.unlink(missing_ok=True)
            log.truncate(0)


def _copy(log: IO[bytes], aside: Path) -> None:
    """Copy the rest of a log, with what is written meanwhile, to where only its owner can read it."""
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as kept:
        while (some := log.read(COPIED_BYTES)) and kept.tell() < 2 * MOST_LOG_BYTES:
            kept.write(some)


def _write_privately(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
