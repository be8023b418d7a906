"""Who is around a run that `soak_consoles.py` disturbs: consoles on pseudo-terminals, clients that talk nonsense."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fedlora_tui.benchmarks.process import end_process
from fedlora_tui.benchmarks.pseudo_terminal import HEIGHT, WIDTH, PseudoTerminal
from fedlora_tui.benchmarks.screen import Screen
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.control_place import found_socket

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
"""Seconds that a console may take for what is seen, where no other program waits for a processor."""


def patience(seconds: float = PATIENCE) -> float:
    """Give how long is waited for what takes no more than so many seconds on a machine that does nothing else.

    A console takes 1 to 2 seconds of processor time until it shows a run; beside ten programs it gets them in ten times
    as long. The system's count of programs that wait for a processor lags behind: ask anew while waiting.
    """
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass(frozen=True)
class Look:
    """A process at one moment: bytes resident, descriptors, threads; `t` is of time.monotonic."""

    t: float
    round: int
    memory: int
    descriptors: int
    threads: int


def look(process: psutil.Process, round: int) -> Look:
    """Look at a process. Raises psutil.Error where it is gone."""
    with process.oneshot():
        return Look(time.monotonic(), round, process.memory_info().rss, process.num_fds(), process.num_threads())


@dataclass
class Watcher:
    """A console on a pseudo-terminal, read all the time; `visits` are the looks at it, by each time that it came."""

    folder: Path
    visits: list[list[Look]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    _terminal: PseudoTerminal | None = None
    _reader: threading.Thread | None = None
    _screen: Screen = field(default_factory=lambda: Screen(WIDTH, HEIGHT))

    def come(self) -> None:
        """Attach, and wait until it shows the run."""
        self.begin(["-m", "fedlora_tui", "attach", str(self.folder), "--ascii"])
        if not self.shows("round", "hold-out"):
            self.broken.append("a console that came does not show the run:\n" + "\n".join(self.rows()))

    def begin(self, words: Sequence[str]) -> None:
        """Start Python with these words on a terminal, and read what it writes."""
        self._screen = Screen(WIDTH, HEIGHT)
        self._terminal = PseudoTerminal("console", words, {"PYTHONPATH": str(ROOT)})
        self.visits.append([])
        self._reader = threading.Thread(target=self._read, args=(self._terminal, self._screen), daemon=True)
        self._reader.start()

    def press(self, *keys: str) -> None:
        """Press keys one by one, if it is there."""
        for key in keys:
            if self._terminal is not None:
                with contextlib.suppress(UserError):
                    self._terminal.press(key)
            # A letter that comes soon behind an escape makes another key with it.
            time.sleep(0.5 if key == "\x1b" else 0.05)

    def look(self, round: int) -> None:
        """Look at its process, if it is there."""
        if self._terminal is not None:
            with contextlib.suppress(psutil.Error):
                self.visits[-1].append(look(psutil.Process(self._terminal.process.pid), round))

    def shows(self, *words: str) -> bool:
        """Wait until all of these words stand on its screen; False where they do not come."""
        began = time.monotonic()
        while time.monotonic() - began < patience():
            text = "\n".join(self.rows())
            if all(word in text for word in words):
                return True
            time.sleep(0.1)
        return False

    def rows(self) -> list[str]:
        """Give what stands on its screen."""
        return [row.rstrip() for row in self._screen.rows()]

    def go(self) -> None:
        """Leave the run going: `d` answers the question that is asked of who steers."""
        if self._terminal is None:
            return
        began, process = time.monotonic(), self._terminal.process
        while process.poll() is None and time.monotonic() - began < patience():
            # A dialog that q closes asks for another q; one that q has opened and nobody sees yet is closed by it.
            self.press("d" if any("leave?" in row for row in self.rows()) else "q")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience(1.0))
        if process.poll() is None:
            self.broken.append("a console did not leave:\n" + "\n".join(self.rows()))
        elif process.returncode != 0:
            self.broken.append(f"a console left with status {process.returncode}")
        self.close()

    def close(self) -> None:
        """End it, if it is there."""
        terminal, self._terminal = self._terminal, None
        reader, self._reader = self._reader, None
        if terminal is None or reader is None:
            return
        if terminal.process.poll() is None:
            end_process(terminal.process)
        # The next console's terminal has the number of this one: whoever still read it would take what that one writes.
        reader.join()
        terminal.close()

    def _read(self, terminal: PseudoTerminal, screen: Screen) -> None:
        def fed(piece: bytes, arrived: float) -> bool:
            screen.feed(piece)
            return False

        with contextlib.suppress(UserError):  # it has ended, and all that it wrote is read
            while True:
                terminal.read(1.0, fed)


def talk_nonsense(folder: Path, choose: random.Random) -> None:
    """Say on the control socket what no console says: noise, half a line, a greeting and then noise, nothing."""
    path = found_socket(folder)
    noise = choose.randbytes(choose.randint(1, 400))
    said = choose.choice(
        (noise + b"\n", b'{"greeting":', b'{"greeting":{"who":"noise","steers":false}}\n{"ask":7}\n' + noise, b"")
    )
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.settimeout(2)
        one.connect(str(path))
        one.sendall(said)
        if said.endswith(b"\n"):
            one.recv(1)
