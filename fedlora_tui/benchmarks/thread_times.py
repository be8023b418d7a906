"""How much processor time each thread of a process took, as Linux counts it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
"""Ticks a second in which times are told."""

CONSOLE_THREADS = ("textual-", "asyncio")
"""How the console's own threads are named by a Python that hands names to the system (3.14 and later)."""


@dataclass(frozen=True)
class ThreadTime:
    """A thread: its number, the name that the system knows it by, and the seconds of processor time it took."""

    number: int
    name: str
    seconds: float


def thread_times(process: int) -> list[ThreadTime]:
    """Give the threads of a process; none where the system does not tell, or the process is over."""
    found = []
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
    except OSError:
        return []
    for task in tasks:
        try:
            found.append(read_thread(int(task.name), (task / "stat").read_text(errors="replace")))
        except OSError:
            # It ended between the two looks.
            continue
    return found


def read_thread(number: int, line: str) -> ThreadTime:
    """Read a thread's line of /proc; its name stands in parentheses and may hold any sign."""
    name = line[line.index("(") + 1 : line.rindex(")")]
    rest = line[line.rindex(")") + 1 :].split()
    return ThreadTime(number, name, (int(rest[11]) + int(rest[12])) / TICKS)


def console_seconds(process: int, threads: list[ThreadTime]) -> float | None:
    """Add up the time of the threads that draw and read keys: the main one and those that it started.

    A thread has the name of the one that started it, and the run's worker takes a name of its own: with it all threads
    that train, or look at the machine, are told from the console's. None where no threads are told.
    """
    main = next((thread.name for thread in threads if thread.number == process), None)
    if main is None:
        return None
    return sum(own.seconds for own in threads if own.name == main or own.name.startswith(CONSOLE_THREADS))
