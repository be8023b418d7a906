"""The console on a real pseudo-terminal: it paints, answers keys, is silent at rest, and gives the terminal back."""

from __future__ import annotations

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
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "flows" / "scripted_run.py"
PATIENCE = 120.0
"""Seconds after which what is waited for is thought never to come."""

RGB = re.compile(rb"\x1b\[[0-9;]*[34]8;2;")


class Terminal:
    """A program on a pseudo-terminal of 120x40, and all it wrote."""

    def __init__(self, environment: dict[str, str], *flags: str, folder: Path | None = None) -> None:
        self.controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.mode = termios.tcgetattr(terminal)
        self.terminal = terminal
        self.written = b""
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--cpu", *flags],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**kept, "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), **environment},
            cwd=folder,
            start_new_session=True,
        )

    def read(self, seconds: float) -> bytes:
        """Read what comes within so many seconds."""
        end, came = time.monotonic() + seconds, b""
        while (left := end - time.monotonic()) > 0:
            if select.select([self.controller], [], [], left)[0]:
                came += os.read(self.controller, 65536)
        self.written += came
        return came

    def read_until(self, words: str, seconds: float = PATIENCE) -> None:
        """Read until words were written, and fail when they were not."""
        end = time.monotonic() + seconds
        while words.encode() not in self.written:
            assert time.monotonic() < end, f"{words!r} was not written; the end was {self.written[-500:]!r}"
            self.read(0.1)

    def read_until_silent(self, seconds: float) -> None:
        """Read until so many seconds long nothing is written, and fail when something always is."""
        end = time.monotonic() + PATIENCE
        while self.read(seconds):
            assert time.monotonic() < end, "it goes on writing"

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.controller, keys.encode())

    def close(self) -> None:
        """End the program where it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.controller)
        os.close(self.terminal)


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    opened = Terminal(getattr(request, "param", {"TERM": "xterm-256color", "COLORTERM": "truecolor"}))
    yield opened
    opened.close()


def test_a_run_from_the_first_frame_to_the_ordinary_screen(terminal: Terminal) -> None:
    terminal.read_until("training")
    assert RGB.search(terminal.written)
    terminal.press(" ")
    terminal.read_until("nothing lost")
    terminal.read_until_silent(2.0)
    terminal.press("q")
    terminal.read_until("leave?")
    terminal.press("s")
    terminal.read_until("is stopped (stopped by the operator)")
    assert terminal.process.wait(timeout=PATIENCE) == 0
    assert "left: stop" in terminal.written.decode()
    assert termios.tcgetattr(terminal.terminal) == terminal.mode
    assert b"\x1b[?1049l" in terminal.written, "the ordinary screen is back"
