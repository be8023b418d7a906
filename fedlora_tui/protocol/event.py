"""What all kinds of events have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Event:
    """What all kinds have in common: the `type` under which a kind is written."""

    type: ClassVar[str] = ""
