"""What a person at the SuperLink's terminal sees: that it is ready, for whom, what goes wrong; an end within seconds.

Flower tells every request there. Here that goes to its log file alone, where it was given one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from functools import partial

import uvicorn
from flwr.supercore.logger import console_handler

HOLDS_FOR_FLOWER = "1.41"
"""The private touch below (Flower serves by `uvicorn.run`) was checked against this release."""

ROUTINE = ("][ApiError:", "graceful shutdown exceeded", "Public key already in use")
"""What Flower and its server call an error, and is none here, or is told beside it in our own words."""

LEVEL, NEWS = "FLWR_LOG_LEVEL", "WARNING"
"""The environment variable by which Flower's processes know from which level on they write on the terminal."""

END_SECONDS = 3
"""Who follows a run has a request open for as long as it lasts: at the end it is not waited for longer than this."""


def speak_up() -> None:
    """Of what Flower, its server and the processes that it starts say, say what goes wrong alone."""
    os.environ.setdefault(LEVEL, NEWS)
    console_handler.addFilter(is_news)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).addFilter(is_news)


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


def say_ready(place: str, let_in: Sequence[str] | None) -> None:
    """Say that the SuperLink at a `place` is ready, and for whom: `let_in` by name, None where that is any node."""
    whom = "INSECURE: any node is let in" if let_in is None else f"let in: {', '.join(let_in) or 'nobody yet'}"
    print(f"fedlora-tui: ready at {place}; {whom}; ctrl+c ends it", flush=True)
