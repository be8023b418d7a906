"""A real terminal for tests: one tmux server of its own, a screen that can be read, keys that can be pressed."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MARK = "STARTED_IN_TEST_TERMINAL"
"""Is in the environment of all that a terminal starts."""

NUMBERS = itertools.count()

PATIENCE = 120.0
"""Seconds after which a screen that never came is an error; no test depends on how soon it comes."""


class Terminal:
    """One tmux session in which a program runs."""

    def __init__(self, socket: str) -> None:
        self._socket = socket

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(["tmux", "-L", self._socket, *words], capture_output=True, text=True, check=True)
        return done.stdout

    def open(self, command: str, width: int, height: int, environment: dict[str, str]) -> None:
        """Start a command in a new terminal of this size; its shell stays when the command ends."""
        marked = environment | {MARK: self._socket}
        settings = [word for name, value in marked.items() for word in ("-e", f"{name}={value}")]
        size = ["-x", str(width), "-y", str(height)]
        self._tmux("-f", "/dev/null", "new-session", "-d", "-s", "main", *size, *settings, "/bin/sh")
        self._tmux("set-option", "-g", "history-limit", "5000")
        self.press(command, "Enter")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        self._tmux("send-keys", "-t", "main", *keys)

    def resize(self, width: int, height: int) -> None:
        """Change the terminal's size."""
        self._tmux("resize-window", "-t", "main", "-x", str(width), "-y", str(height))

    def screen(self) -> str:
        """Read what the screen shows."""
        return self._tmux("capture-pane", "-p", "-t", "main")

    def wait_for(self, shown: str | Callable[[str], bool]) -> str:
        """Wait until the screen shows a text (or is as wanted), and give the screen."""
        wanted = shown if callable(shown) else (lambda screen: shown in screen)
        end = time.monotonic() + PATIENCE
        while not wanted(screen := self.screen()):
            if time.monotonic() > end:
                raise AssertionError(f"never shown: {shown}\n{screen}")
            time.sleep(0.05)
        # A frame may come in pieces, and what is looked for stand in the first of them.
        time.sleep(0.1)
        return later if wanted(later := self.screen()) else screen

    def close(self) -> None:
        """End the server and all that runs in it; what left the terminal, as runs do, goes on."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._tmux("kill-server")

    def end_all(self) -> None:
        """End every process that was started from here, wherever it is now."""
        self.close()
        mark = f"{MARK}={self._socket}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)


@contextlib.contextmanager
def terminal(folder: Path) -> Iterator[Terminal]:
    """Give a terminal that is closed at the end."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed: the console needs a real terminal here")
    # A name is used once: the server of the test before may still be on its way out.
    one = Terminal(f"fedlora-{os.getpid()}-{next(NUMBERS)}-{folder.name[-12:]}")
    try:
        yield one
    finally:
        one.end_all()
