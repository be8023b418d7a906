"""Which organizations are shown and in which order, as the operator wants it: sorted, filtered, marked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedlora_tui.console.filtering import STATE, Fact, Filter, FilterError, Known, parsed
from fedlora_tui.protocol.organization import OrganizationState
from fedlora_tui.protocol.state import RunState

VERY_MANY = 256
"""With more organizations, those that something is wrong with stand first."""

STATES = (*("training", "testing", "waiting", "done", "late", "fault", "quarantine", "leaving", "absent", "stopped"),)
"""The order in which the table's head counts them."""

WORST_STATES = (*("quarantine", "fault", "late", "leaving", "joining", "training", "testing", "waiting", "done"),)
"""The order of states where rows are sorted by them: what needs a look first; all others stand behind."""


def _loss(org: OrganizationState, state: RunState) -> float | None:
    """Give the train loss of the round so far, before its first step that of the round before."""
    return org.loss if org.loss is not None or not org.history else org.history[-1].train_loss


NUMBERS: Mapping[str, Callable[[OrganizationState, RunState], float | None]] = {
    "loss": _loss,
    "hold-out": lambda org, state: org.holdout,
    "gain": lambda org, state: org.gain,
    "cos": lambda org, state: org.cosine,
    "rank": lambda org, state: org.rank or state.ranks.of(org.name),
    "mib": lambda org, state: (org.bytes_up + org.bytes_down) / 2**20,
    "ktok": lambda org, state: org.tokens / 1000 if org.tokens else None,
    "skew": lambda org, state: org.skew,
    "faults": lambda org, state: org.faults,
    "step": lambda org, state: org.step if org.steps else None,
}
"""The numbers of an organization by the names that filters and orders know them by."""

LEAST_FIRST = ("name", STATE, "gain", "cos")
"""The orders that begin with the least: where less is worse, and those that are none of numbers."""

ORDERS = ("name", STATE, *(*("loss", "hold-out", "gain", "cos", "rank", "mib", "ktok", "skew", "faults"),))
"""The orders that one key goes through."""

SHOWN = {"mib": "MiB", "ktok": "k tok"}
"""How a number is written where that is not as it is typed."""

KNOWN = Known(tuple(NUMBERS), (*STATES, "joining"))


@dataclass(frozen=True)
class Arrangement:
    """How the rows are wanted: by which order (empty: the usual one), turned round or not, filtered, and marked."""

    by: str = ""
    turned: bool = False
    typed: str = ""
    marked: frozenset[str] = frozenset()

    def order(self, state: RunState) -> str:
        """Give the name of the order that the rows stand in."""
        return self.by or ("faults" if faults_first(state) else "name")

    def next_order(self, state: RunState) -> str:
        """Give the name of the order after it."""
        return ORDERS[(ORDERS.index(self.order(state)) + 1) % len(ORDERS)]

    def falling(self, state: RunState) -> bool:
        """Tell whether the most stands first."""
        return (self.order(state) not in LEAST_FIRST) != self.turned

    def usual(self, state: RunState) -> bool:
        """Tell whether the rows stand as they do when nobody asked for anything."""
        return not self.turned and self.order(state) == Arrangement().order(state)

    def words(self, state: RunState) -> str:
        """Say the order: `by name`, `faults first`, `by loss, most first`."""
        order = self.order(state)
        name = SHOWN.get(order, order)
        if order == "name":
            return "by name, turned round" if self.turned else "by name"
        if order == STATE:
            return "by state, turned round" if self.turned else "by state"
        if order == "faults" and not self.turned:
            return "faults first"
        return f"by {name}, {'most' if self.falling(state) else 'least'} first"

    @property
    def filter(self) -> Filter:
        """What was typed, read; a bad filter filters nothing."""
        try:
            return parsed(self.typed, KNOWN)
        except FilterError:
            return Filter()

    @property
    def complaint(self) -> str:
        """Why what was typed is no filter, empty where it is one."""
        try:
            parsed(self.typed, KNOWN)
        except FilterError as error:
            return str(error)
        return ""


def faults_first(state: RunState) -> bool:
    """Tell whether organizations with faults stand before the others, where nobody asked for another order."""
    return len(state.organizations) > VERY_MANY


def passes(wanted: Filter, organization: OrganizationState, state: RunState) -> bool:
    """Tell whether an organization's row is to be shown."""
    facts: dict[str, Fact] = {STATE: organization.state}
    for test in wanted.tests:
        if (number := NUMBERS.get(test.name)) is not None:
            facts[test.name] = number(organization, state)
    return wanted.passes(f"{organization.name} {organization.state} {organization.note}", facts)


def in_order(arrangement: Arrangement, state: RunState) -> tuple[str, ...]:
    """Sort all organizations; those that are not there yet stand last, and before them those of which nothing is known.

    Equals stand by their names.
    """
    order, falling = arrangement.order(state), arrangement.falling(state)
    organizations = state.organizations
    names = sorted(organizations, key=natural, reverse=falling and order == "name")

    def place(name: str) -> tuple[bool, float]:
        org = organizations[name]
        if order == "name":
            return org.state == "joining", 0.0
        value = _state_place(org) if order == STATE else NUMBERS[order](org, state)
        if order == "faults" and not arrangement.by:
            value = min(1, org.faults)
        known = value is not None and not math.isnan(value)
        signed = (-value if falling else value) if known and value is not None else math.inf
        return org.state == "joining", signed

    return tuple(sorted(names, key=place))


def _state_place(org: OrganizationState) -> int:
    return WORST_STATES.index(org.state) if org.state in WORST_STATES else len(WORST_STATES)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Give the key under which names sort with their numbers in order: port-2 before port-10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name) if part]
