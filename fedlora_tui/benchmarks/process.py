"""A subprocess that is timed from its start to its exit, and whose memory is looked at while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from fedlora_tui.benchmarks.ending import end_processes_below
from fedlora_tui.errors import UserError

LOOK_SECONDS = 0.05
TREE_SECONDS = 2.0
"""How often the processes below are looked at: to count pages that they share once takes the kernel some time."""


@dataclass(frozen=True)
class Ended:
    """A process that ended: its output, seconds from start to exit, and the most memory that it and those below held.

    `peak_bytes` is the kernel's own high-water mark of its resident memory; with processes below it, where that is
    more, the largest sum seen of all their memory, pages that they share counted once.
    """

    seconds: float
    peak_bytes: int
    output: str


def run_process(name: str, arguments: Sequence[str], watched: bool = True) -> Ended:
    """Run Python with some arguments. Raises UserError, with its name and last line on stderr, where it fails.

    Not `watched`, nothing looks at its memory, which takes some processor time, and `peak_bytes` is 0.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            peak = _watch(process) if watched else 0
            process.wait()
        except BaseException:
            end_process(process)
            raise
        seconds = time.perf_counter() - began
        output.seek(0)
        if process.returncode != 0:
            raise _failed(name, process.returncode, errors)
        return Ended(seconds, peak, output.read().decode())


class Beside:
    """A process that runs beside this one."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self.name = name
        self._process, self._errors = process, errors

    def check(self) -> None:
        """Raise UserError, with its last line on stderr, where it ended."""
        status = self._process.poll()
        if status is not None:
            raise _failed(self.name, status, self._errors)


@contextmanager
def beside(name: str, arguments: Sequence[str]) -> Iterator[Beside]:
    """Run Python with some arguments beside this process; whatever happens, it does not outlive the block."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            yield Beside(name, process, errors)
        finally:
            end_process(process)


def _failed(name: str, status: int, errors: IO[bytes]) -> UserError:
    errors.seek(0)
    told = errors.read().decode(errors="replace").strip().splitlines()
    said = told[-1].strip() if told else "nothing"
    return UserError(f"{name} ended with status {status} and said: {said}")


def _watch(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end; give the most memory seen."""
    peak, due = 0, time.monotonic() + TREE_SECONDS
    while process.poll() is None:
        peak = max(peak, high_water(process.pid))
        if time.monotonic() >= due:
            peak = max(peak, _tree_bytes(process.pid))
            due = time.monotonic() + TREE_SECONDS
        time.sleep(LOOK_SECONDS)
    return peak


def high_water(pid: int) -> int:
    """Give the most resident memory that a process ever held, in bytes; what it holds now where that is not told."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return int(psutil.Process(pid).memory_info().rss)
    except (OSError, psutil.Error):
        return 0


def forget_high_water() -> None:
    """Let this process's high-water mark begin at what it holds now, where the kernel can do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _tree_bytes(pid: int) -> int:
    """Add up the memory of a process and all below it, shared pages counted once; 0 where it is alone."""
    try:
        root = psutil.Process(pid)
        below = root.children(recursive=True)
    except psutil.Error:
        return 0
    return sum(_own_bytes(process) for process in (root, *below)) if below else 0


def _own_bytes(process: psutil.Process) -> int:
    try:
        found = process.memory_full_info()
        return int(getattr(found, "pss", found.uss))
    except psutil.Error:
        return 0


def end_process(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started, in sessions of their own too."""
    end_processes_below(process.pid)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        process.kill()
    process.wait()
