"""Who is here: in one process whoever the operator lets in; on machines of their own whoever is connected."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fedlora_tui.config import Config
from fedlora_tui.protocol.events import NodeRefused, Warned

NOBODY: Mapping[str, str] = {}


@dataclass(frozen=True)
class Seen:
    """What a look has shown: who came by itself, who is gone and why, who was refused, what is to be told besides."""

    come: tuple[str, ...] = ()
    gone: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    refused: tuple[NodeRefused, ...] = ()


class Attendance(Protocol):
    """Knows which organizations are here, between two rounds."""

    def look(
        self, present: Collection[str], config: Config | None = None, refusals: Mapping[str, str] = NOBODY
    ) -> Seen:
        """Look who is here and takes part in a run that is set so, against those who take part.

        `refusals` are of the round since the last look: whose policies refused it, and why.
        """

    def dropped(self, organization: str) -> None:
        """The operator lets an organization go: it does not come back by itself."""

    def awaits(self, lack: str) -> bool:
        """Wait a moment for organizations; `lack` says what which round lacks. False where none come by themselves."""


class AlwaysHere:
    """Organizations of this process: nobody comes or goes but by the operator."""

    def look(
        self, present: Collection[str], config: Config | None = None, refusals: Mapping[str, str] = NOBODY
    ) -> Seen:
        """See no change."""
        return Seen()

    def dropped(self, organization: str) -> None:
        """It comes back when the operator adds it."""

    def awaits(self, lack: str) -> bool:
        """Wait for nobody."""
        return False


ALWAYS_HERE = AlwaysHere()
