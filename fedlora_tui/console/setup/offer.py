"""All that the setup screen knows: what may be chosen, what was, and what is found out about it meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

BASE, DATA, PATH, ORGANIZATIONS = "base", "data", "path", "organizations"
RANK, METHOD, PROTECTION, ROUNDS, DEVICE = "rank", "method", "protection", "rounds", "device"
FIELDS = (BASE, DATA, PATH, ORGANIZATIONS, RANK, METHOD, PROTECTION, ROUNDS, DEVICE)
"""The fields from top to bottom."""

SOURCES = ("synthetic", "folder", "table", "hub")
READ = ("folder", "table")
"""The sources that are read before anything is written; a dataset on the hub is only named."""

UNPROTECTED, NOISE, SECURE_SUM = "none", "epsilon", "secure sum"
PROTECTIONS = (UNPROTECTED, NOISE, SECURE_SUM)
EMBEDDED = "embedded"
AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """One thing that may be chosen, and what is to be said of it."""

    name: str
    remark: str = ""


@dataclass(frozen=True)
class Chosen:
    """What the fields say; `organizations` is None where all that the data has take part.

    `epsilon` is the budget as it was typed, empty where no noise protects the run.
    """

    base: str
    source: str
    path: str
    organizations: int | None
    rank: int
    rounds: int
    device: str
    protection: str = UNPROTECTED
    epsilon: str = ""


@dataclass(frozen=True)
class Figures:
    """What a run would take: bytes by what they are for, tokens and operations of a round, speeds, seconds.

    `rate` is what large matrix products reach here, `speed` the part of it that training is expected to reach, in
    operations a second; they and `seconds` are None where nothing was measured. `free` are the bytes nobody uses.
    """

    device: str
    libraries: int
    base: int
    adapters: int
    passes: int
    free: int
    trained: int
    measured: int
    operations: int
    rate: float | None = None
    speed: float | None = None
    seconds: float | None = None

    @property
    def memory(self) -> int:
        """All bytes."""
        return self.libraries + self.base + self.adapters + self.passes


@dataclass(frozen=True)
class Found:
    """What is here to be chosen: bases on this disk, devices of this machine; None where that is still looked for."""

    bases: tuple[Choice, ...] | None = None
    devices: tuple[Choice, ...] | None = None


@dataclass(frozen=True)
class Judged:
    """What was found out about a choice: by field, why a run would not take it, and what is to be said of it.

    While it is not `settled` there is more to come; `doing` says what is looked at.
    """

    chosen: Chosen
    complaints: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    figures: Figures | None = None
    settled: bool = True
    doing: str = ""


@dataclass(frozen=True)
class Lost:
    """Nobody looks any more, for this reason: what can be known without looking has to do."""

    reason: str


class Adviser(Protocol):
    """Looks at the machine and at what was chosen, elsewhere, while the screen answers keys."""

    def ask(self, chosen: Chosen) -> None:
        """Look at this; what was asked before does not matter any more."""

    def told(self) -> Sequence[Found | Judged | Lost]:
        """Give what has been found out since the last call, without waiting."""


@dataclass(frozen=True)
class Offer:
    """What the screen is handed.

    `out` is the file as the operator named it. `keys` says of each field which key of the configuration it is, and what
    that is. `organizations`, `rank`, `method`, `epsilon` and `rounds` (by base) are what stands there at first.
    `complaints` says by field what is not allowed, without looking at anything but the words; `lines` are those of the
    file that hold what was chosen; `write` writes it: over what is there where that is wanted, else FileExistsError.
    """

    out: str
    keys: Mapping[str, tuple[str, str]]
    organizations: int
    rank: int
    method: str
    epsilon: float
    rounds: Callable[[str], int]
    complaints: Callable[[Chosen], Mapping[str, str]]
    lines: Callable[[Chosen], Sequence[str]]
    write: Callable[[Chosen, bool], None]
