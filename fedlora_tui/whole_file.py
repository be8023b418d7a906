"""Files that are there whole or not at all: written aside, and put into their place when nothing is missing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_aside(file: Path, content: bytes, mode: int | None = None) -> Iterator[Path]:
    """Give a file that holds the content beside the place where it belongs; it is gone at the end of the block.

    It has `mode` from its first byte on, None for what the process gives to new files. Raises OSError.
    """
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        # One may be left of a process of this number that was killed, with another mode.
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        with os.fdopen(descriptor, "wb") as stream:
            if mode is not None:
                os.fchmod(descriptor, mode)
            stream.write(content)
        yield aside
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def replace_file(file: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file in place of what has its name now, or has not; whoever reads it has the one or the other."""
    with written_aside(file, content, mode) as aside:
        os.replace(aside, file)
