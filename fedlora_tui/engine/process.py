"""A process of its own for runs that a console shows: the console may go, be killed or hang up, the runs go on.

It is forked before anything heavy is imported, has no terminal and leaves the session, so that no key, no signal of
the terminal and no end of the shell reaches it. It ends when its runs are over and nobody watches.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, NoReturn

from fedlora_tui.engine.control import Control
from fedlora_tui.engine.ending import ASKED, EXIT_FAILED, Signals
from fedlora_tui.engine.race import Entry, Race
from fedlora_tui.engine.run import LOG, Manner, log_to_files_alone

HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, ASKED)
"""What waits until the process can see to it."""

LOOK_SECONDS = 0.1
LAST_WORDS_SECONDS = 2.0
ENDING_LOOKS = 20


@dataclass(frozen=True)
class EngineProcess:
    """The process of some runs, and this end of the line to it."""

    number: int
    connection: socket.socket

    def ending(self) -> str:
        """Say how it ended, to be asked when its end of the line is closed; empty where that cannot be told."""
        for _ in range(ENDING_LOOKS):
            try:
                number, status = os.waitpid(self.number, os.WNOHANG)
            except ChildProcessError:
                break
            if number and os.WIFSIGNALED(status):
                return f"its process was killed by {signal.Signals(os.WTERMSIG(status)).name}"
            if number:
                return f"its process ended with status {os.waitstatus_to_exitcode(status)}"
            time.sleep(LOOK_SECONDS)
        return ""

    def terminate(self, kind: signal.Signals = ASKED) -> None:
        """Ask it to end its runs now; by a SIGTERM, which twice means that it does not wait for their step."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.number, kind)


def start_engine(given: Sequence[Entry], manner: Manner) -> EngineProcess:
    """Fork a process that goes through these runs. To be called before there are threads."""
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    number = os.fork()
    if number == 0:
        ours.close()
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        _live(given, manner, theirs)
    theirs.close()
    return EngineProcess(number, ours)


def _live(given: Sequence[Entry], manner: Manner, connection: socket.socket) -> NoReturn:
    """Be that process, to its end."""
    status = EXIT_FAILED
    try:
        os.setsid()
        # It has no name: however this process ends, nothing of it is left behind.
        with tempfile.TemporaryFile() as early:
            _leave_the_terminal(early)
            status = _serve(given, manner, connection, early)
    except BaseException:
        logging.getLogger(__name__).exception("the engine's process")
    finally:
        # What the console's process had under way before the fork is not this one's to end.
        os._exit(status)


def _serve(given: Sequence[Entry], manner: Manner, connection: socket.socket, early: IO[bytes]) -> int:
    log_to_files_alone()
    lock = threading.Lock()

    def on_folder(folder: Path) -> None:
        with lock:
            _move_output(early, folder / LOG)
        control.open_in(folder)

    race = Race(given, replace(manner, on_folder=on_folder))
    control = Control(race.racers)
    signals = Signals(race, control.part)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    control.adopt(connection)
    race.start()
    while not race.wait(LOOK_SECONDS):
        race.drain()
    control.settle(LAST_WORDS_SECONDS)
    while control.watched and signals.caught is None:
        # Whoever watches may still export; when the last one has left, so does this process.
        time.sleep(LOOK_SECONDS)
        race.drain()
    signals.let_exports_end()
    control.part(LAST_WORDS_SECONDS)
    race.close()
    return signals.status


def _leave_the_terminal(early: IO[bytes]) -> None:
    """Let nothing that is written or read here touch the terminal; what libraries print waits for the run's log."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (early.fileno(), 1), (early.fileno(), 2)):
        os.dup2(descriptor, number)
    os.close(nothing)


def _move_output(early: IO[bytes], log: Path) -> None:
    """Send what libraries print to the run's own log as soon as there is one, with what they printed before."""
    with log.open("ab") as whole:
        # What is printed goes on at the end of it: it is read without moving that place.
        whole.write(os.pread(early.fileno(), os.fstat(early.fileno()).st_size, 0))
        whole.flush()
        for descriptor in (1, 2):
            os.dup2(whole.fileno(), descriptor)
