"""A benchmark that a signal ends takes along every process that it started."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psutil

HANGUP = "SIGHUP"
SIGNALS = tuple(kind for kind in signal.Signals if kind.name in ("SIGINT", "SIGTERM", HANGUP))


class Signalled(KeyboardInterrupt):
    """A signal asked for the end; whatever is in use is put away on the way out, as after an interrupt."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.strsignal(number))
        self.number = number

    @property
    def exit_status(self) -> int:
        """What a shell gives a process that a signal ended."""
        return 128 + self.number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """End the process with 128 and the signal's number where one comes meanwhile, and all that it started before it.

    The first signal ends the processes below and unwinds the block; a second one waits for nothing. A hangup that was
    ignored (nohup) stays so. To be used on the main thread.
    """
    before = {kind: signal.getsignal(kind) or signal.SIG_DFL for kind in SIGNALS}
    for kind in SIGNALS:
        if kind.name != HANGUP or before[kind] != signal.SIG_IGN:
            signal.signal(kind, _end)
    try:
        yield
    except Signalled as signalled:
        # A thread that still trains would crash the interpreter at its end.
        leave_at_once(signalled.exit_status)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _end(number: int, frame: FrameType | None) -> None:
    for kind in SIGNALS:
        signal.signal(kind, _leave)
    end_processes_below()
    raise Signalled(number)


def _leave(number: int, frame: FrameType | None) -> None:
    end_processes_below()
    leave_at_once(128 + number)


def end_processes_below(process_number: int | None = None) -> None:
    """End every process that this one (or another) started, those that they started, their groups; wait for none."""
    own_group = os.getpgrp()
    try:
        below = psutil.Process(process_number).children(recursive=True)
    except psutil.Error:
        return
    for process in below:
        try:
            group = os.getpgid(process.pid)
            if group != own_group:
                os.killpg(group, signal.SIGKILL)
            process.kill()
        except (OSError, psutil.Error):
            # It ended by itself, or together with its group.
            continue


def leave_at_once(status: int) -> None:
    """End the process without its threads, what was told so far written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, RuntimeError):
            # The reader is gone, or the signal came amid a write to it.
            continue
    os._exit(status)
