"""How an organization misbehaves, and in which rounds: from what a user wrote to a profile, and back to words.

A fault is written as a line, like "slow x5 in rounds 3-6", or as a table of the same: kind, times, after, form, rounds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECTION = "faults"
"""The section of the configuration whose keys are organizations and whose values are their faults."""

NONE = "none"
KINDS = (NONE, "slow", "dropout", "crash", "nan", "garbage", "poison")
FORMS = ("shapes", "names", "dtype", "bytes")
"""What garbage a reply holds; where none is named, each in turn, round by round."""

SLOW_TIMES, POISON_TIMES = 3.0, -10.0
MOST_TIMES, MOST_ROUND, MOST_STEPS = 1e6, 1_000_000, 1_000_000

ALLOWED = (
    '"none", "slow x5", "dropout", "dropout after 3", "crash", "nan", "garbage" ("garbage shapes", "names", "dtype", '
    '"bytes") or "poison x-10", and behind it "in round 3", "in rounds 3-6", "from round 3" or "for 2 rounds"; '
    'or a table, like { kind = "slow", times = 5, rounds = [3, 6] }'
)
"""What is allowed, in words."""

_LINE = re.compile(
    r"(?P<kind>[a-z]+)"
    r"(?: x(?P<times>-?\d{1,7}(?:\.\d{1,12})?)| after (?P<after>\d{1,7})| (?P<form>shapes|names|dtype|bytes))?"
    r"(?: in rounds? (?P<first>\d{1,7})(?:-(?P<last>\d{1,7}))?"
    r"| from round (?P<since>\d{1,7})| for (?P<count>\d{1,7}) rounds?)?",
    re.ASCII,
)


@dataclass(frozen=True)
class FaultProfile:
    """What an organization does wrong in the rounds from `first` to `last` (None: to the end); after them it is honest.

    `times`: how much later a slow one's reply comes, or which multiple of its update a poisoned one sends. `after`: the
    local step after which one drops out, half of them where it is None. `form`: which garbage is sent, each in turn
    where it is empty.
    """

    kind: str = NONE
    times: float | None = None
    after: int | None = None
    form: str = ""
    first: int = 1
    last: int | None = None

    def active(self, round: int) -> bool:
        """Tell whether the organization misbehaves in a round."""
        return self.kind != NONE and self.first <= round and (self.last is None or round <= self.last)

    @property
    def what(self) -> str:
        """What it does, without the rounds: "slow x5"."""
        whole = self.times is not None and self.times == int(self.times)
        times = "" if self.times is None else f" x{self.times:.0f}" if whole else f" x{self.times:g}"
        after = "" if self.after is None else f" after {self.after}"
        return self.kind + times + after + (f" {self.form}" if self.form else "")

    @property
    def text(self) -> str:
        """The profile as a line that reads back as the same."""
        if self.last is None:
            return self.what + (f" from round {self.first}" if self.first > 1 else "")
        if self.last == self.first:
            return f"{self.what} in round {self.first}"
        return f"{self.what} in rounds {self.first}-{self.last}"

    def drops_after(self, steps: int) -> int:
        """Give how many of so many local steps are told before a dropout."""
        return steps // 2 if self.after is None else self.after


def profile_of(value: Any, first: int = 1) -> FaultProfile:
    """Read what a user wrote. Raises ValueError where it is not allowed.

    Rounds that are counted ("for 2 rounds") begin with `first`.
    """
    if isinstance(value, Mapping):
        return _checked(_from_table(value))
    if isinstance(value, str) and (found := _LINE.fullmatch(" ".join(value[:200].split()))):
        return _checked(_from_line(found.groupdict(), first))
    raise ValueError("not a fault")


def _from_line(parts: Mapping[str, str | None], first: int) -> FaultProfile:
    begins, last = 1, None
    if parts["first"] is not None:
        begins = int(parts["first"])
        last = int(parts["last"] or begins)
    elif parts["since"] is not None:
        begins = int(parts["since"])
    elif parts["count"] is not None:
        begins, last = first, first + int(parts["count"]) - 1
    times, after = parts["times"], parts["after"]
    return FaultProfile(
        parts["kind"] or "",
        None if times is None else float(times),
        None if after is None else int(after),
        parts["form"] or "",
        begins,
        last,
    )


def _from_table(table: Mapping[Any, Any]) -> FaultProfile:
    if "kind" not in table or not set(table) <= {"kind", "times", "after", "form", "rounds"}:
        raise ValueError("not a fault")
    begins, last = 1, None
    match table.get("rounds"):
        case None:
            pass
        case [low, high]:
            begins, last = low, high
        case (low,) | low:
            begins = last = low
    return FaultProfile(table["kind"], table.get("times"), table.get("after"), table.get("form", ""), begins, last)


def _checked(profile: FaultProfile) -> FaultProfile:
    """Give a profile with its defaults where all of it is allowed, and raise ValueError where something is not."""
    kind, times = profile.kind, profile.times
    if not isinstance(kind, str) or kind not in KINDS or not isinstance(profile.form, str):
        raise ValueError("not a kind of fault")
    if times is None:
        times = {"slow": SLOW_TIMES, "poison": POISON_TIMES}.get(kind)
    elif kind not in ("slow", "poison") or not _is_number(times) or (kind == "slow" and times < 1.0):
        raise ValueError("not a number of times")
    if profile.after is not None and (kind != "dropout" or not _is_whole(profile.after, 0, MOST_STEPS)):
        raise ValueError("not a number of steps")
    if profile.form and (kind != "garbage" or profile.form not in FORMS):
        raise ValueError("not a form of garbage")
    if not _is_whole(profile.first, 1, MOST_ROUND) or not (
        profile.last is None or _is_whole(profile.last, profile.first, 2 * MOST_ROUND)
    ):
        raise ValueError("not rounds")
    if kind == NONE:
        return FaultProfile()
    times = None if times is None else float(f"{times:.6g}")
    return FaultProfile(kind, times, profile.after, profile.form, profile.first, profile.last)


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST_TIMES
    return number and math.isfinite(value) and abs(value) >= 1e-3


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def faults_lines(faults: Mapping[str, str]) -> list[str]:
    """Write the section of a configuration file; names and faults are literals of TOML."""
    lines = [
        "# Organizations that misbehave, by name, for demonstrations and tests: what they do, and in which rounds.",
        f"[{SECTION}]",
        *(
            f"{entry:<32}  # {comment}"
            for entry, comment in (
                (
                    '# "clinic-1" = "nan"',
                    "or crash, garbage, dropout, dropout after 3, slow x5, poison x-10, none",
                ),
                (
                    '# "clinic-2" = "nan in rounds 3-6"',
                    "or in round 3, from round 3, for 2 rounds; else in all",
                ),
                ('# "clinic-3" = { kind = "slow", times = 5, rounds = [3, 6] }', "the same as a table"),
            )
        ),
    ]
    return [*lines, *(f"{name} = {fault}" for name, fault in faults.items())]
