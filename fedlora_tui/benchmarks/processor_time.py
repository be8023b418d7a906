"""How much processor time a process took, as Linux counts it."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
"""Ticks a second in which times are told."""


def processor_seconds(process: int) -> float | None:
    """Give the seconds of processor time that a process and its threads took; None where nobody tells."""
    try:
        line = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:
        return None
    return read_seconds(line)


def read_seconds(line: str) -> float:
    """Read a process's line of /proc; its name stands in parentheses and may hold any sign."""
    rest = line[line.rindex(")") + 1 :].split()
    return (int(rest[11]) + int(rest[12])) / TICKS
