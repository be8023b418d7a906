"""Whose the changes are that wait: of one whose text lies elsewhere, the run repeats both its name and that place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedlora_tui.protocol.events import Waiting

ABOUT_ONE = ("add", "drop", "release")


def joiner(value: Any) -> Any:
    """Give the name of who joins, from what the run repeats of the command that asked for it."""
    return value.get("org") if isinstance(value, Mapping) else value


def whose(change: Waiting) -> str | None:
    """Give the organization that joins, leaves or is released, None where a setting changes."""
    return joiner(change.value) if change.command in ABOUT_ONE else None
