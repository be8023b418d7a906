"""What a console starts in processes of their own: a fork beside its run, and its run again after it has ended early.

A process that has threads is not forked: each is a fresh `python -m fedlora_tui`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from fedlora_tui.engine import lock
from fedlora_tui.engine.listing import list_runs
from fedlora_tui.protocol.handle import Forked, ListedRun

PROGRAM = "fedlora-tui"
LEAVES_SECONDS = 2.0
"""How long the process of a run that has ended may take to leave when no console watches it any more."""

ENDS_SECONDS = 15.0
"""How long it may take when it is asked to: it ends exports, and syncs its journal to a disk that may be busy."""

LOOK_SECONDS = 0.05


class ForkBeside:
    """Starts forks of the runs in one folder; a `Fork` of the protocol."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs.absolute()

    def __call__(self, run: str, round: int, changes: Sequence[str]) -> Forked:
        """Start a fork as `fedlora-tui fork --detach` does, and wait until it has begun."""
        words = _words("fork", self._runs / run, "--round", str(round), "--detach", *(f"--set={it}" for it in changes))
        try:
            # What the terminal's keys and its end do to a console's processes is not for this one.
            ended = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            return Forked(refusal=f"cannot start a process: {error.strerror or error}")
        told, complaints = ended.stdout.split(), ended.stderr.strip().splitlines()
        if ended.returncode == 0 and told:
            return Forked(run=told[-1])
        why = complaints[-1] if complaints else f"its process ended with status {ended.returncode}"
        return Forked(refusal=why.removeprefix(f"{PROGRAM}: "))


class RunsBeside:
    """Lists the runs of one folder; a `ListRuns` of the protocol."""

    def __init__(self, runs: Path) -> None:
        self.place = str(runs)
        self._runs = runs

    def __call__(self) -> Sequence[ListedRun]:
        """Read the list as `fedlora-tui runs` does."""
        return list_runs(self._runs)


def go_to(how: str, folder: Path, ascii_only: bool) -> NoReturn:
    """Become a console on another run: `attach` watches it, `replay` plays its journal, `resume` goes on with it."""
    if how == "resume":
        resume_here(folder, 0, ascii_only)
    _become(how, folder, *(["--ascii"] if ascii_only else []))


def resume_here(folder: Path, process: int, ascii_only: bool) -> NoReturn:
    """Become a process that goes on with the run in `folder` and shows it; `process` is the one that has run it."""
    _let_go(folder, process)
    _become("resume", folder, "--console", *(["--ascii"] if ascii_only else []))


def _become(command: str, folder: Path, *others: str) -> NoReturn:
    words = _words(command, folder.absolute(), *others)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(words[0], words)


def _words(command: str, folder: Path, *others: str) -> list[str]:
    return [sys.executable, "-m", "fedlora_tui", command, str(folder), "--runs-dir", str(folder.parent), *others]


def _let_go(folder: Path, process: int) -> None:
    """Wait until nobody writes a run that has ended; whom other consoles keep there for exports is asked to leave."""
    _wait_until_free(folder, LEAVES_SECONDS)
    who = lock.holder(folder)
    if lock.held(folder) and who is not None and who.pid == process:
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGTERM)
        _wait_until_free(folder, ENDS_SECONDS)


def _wait_until_free(folder: Path, seconds: float) -> None:
    until = time.monotonic() + seconds
    while lock.held(folder) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
