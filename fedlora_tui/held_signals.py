"""Interrupts and terminations of a console's process: as what they reach it, and held back until it is ready."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HELD = frozenset({signal.SIGINT, signal.SIGTERM})


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Hold interrupts and terminations back until what is given is called, or the block ends.

    What a process starts within the block is known to it before one of them reaches it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield release
    finally:
        release()


def end_on_termination() -> list[int]:
    """Let a termination signal leave the console as an interrupt does, the terminal restored, and be noted."""
    noted: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        # asyncio knows how to end its loop on an interrupt, and Textual to give the terminal back after it.
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, terminate)
    return noted
