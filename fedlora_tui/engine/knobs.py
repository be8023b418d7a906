"""What may be turned while a run goes on: from a command to the configuration of the next round, or why not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fedlora_tui.config import RULES, Config
from fedlora_tui.fault_profiles import ALLOWED, NONE, SECTION, profile_of
from fedlora_tui.privacy.secure_sum.faults import unseen_fault
from fedlora_tui.protocol.events import Waiting

KEYS: Mapping[str, str] = {
    "rank": "lora.rank",
    "rounds": "federation.rounds",
    "rate": "federation.learning_rate",
    "steps": "federation.local_steps",
    "fraction": "federation.fraction",
    "aggregation": "federation.aggregation",
    "fault": SECTION,
}
"""The configuration's key behind each knob, whose bounds are the knob's, too."""


@dataclass(frozen=True)
class Change:
    """A change that waits for the next round: `add`, `drop` or `release` an organization, or turn a knob to a value.

    `org` is the organization that it is about, empty where it is about the run. Of one that joins, `to` is where its
    text lies, None where the others' does. A change that waited when its run ended
    waits for the same `round` where the run goes on; 0 is the next one.
    """

    command: str
    org: str = ""
    to: Any = None
    round: int = field(default=0, compare=False)

    @property
    def value(self) -> Any:
        """What the command that asked for it had as its value."""
        if self.command not in KEYS:
            return {"org": self.org, "place": self.to} if self.to is not None else self.org
        return {"org": self.org, self.command: self.to} if self.org else self.to


def change_of(waiting: Waiting) -> Change:
    """Give the change that an acknowledged command asked for."""
    command, value = waiting.command, waiting.value
    if command not in KEYS:
        if isinstance(value, Mapping):
            return Change(command, value["org"], value["place"], waiting.round)
        return Change(command, value, round=waiting.round)
    own = value if isinstance(value, Mapping) else {"org": "", command: value}
    return Change(command, own["org"], own[command], waiting.round)


def setting(config: Config, change: Change) -> Any:
    """Give what a knob stands at."""
    if change.command == "fault":
        return config.faults.get(change.org, NONE)
    if change.command == "rank":
        return config.lora.rank_of(change.org) if change.org else config.lora.default_rank
    return value_of(config, KEYS[change.command])


def value_of(config: Config, name: str) -> Any:
    """Give what a key (`section.key`), or a section without keys of its own, stands at."""
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key) if key else getattr(config, section)


def turned(config: Config, change: Change) -> Config:
    """Give the configuration after a change; those of organizations leave it as it is, but for where a text lies.

    Alpha moves with the rank of all, so that every scale stays. An organization that is turned to the rank of all has
    none of its own any more. ValueError where the value is not allowed.
    """
    if change.command == "add" and change.to is not None:
        return replace(config, data=replace(config.data, joined={**config.data.joined, change.org: change.to}))
    if change.command not in KEYS:
        return config
    if change.command == "fault":
        others = {name: fault for name, fault in config.faults.items() if name != change.org}
        profile = profile_of(change.to)
        return replace(config, faults=others if profile.kind == NONE else {**others, change.org: profile.text})
    name = KEYS[change.command]
    value = replace(RULES[name], by_organization=False).take(change.to)
    if change.command == "rank":
        return replace(config, lora=_with_rank(config, change.org, value))
    section, _, key = name.partition(".")
    return replace(config, **{section: replace(getattr(config, section), **{key: value})})


def settled(change: Change, round: int) -> Change:
    """Give a change with its value written out for the round that it begins with, as it is where it is not allowed."""
    if change.command != "fault":
        return change
    try:
        return replace(change, to=profile_of(change.to, round).text)
    except ValueError:
        return change


def _with_rank(config: Config, org: str, rank: int) -> Any:
    lora, default = config.lora, config.lora.default_rank
    own, alpha = lora.own_ranks, lora.alpha
    if org:
        own = {name: kept for name, kept in own.items() if name != org}
        own |= {org: rank} if rank != default else {}
    elif rank != default:
        default, alpha = rank, alpha * rank / default
    return replace(lora, rank={"default": default, **own} if own else default, alpha=alpha)


def refused(config: Config, change: Change, present: Collection[str], round: int) -> str | None:
    """Say why a knob cannot be turned in a run of this configuration; None where it can.

    `present` are those who take part in the next round, `round` is the one that is under way.
    """
    if change.command == "fault":
        return _fault_refused(config, change, present)
    # Commands are taken in the console's process, which loads no torch before the run's own thread does.
    from fedlora_tui.aggregation import METHODS
    from fedlora_tui.engine.workable import unworkable

    rule = replace(RULES[KEYS[change.command]], by_organization=False)
    try:
        after = turned(config, change)
    except ValueError:
        return f"{change.command} {change.to}: allowed is {rule.allowed}"
    if change.org and change.org not in present:
        return f"{change.org}: no such organization"
    if setting(config, change) == setting(after, change):
        return f"{change.command} is {change.to} already"
    if change.command == "rounds" and after.federation.rounds < round:
        return f"rounds {change.to}: round {round} is under way already"
    if change.command == "steps" and config.federation.local_epochs:
        return "federation.local_epochs counts, not local steps"
    method = METHODS[config.federation.aggregation]
    if change.command == "rank" and method.keeps_rank:
        return f"{method.name} keeps its rank"
    following = METHODS[after.federation.aggregation]
    if change.command == "aggregation" and method.keeps_b_at_home != following.keeps_b_at_home:
        return f"{method.name} and {following.name} keep different things at home: fork the run instead"
    return unworkable(after, present, round + 1)


def unguarded(config: Config, organizations: int) -> str | None:
    """Say why updates of so many organizations could not be protected as a configuration asks; None where they can."""
    if config.privacy.mechanism == "none":
        return None
    from fedlora_tui.privacy.combinations import unprotectable

    return unprotectable(config, organizations)


def _fault_refused(config: Config, change: Change, present: Collection[str]) -> str | None:
    """Say why an organization cannot be made to misbehave like this; None where it can."""
    try:
        after = turned(config, change)
    except ValueError:
        return f"fault {str(change.to)[:60]}: allowed is {ALLOWED}"
    if change.org not in present:
        return f"{change.org or 'no name'}: no such organization"
    if setting(config, change) == setting(after, change):
        return f"fault of {change.org} is {setting(config, change)} already"
    from fedlora_tui.engine.deployable import undeployable

    return undeployable(after) or unseen_fault(after)
