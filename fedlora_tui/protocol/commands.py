"""What the operator asks for: one frozen dataclass a command.

Every command is answered by `command_acknowledged` or `command_refused`, under its `name` and with its `value`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

YOU = "you"
"""Who asks, where that is the one who reads it, or nobody said."""


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
    """Let one more organization join at the next round; the source names it unless `org` does.

    `like` is how the name begins: the first free one. The text of one may lie elsewhere: in a `folder` or a file, with
    `each` in the first free file or sub-folder there, or in a `hub` dataset. `rank` is its own, 0 for that of all.
    """

    name: ClassVar[str] = "add"
    org: str | None = None
    like: str = ""
    folder: str = ""
    hub: str = ""
    each: bool = False
    rank: int = 0

    @property
    def value(self) -> Any:
        return self.org or self.like or self.folder or self.hub or None


@dataclass(frozen=True)
class DropOrganization(Command):
    """Let an organization leave at the next round."""

    name: ClassVar[str] = "drop"
    org: str

    @property
    def value(self) -> Any:
        return self.org


@dataclass(frozen=True)
class Knob(Command):
    """What the commands have in common that turn a setting of the run to a value from the next round on."""

    to: Any

    @property
    def value(self) -> Any:
        return self.to


@dataclass(frozen=True)
class Rank(Knob):
    """Change the rank of the adapter from the next round on, or that of one organization alone."""

    name: ClassVar[str] = "rank"
    to: int
    org: str = ""

    @property
    def value(self) -> Any:
        return {"org": self.org, "rank": self.to} if self.org else self.to


@dataclass(frozen=True)
class Rounds(Knob):
    """Change how many rounds the whole run has."""

    name: ClassVar[str] = "rounds"
    to: int


@dataclass(frozen=True)
class Rate(Knob):
    """Change AdamW's rate from the next round on."""

    name: ClassVar[str] = "rate"
    to: float


@dataclass(frozen=True)
class Steps(Knob):
    """Change the local steps of a round from the next one on."""

    name: ClassVar[str] = "steps"
    to: int


@dataclass(frozen=True)
class Fraction(Knob):
    """Change which share of the organizations trains in a round."""

    name: ClassVar[str] = "fraction"
    to: float


@dataclass(frozen=True)
class Method(Knob):
    """Change how replies become one adapter from the next round on."""

    name: ClassVar[str] = "aggregation"
    to: str


@dataclass(frozen=True)
class Fault(Knob):
    """Let an organization misbehave, for demonstrations: `to` is written as in the configuration, "none" ends it.

    Rounds that are counted in it ("for 2 rounds") begin with the next one.
    """

    name: ClassVar[str] = "fault"
    to: Any
    org: str = ""

    @property
    def value(self) -> Any:
        return {"org": self.org, "fault": self.to}


@dataclass(frozen=True)
class Release(Command):
    """Let an organization out of quarantine at the next round."""

    name: ClassVar[str] = "release"
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

    `out` is a folder, empty for the run's own exports folder. `org` asks for an organization's own adapter, where the
    method lets organizations keep one.
    """

    name: ClassVar[str] = "export"
    round: str = "latest"
    merged: bool = False
    out: str = ""
    org: str = ""

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


KNOBS: tuple[str, ...] = tuple(kind.name for kind in Knob.__subclasses__())
"""The commands that turn a setting of the run from the next round on."""

COMMANDS: Mapping[str, type[Command]] = {
    kind.name: kind for kind in (*Command.__subclasses__(), *Knob.__subclasses__()) if kind.name
}


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "str | None": (str, type(None)),
    "Any": object,
}


def read_command(name: str, values: Mapping[str, Any]) -> Command:
    """Build a command of this name from its fields. Raises ValueError where they are not what it holds."""
    kind = COMMANDS[name]
    known = {field.name: str(field.type) for field in fields(kind)}
    if not set(values) <= set(known):
        raise ValueError(f"{name}: no such value")
    for key, value in values.items():
        expected = _KINDS[known[key]]
        if not isinstance(value, expected) or (isinstance(value, bool) and expected not in (bool, object)):
            raise ValueError(f"{name}: {key} cannot be that")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: {key} cannot be that")
    try:
        return kind(**values)
    except TypeError:
        raise ValueError(f"{name}: something is missing") from None
