"""The sources of organizations: what each can do (`Source`), and which one a configuration names (`open_source`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from fedlora_tui.config import DataConfig
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.folder import FolderSource
from fedlora_tui.organizations.hub import open_hub
from fedlora_tui.organizations.passages import Fields
from fedlora_tui.organizations.synthetic import SyntheticSource
from fedlora_tui.organizations.table import TableSource
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

    @property
    def passed_over(self) -> Mapping[str, Mapping[str, int]]:
        """What is no organization for it gave no text, and what was dropped there, counted by reason."""


SOURCES: dict[str, Callable[[DataConfig, int], Source]] = {
    "synthetic": lambda data, seed: SyntheticSource(seed),
    "folder": lambda data, seed: FolderSource.open(data.path, fields_of(data), most_of(data)),
    "table": lambda data, seed: TableSource.open(data.path, fields_of(data, data.organization_field), most_of(data)),
    "hub": lambda data, seed: open_hub(
        data.path, data.subset, data.split, fields_of(data, data.organization_field), most_of(data)
    ),
}


def open_source(data: DataConfig, seed: int) -> Source:
    """The source that is asked for; an unknown kind, or one that cannot be used, is a UserError."""
    if data.source not in SOURCES:
        allowed = ", ".join(f'"{name}"' for name in SOURCES)
        raise UserError(f"data.source = {data.source!r} is not known; it may be one of {allowed}")
    return SOURCES[data.source](data, seed)


def fields_of(data: DataConfig, organization: str = "") -> Fields:
    """Give where a row has its text, as the configuration says."""
    return Fields(data.text_field, data.prompt_field, data.response_field, organization, data.label_field)


def most_of(data: DataConfig) -> int:
    """Give the bytes of text that an organization keeps."""
    return data.max_megabytes << 20
