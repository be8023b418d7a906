"""A program on a pseudo-terminal: its keys are pressed, and all that it writes is read, counted and timed."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from fedlora_tui.benchmarks.process import end_process
from fedlora_tui.benchmarks.processor_time import processor_seconds
from fedlora_tui.errors import UserError

WIDTH, HEIGHT = 120, 40
CHUNK = 65536
AGAIN_SECONDS = 1.0
LAST_SECONDS = 10.0
LOOK_SECONDS = 0.5
"""How often the processor time of the program's threads is read."""

SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)|\x1b.|[\x00-\x09\x0b-\x1f]", re.DOTALL)
KEPT = 4096
"""Bytes at the end of the output that are kept for the program's last words."""

SETTINGS = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
LEFT_OUT = ("COLUMNS", "LINES", "NO_COLOR", "SSH_CONNECTION", "TEXTUAL_COLOR_SYSTEM")
"""What would make the program draw otherwise, or seldomer, than on this terminal."""


@dataclass(frozen=True)
class Written:
    """What came in one piece: when, in seconds since 1970, and how many bytes."""

    t: float
    size: int


@dataclass(frozen=True)
class Worked:
    """Seconds of processor time that the console's threads had taken at a time, in seconds since 1970."""

    t: float
    seconds: float


class PseudoTerminal:
    """A program of this Python on a terminal: what it wrote so far, and the processor time that it took."""

    def __init__(
        self, name: str, arguments: Sequence[str], settings: Mapping[str, str], size: tuple[int, int] = (WIDTH, HEIGHT)
    ) -> None:
        self.name = name
        self.written: list[Written] = []
        self.worked: list[Worked] = []
        self._last = b""
        self._look_at = 0.0
        self._controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *reversed(size), 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in LEFT_OUT}
        try:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                env=environment | SETTINGS | dict(settings),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._controller)
            raise
        finally:
            os.close(terminal)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The program itself."""
        return self._process

    def press(self, keys: str) -> float:
        """Press keys; give the time just before, of time.perf_counter."""
        pressed = time.perf_counter()
        try:
            os.write(self._controller, keys.encode())
        except OSError:
            raise self._ended() from None
        return pressed

    def read(self, seconds: float, on_output: Callable[[bytes, float], bool] | None = None) -> bool:
        """Read for some seconds, or until `on_output` says that this was it; tell whether it did.

        It is given each piece and the time of its arrival, of time.perf_counter.
        Raises UserError where the program ends.
        """
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._look()
            if not select.select([self._controller], [], [], min(left, LOOK_SECONDS))[0]:
                continue
            piece = self._piece()
            arrived = time.perf_counter()
            if not piece:
                raise self._ended()
            if on_output is not None and on_output(piece, arrived):
                return True
        return False

    def leave(self, key: str) -> None:
        """Press a key that ends the program, again and again; read on until it did.

        The program may hear of the end of what it shows only after the first time. Raises UserError where it fails or
        stays.
        """
        again = time.perf_counter()
        end = again + LAST_SECONDS
        while time.perf_counter() < end:
            if time.perf_counter() >= again and self._process.poll() is None:
                self.press(key)
                again = time.perf_counter() + AGAIN_SECONDS
            if select.select([self._controller], [], [], LOOK_SECONDS)[0] and not self._piece():
                error = self._ended()
                if self._process.returncode:
                    raise error
                return
        raise UserError(f"{self.name} did not end after {key}")

    def close(self) -> None:
        """End the program, with all that it started."""
        if self._process.poll() is None:
            end_process(self._process)
        # Whoever reads on is told so: the number may be another file's by then.
        controller, self._controller = self._controller, -1
        os.close(controller)

    def _piece(self) -> bytes:
        """Read what is there; nothing once the program let go of the terminal."""
        try:
            piece = os.read(self._controller, CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            piece = b""
        if piece:
            self.written.append(Written(time.time(), len(piece)))
            self._last = (self._last + piece)[-KEPT:]
        return piece

    def _look(self) -> None:
        now = time.time()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        seconds = processor_seconds(self._process.pid)
        if seconds is not None:
            self.worked.append(Worked(now, seconds))

    def _ended(self) -> UserError:
        """Wait for a program that let go of the terminal; give the error that says how it ended."""
        try:
            self._process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            end_process(self._process)
        said = last_words(self._last)
        return UserError(f"{self.name} ended with status {self._process.returncode} and said: {said}")


@contextmanager
def pseudo_terminal(
    name: str,
    arguments: Sequence[str],
    settings: Mapping[str, str] = MappingProxyType({}),
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Iterator[PseudoTerminal]:
    """Run Python with some arguments on a terminal; whatever happens, the program does not outlive the block.

    `settings` are further variables of its environment, `size` is in columns and rows.
    """
    terminal = PseudoTerminal(name, arguments, settings, size)
    try:
        yield terminal
    finally:
        terminal.close()


def last_words(output: bytes) -> str:
    """Give the last line of text that a program wrote, without what moves and colours."""
    text = output.decode(errors="replace").replace("\r", "\n")
    # What goes on elsewhere on the screen is another line.
    lines = SEQUENCES.sub(lambda found: "" if found[0].endswith("m") else "\n", text).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


def rate(written: Sequence[Written], begin: float, end: float) -> float:
    """Give the bytes a second that came from `begin` to `end`."""
    return sum(piece.size for piece in written if begin <= piece.t < end) / (end - begin)


def share(worked: Sequence[Worked], begin: float, end: float) -> float | None:
    """Give the share of one processor that was taken from `begin` to `end`; None where fewer than two looks say."""
    looks = [look for look in worked if begin <= look.t <= end]
    if len(looks) < 2:
        return None
    return (looks[-1].seconds - looks[0].seconds) / (looks[-1].t - looks[0].t)
