"""Interrupts, terminations and hang-ups of a console's process: as what they reach it, held back until it is ready."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HELD = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class HungUp(BaseException):
    """The terminal is gone, before there is a console that leaves it by itself."""


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Hold these signals back until what is given is called, or the block ends.

    What a process starts within the block is known to it before one of them reaches it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield release
    finally:
        release()


def leave_on_hang_up() -> None:
    """Let a hang-up raise HungUp, until a console sees to it."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise HungUp

    signal.signal(signal.SIGHUP, leave)


def end_on_termination() -> list[int]:
    """Let a termination signal leave the console as an interrupt does, the terminal restored, and be noted."""
    noted: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        # asyncio knows how to end its loop on an interrupt, and Textual to give the terminal back after it.
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, terminate)
    return noted
