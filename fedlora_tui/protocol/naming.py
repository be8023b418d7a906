"""How a run is named on a command line that is suggested to somebody."""

from __future__ import annotations

import shlex
from pathlib import Path

USUAL = "runs"
"""The runs folder where nobody names another."""


def called(folder: str | Path) -> str:
    """Name a run so that a command typed here finds it: by its id in the usual runs folder, elsewhere by its path."""
    place = Path(folder)
    return place.name if place.absolute().parent == Path(USUAL).absolute() else shlex.quote(str(place))
