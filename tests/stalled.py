"""A pipe whose reader has stopped reading, as that of a pager, or of a connection that hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stalled() -> Iterator[int]:
    """Give the end to write to of a pipe that is full: the first line into it waits for ever."""
    unread, written = os.pipe()
    try:
        os.set_blocking(written, False)
        try:
            while True:
                os.write(written, b" ")
        except BlockingIOError:
            os.set_blocking(written, True)
        yield written
    finally:
        os.close(written)
        os.close(unread)
