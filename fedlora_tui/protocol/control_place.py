"""Where a run's control socket stands: in its folder, or somewhere shorter where that path is too long for it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

SOCKET, ELSEWHERE = "control.sock", "control.path"
LONGEST = 100
"""Bytes of a path that fit a Unix socket's address everywhere."""

SHORT = 40
"""Bytes of a folder's path that leave room for ours below it."""


def socket_place(folder: Path) -> Path:
    """Give where the socket of a run's folder is to stand; makes the user's own folder for it where that is elsewhere.

    Raises OSError where there is no place for it.
    """
    path = folder.absolute() / SOCKET
    if len(os.fsencode(path)) <= LONGEST:
        return path
    home = _own_folder()
    # Two runs of one name may lie in different folders.
    digest = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:8]
    return home / f"{folder.name[:32]}-{digest}.sock"


def write_place(folder: Path, path: Path) -> None:
    """Say in a run's folder where its socket stands, unless that is the folder itself."""
    if path.parent != folder.absolute():
        (folder / ELSEWHERE).write_text(f"{path}\n", encoding="utf-8")


def found_socket(folder: Path) -> Path | None:
    """Give the socket of a run, None where it has none."""
    for path in (folder / SOCKET, _written(folder)):
        if path is not None and path.is_socket():
            return path
    return None


def _written(folder: Path) -> Path | None:
    try:
        return Path((folder / ELSEWHERE).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return None


def _own_folder() -> Path:
    """Give a folder that only this user can enter: nobody else may put a socket of theirs there."""
    runtime, temporary = os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()
    if runtime and len(os.fsencode(runtime)) <= SHORT and Path(runtime).is_dir():
        folder = Path(runtime) / "fedlora-tui"
    else:
        short = temporary if len(os.fsencode(temporary)) <= SHORT else "/tmp"
        folder = Path(short) / f"fedlora-tui-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077 or not folder.is_dir():
        raise PermissionError(f"{folder} is not this user's alone")
    return folder
