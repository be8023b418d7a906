"""Files that are on the disk itself once they are said to be: what a power loss must not take back."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_synced(path: Path, data: bytes) -> int:
    """Write a file through to the disk; give its bytes."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return len(data)


def sync(path: Path) -> None:
    """Bring to the disk what was written: a file's bytes, or the names that a folder holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_new(folder: Path) -> None:
    """Bring to the disk all that a folder holds, bytes and names."""
    for below in sorted(folder.rglob("*")):
        sync(below)
    sync(folder)


def sync_names(folder: Path, above: int = 1) -> None:
    """Bring to the disk the names that a folder holds, its own, and those of so many folders that hold it."""
    sync(folder)
    for holds in folder.absolute().parents[:above]:
        # A folder may be written to and not be listed: then the system brings the name to the disk when it likes.
        with suppress(PermissionError):
            sync(holds)
