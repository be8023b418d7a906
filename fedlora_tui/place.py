"""Where a path that a user wrote leads, found without ever raising but in words for the user."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedlora_tui.errors import UserError


@dataclass(frozen=True)
class Place:
    """A path, ~ written out, and what is there; `exists` is true of a pipe, too."""

    path: Path
    exists: bool
    is_file: bool
    is_folder: bool


def look(written: str, where: str, remedy: str) -> Place:
    """Look at a path. One that cannot be looked at is a UserError: `where`, the reason, and the `remedy`.

    That is a name too long, an unknown ~user, or no access on the way.
    """
    try:
        path = Path(written).expanduser()
        return Place(path, path.exists(), path.is_file(), path.is_dir())
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{where} ({reason}); {remedy}") from None
