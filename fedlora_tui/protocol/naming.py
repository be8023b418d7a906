"""How a run is named on a command line that is suggested to somebody, and what an organization may call itself."""

from __future__ import annotations

import shlex
from pathlib import Path

USUAL = "runs"
"""The runs folder where nobody names another."""

LONGEST = 64
ALLOWED = f"one line of at most {LONGEST} characters, with no slash in it, no dot before and no blanks around"
"""What `is_name` takes, in words."""


def called(folder: str | Path) -> str:
    """Name a run so that a command typed here finds it: by its id in the usual runs folder, elsewhere by its path."""
    place = Path(folder)
    return place.name if place.absolute().parent == Path(USUAL).absolute() else shlex.quote(str(place))


def is_name(text: str) -> bool:
    """Tell whether an organization on a machine of its own may be called so: its name is part of files' names."""
    fits = 0 < len(text) <= LONGEST and text.isprintable() and text == text.strip()
    return fits and not text.startswith(".") and "/" not in text
