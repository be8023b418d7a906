"""The sources of organizations: what each can do (`Source`), and which one a configuration names (`open_source`)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.folder import FolderSource
from fedlora_tui.organizations.synthetic import SyntheticSource
from fedlora_tui.organizations.text import Documents

__all__ = ["SOURCES", "Documents", "Source", "open_source"]


class Source(Protocol):
    """Names organizations, and reads the text of one only when it is asked for."""

    def first(self, count: int | None) -> tuple[str, ...]:
        """Names to start with: `count` of them, or with None as many as the source thinks right."""

    def another(self, taken: Collection[str]) -> str | None:
        """The name of one more that could join, None when there is none left."""

    def documents(self, name: str) -> Documents:
        """All text of one organization."""

    def names_left_reason(self) -> str:
        """Why `another` has none, in a few words: "all 12 files are here"."""


SOURCES: dict[str, Callable[[str, int, str, str], Source]] = {
    "synthetic": lambda path, seed, text_field, label_field: SyntheticSource(seed),
    "folder": lambda path, seed, text_field, label_field: FolderSource.open(path, text_field, label_field),
}


def open_source(kind: str, path: str, seed: int, text_field: str, label_field: str = "") -> Source:
    """The source of this kind; an unknown kind, or a folder that cannot be used, is a UserError."""
    if kind not in SOURCES:
        allowed = ", ".join(f'"{name}"' for name in SOURCES)
        raise UserError(f"data.source = {kind!r} is not known; it may be one of {allowed}")
    return SOURCES[kind](path, seed, text_field, label_field)
