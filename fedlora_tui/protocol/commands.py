"""What the operator asks for: one frozen dataclass a command.

Every command is answered by `command_acknowledged` or `command_refused`, under its `name` and with its `value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Command:
    """What all commands have in common: the `name` under which a command is written and answered."""

    name: ClassVar[str] = ""

    @property
    def value(self) -> Any:
        """What the answer repeats: the command's one argument, None where it has none."""
        return None


@dataclass(frozen=True)
class Pause(Command):
    """Stop training within one local step, and wait."""

    name: ClassVar[str] = "pause"


@dataclass(frozen=True)
class Resume(Command):
    """Go on after a pause."""

    name: ClassVar[str] = "resume"


@dataclass(frozen=True)
class AddOrganization(Command):
    """Let one more organization join at the next round; the source names it unless `org` does."""

    name: ClassVar[str] = "add"
    org: str | None = None

    @property
    def value(self) -> Any:
        return self.org


@dataclass(frozen=True)
class DropOrganization(Command):
    """Let an organization leave at the next round."""

    name: ClassVar[str] = "drop"
    org: str

    @property
    def value(self) -> Any:
        return self.org


@dataclass(frozen=True)
class Undo(Command):
    """Take back the last change that waits for the next round."""

    name: ClassVar[str] = "undo"


@dataclass(frozen=True)
class Export(Command):
    """Write the adapter of a finished round (`latest`, `best` or a number), or a merged model.

    `out` is a folder, empty for the run's own exports folder.
    """

    name: ClassVar[str] = "export"
    round: str = "latest"
    merged: bool = False
    out: str = ""

    @property
    def value(self) -> Any:
        return asdict(self)


@dataclass(frozen=True)
class Finish(Command):
    """End the run after the round that is under way."""

    name: ClassVar[str] = "finish"


@dataclass(frozen=True)
class Stop(Command):
    """End the run within one local step; `reason` goes to the journal."""

    name: ClassVar[str] = "stop"
    reason: str = "stopped by the operator"


COMMANDS: Mapping[str, type[Command]] = {kind.name: kind for kind in Command.__subclasses__()}
