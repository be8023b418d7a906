"""What an audit found of a run's adapter, as numbers: what its report is written from, and what a face shows.

It stands beside the report in the run's folder, as one JSON object. None of a text that anybody owns is in it.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from fedlora_tui.protocol.finite import finite_value

NEWEST = "audit.json"
"""In a run's folder: what the audit found that was made last."""

T = TypeVar("T")


@dataclass(frozen=True)
class Interval:
    """A number, None where there is none, and between what it lies with 95% confidence."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class SecretFound:
    """How well an adapter knows a code: its rank among all, and its exposure in bits; `planted` is False of a control.

    `adapter` is the organization whose own adapter it is, empty for that of all.
    """

    organization: str
    planted: bool
    rank: int
    exposure: float
    exposed: bool
    adapter: str = ""


@dataclass(frozen=True)
class Membership:
    """How well documents that were trained on are told from held out ones by their loss.

    `organization` is empty for all together; `score` is "loss", or "calibrated": how much lower it is than the base's.
    `caught` are members named while at most 1% of the others are, `chance` what guessing reaches in 95 of 100 audits.
    """

    organization: str
    score: str
    members: int
    others: int
    auc: Interval
    caught: Interval
    chance: Interval
    curve: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class PersonalFound:
    """How many of some values that stand for personal data an adapter said, and of how many; `what` says which."""

    what: str
    values: int
    found: int
    share: Interval


@dataclass(frozen=True)
class LeftOut:
    """An attack that tells runs with an organization from runs without it.

    `epsilon` is what it shows, a 95% lower bound of it, and what an attack without an error would show in as many runs.
    `claimed` is what the runs said they had spent, None where nothing protects.
    """

    organization: str
    runs: int
    epsilon: Interval
    claimed: float | None
    delta: float
    score: str = "loss"

    @property
    def broken(self) -> bool:
        """True where the runs gave away more than they said."""
        return self.claimed is not None and self.epsilon.low > self.claimed


@dataclass(frozen=True)
class Audit:
    """All that one audit found. `bits` is the exposure from which a secret counts as known; `t` in seconds (epoch)."""

    run: str
    round: int
    rounds: int
    base: str
    aggregation: str
    mechanism: str
    epsilon: float | None
    delta: float | None
    organizations: tuple[str, ...]
    repetitions: int
    space: int
    bits: float
    secrets: tuple[SecretFound, ...] = ()
    membership: tuple[Membership, ...] = ()
    personal: tuple[PersonalFound, ...] = ()
    samples: int = 0
    left_out: LeftOut | None = None
    notes: tuple[str, ...] = ()
    t: float = 0.0
    seconds: float = 0.0
    report: str = ""


def to_json(audit: Audit) -> str:
    """Write what was found as one line of JSON; numbers that are not finite are null."""
    return json.dumps(finite_value(asdict(audit)), allow_nan=False, ensure_ascii=False)


def from_json(text: str) -> Audit:
    """Read it back. ValueError where it is something else."""
    try:
        return _read(Audit, json.loads(text))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no audit: {error}") from None


def newest(folder: Path) -> Audit | None:
    """Give what the audit of a run found that was made last, None where none was. Raises OSError or ValueError."""
    try:
        return from_json((folder / NEWEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _read(kind: type[T], found: Any) -> T:
    if not isinstance(found, Mapping):
        raise TypeError(f"{kind.__name__} is a table")
    hints = get_type_hints(kind)
    known = {own.name: _value(hints[own.name], found[own.name]) for own in fields(kind) if own.name in found}  # type: ignore[arg-type]
    return kind(**known)


def _value(kind: Any, found: Any) -> Any:
    """Turn a value of a line into one of the kind that its field has."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if found is None else _value(next(part for part in parts if part is not type(None)), found)
    if origin is tuple:
        if not isinstance(found, list):
            raise TypeError("a list is needed")
        every = parts[-1] is Ellipsis
        return tuple(_value(parts[0] if every else parts[at], item) for at, item in enumerate(found))
    if is_dataclass(kind):
        return _read(kind, found)  # type: ignore[arg-type]
    if kind is float and isinstance(found, int) and not isinstance(found, bool):
        return float(found)
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise TypeError(f"{found!r} is no {kind.__name__}")
    return found
