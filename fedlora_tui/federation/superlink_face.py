"""What a person at the SuperLink's terminal sees: that it is ready, for whom, what goes wrong; an end within seconds.

Flower tells every request there. Here that goes to its log file alone, where it was given one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial
from pathlib import Path

import uvicorn
from flwr.supercore.logger import console_handler

HOLDS_FOR_FLOWER = "1.41"
"""The private touch below (Flower serves by `uvicorn.run`) was checked against this release."""

ROUTINE = ("][ApiError:", "graceful shutdown exceeded")
"""What Flower and its server call an error, and is none here."""

END_SECONDS = 3
"""Who follows a run has a request open for as long as it lasts: at the end it is not waited for longer than this."""


def speak_up(nodes: Path | None, place: str, opened: threading.Event) -> None:
    """Say when the SuperLink at a `place` is ready, and of what Flower and its server say what goes wrong alone."""
    console_handler.addFilter(is_news)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).addFilter(is_news)
    threading.Thread(target=_say_ready, args=(nodes, place, opened), name="ready", daemon=True).start()


def end_soon() -> None:
    """Let the server end though requests are open."""
    uvicorn.run = partial(uvicorn.run, timeout_graceful_shutdown=END_SECONDS)


def is_news(record: logging.LogRecord) -> bool:
    """Tell whether a person at the terminal is to see a line: no routine, and no request that was open at the end.

    A request that is refused is routine here: who is not let in is counted and told elsewhere.
    """
    if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        return False
    return record.levelno >= logging.WARNING and not any(routine in str(record.msg) for routine in ROUTINE)


def ready(nodes: Path | None, place: str) -> str:
    """Say that the SuperLink is ready, and for whom."""
    names = [] if nodes is None else sorted(file.stem for file in nodes.glob("*.pub"))
    whom = f"let in: {', '.join(names) or 'nobody yet'}" if nodes is not None else "INSECURE: any node is let in"
    return f"fedlora-tui: ready at {place}; {whom}; ctrl+c ends it"


def _say_ready(nodes: Path | None, place: str, opened: threading.Event) -> None:
    opened.wait()
    print(ready(nodes, place), flush=True)
