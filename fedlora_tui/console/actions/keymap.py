"""Which keys actions have where the configuration gives them others than the registry does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Keys:
    """An action's keys by Textual's names, with their directions; how all of them, and the first, are shown."""

    keys: Mapping[str, str]
    shown: str
    first: str


@dataclass(frozen=True)
class Keymap:
    """The actions that have other keys, by their ids."""

    own: Mapping[str, Keys] = field(default_factory=dict)


USUAL = Keymap()
"""The registry's own keys."""
