"""The terminal while the console has it: Textual draws on descriptors of its own, all else is written to a log file.

Native libraries and loggers write on descriptors 1 and 2 whenever they like; none of it may land on the screen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedlora_tui.errors import UserError

DUMB = "dumb"
"""What a terminal calls itself that writes lines and nothing else."""


def has_terminal() -> bool:
    """Tell whether keys can be read from a terminal and a screen can be drawn on one."""
    return sys.stdin is not None and sys.stdin.isatty() and _screen_descriptor() is not None


def need_terminal(why: str, instead: str) -> None:
    """Raise UserError where there is no terminal to draw on, in one line: `why` one is needed, and what to do."""
    if not has_terminal():
        raise UserError(f"no terminal here: {why}; {instead}")
    if os.environ.get("TERM") == DUMB:
        raise UserError(f"TERM={DUMB}: nothing can be drawn on this terminal: {why} that draws; {instead}")


@contextmanager
def kept_terminal(log_file: Path) -> Iterator[None]:
    """Keep the real terminal for Textual and send what is written on descriptors 1 and 2 to `log_file`.

    Both `sys.__stdout__` and `sys.__stderr__` are replaced: Textual draws on the second and measures the first. All
    four are put back at the end, whatever happened inside.
    """
    screen = _screen_descriptor()
    if screen is None:
        raise OSError("there is no terminal to draw on")
    names = ("stdout", "stderr", "__stdout__", "__stderr__")
    streams = {name: getattr(sys, name) for name in names}
    _flush(streams.values())
    saved = {number: os.dup(number) for number in (1, 2)}
    terminal = os.fdopen(os.dup(screen), "w", encoding="utf-8", errors="replace", newline="", closefd=True)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    log = log_file.open("a", encoding="utf-8", errors="replace", buffering=1)
    try:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.__stdout__ = sys.__stderr__ = terminal  # type: ignore[misc]
        sys.stdout = sys.stderr = log
        yield
    finally:
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
        for name, stream in streams.items():
            setattr(sys, name, stream)
        _flush((terminal, log))
        terminal.close()
        log.close()


def _screen_descriptor() -> int | None:
    return next((number for number in (2, 1) if os.isatty(number)), None)


def _flush(streams: object) -> None:
    for stream in streams:  # type: ignore[attr-defined]
        if stream is not None and not stream.closed:
            stream.flush()
