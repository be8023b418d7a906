"""Which organizations a configuration starts with, found out from names alone, before any text is read."""

from __future__ import annotations

from dataclasses import dataclass

from fedlora_tui.config import Config
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.partition import PartitionedSource
from fedlora_tui.organizations.source import Source, open_source


@dataclass(frozen=True)
class Roster:
    """The source of a run's organizations, and the names of those that start it."""

    source: Source
    names: tuple[str, ...]


def call_roster(config: Config) -> Roster:
    """Open the source and name the first organizations. Raises UserError where there are too few for a round."""
    data, federation = config.data, config.federation
    source = open_source(data, federation.seed)
    if data.partition != "natural":
        source = PartitionedSource(source, config)
    names = source.first(config.organizations)
    if len(names) < federation.min_organizations:
        raise UserError(
            f"{data.path}: {len(names)} organization(s), and a round needs {federation.min_organizations} "
            f"(federation.min_organizations): add a file for each, or lower it"
        )
    return Roster(source, tuple(names))
