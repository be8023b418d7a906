"""What is typed into the box of commands: read into what it asks for, or refused in one line; and what would match.

Any text gives an `Ask`, an `Act`, a `Look` or a `Wrong`, and never an exception.
"""

from __future__ import annotations

import difflib
import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fedlora_tui.console.tuning import SETTINGS, Unallowed, able_methods, command_for, read_method, read_number, refused
from fedlora_tui.errors import one_line
from fedlora_tui.protocol.commands import AddOrganization, Command, DropOrganization, Export, Fault, Rank, Release
from fedlora_tui.protocol.printable import printable
from fedlora_tui.protocol.state import RunState

MOST_ADDED = 100
SLOWEST_HZ, FASTEST_HZ = 0.2, 30.0
THEMES = ("dark", "light")
FAULTS = ("slow x3", "dropout", "crash", "nan", "garbage", "poison x-10", "none")
ROUNDS = ("latest", "best")
GOING = ("running", "pausing", "paused")
MOST_SHOWN = 40
"""Columns of what was typed that a refusal repeats."""


@dataclass(frozen=True)
class Known:
    """What a line is read against: the run, its selected organization, and the registry's actions.

    `actions` has what each does by its id, `directions` those of an action that has several.
    """

    state: RunState
    selected: str = ""
    actions: Mapping[str, str] = field(default_factory=dict)
    directions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ask:
    """Commands for the run. `gates` are the actions that have to be able to act, with the organization selected."""

    commands: tuple[Command, ...]
    gates: tuple[tuple[str, str], ...]
    words: str


@dataclass(frozen=True)
class Act:
    """An action of the registry, by its id, with its direction."""

    action: str
    direction: str = ""


@dataclass(frozen=True)
class Look:
    """A change of the console itself: `setting` is theme or hz, and a number of 0 repaints is the usual pace."""

    setting: str
    theme: str = ""
    hz: float = 0.0


@dataclass(frozen=True)
class Wrong:
    """Why a line asks for nothing, and what is allowed: one line."""

    words: str


Read = Ask | Act | Look | Wrong


@dataclass(frozen=True)
class Match:
    """A line that could be meant, what it does, and whether it is whole as it stands."""

    text: str
    does: str
    whole: bool = True


class _Refused(Exception):
    """One line."""


@dataclass(frozen=True)
class Verb:
    """A command with values: what it is called, an example, what it does, how it is read, and what may follow it."""

    names: tuple[str, ...]
    example: str
    does: str
    read: Callable[[Sequence[str], Known], Read]
    values: Callable[[Known, Sequence[str]], Iterable[str]] = lambda known, before: ()
    alone: bool = False


def read(text: str, known: Known) -> Read:
    """Read a line."""
    try:
        words = shlex.split(text.strip().removeprefix(":"))
    except ValueError:
        return Wrong("a quotation mark is not closed")
    if not words:
        return Wrong("type a command, like rank 16; tab completes")
    name, *values = words
    try:
        return _read(name.lower(), values, known)
    except (_Refused, Unallowed) as error:
        return Wrong(printable(one_line(error, None)))


def _read(name: str, values: Sequence[str], known: Known) -> Read:
    verb = VERBS.get(name)
    if verb is not None and (values or verb.alone or name not in known.actions):
        directions = known.directions.get(name, ())
        if len(values) == 1 and values[0] in directions:
            return Act(name, values[0])
        return verb.read(values, known)
    action = ALIASES.get(name, name)
    if action not in known.actions:
        raise _Refused(f"{_shown(name)}: no such command{_nearest(name, [*VERBS, *ALIASES, *known.actions])}")
    directions = known.directions.get(action, ())
    phase = known.state.phase
    if name in ("pause", "resume") and phase in {"pause": ("paused",), "resume": ("running", "pausing")}[name]:
        raise _Refused("it runs already" if name == "resume" else "paused already")
    if not values and not directions:
        return Act(action)
    if len(values) == 1 and values[0] in directions:
        return Act(action, values[0])
    if not directions:
        raise _Refused(f"{name} takes nothing: {name} alone")
    also = f"{verb.example}, or " if verb is not None else ""
    raise _Refused(f"{name}: allowed is {also}{', '.join(f'{name} {way}' for way in directions)}")


def matches(text: str, known: Known) -> list[Match]:
    """Give what could be meant by what is typed so far, the best first: its letters come in this order."""
    typed = text.lstrip().removeprefix(":")
    name, gap, rest = typed.partition(" ")
    verb = VERBS.get(name.lower())
    if gap and verb is not None:
        before, _, part = rest.rpartition(" ")
        start = f"{name} {before} " if before else f"{name} "
        values = _ranked(part, dict.fromkeys(verb.values(known, before.split()), ""))
        return [Match(start + _quoted(value), verb.does) for value, _ in values] or [
            Match(typed, f"{verb.does}: {verb.example}")
        ]
    if gap:
        ways = known.directions.get(ALIASES.get(name, name), ())
        return [Match(f"{name} {way}", "") for way, _ in _ranked(rest, dict.fromkeys(ways, ""))]
    known_names: dict[str, tuple[str, bool]] = {}
    for one in {id(verb): verb for verb in VERBS.values()}.values():
        known_names[one.names[0]] = (f"{one.does}: {one.example}", one.alone)
    for action, does in known.actions.items():
        if action not in known_names:
            ways = known.directions.get(action, ())
            known_names[action] = (f"{does}: {' or '.join(ways)}" if ways else does, not ways)
    ranked = _ranked(name, {own: does for own, (does, _) in known_names.items()})
    return [Match(own, does, known_names[own][1]) for own, does in ranked]


def _ranked(typed: str, candidates: Mapping[str, str]) -> list[tuple[str, str]]:
    """Give the candidates that hold the typed letters in their order: those that begin so first, then by their gaps."""
    found = []
    for place, (name, does) in enumerate(candidates.items()):
        gaps = _gaps(typed.lower(), name.lower())
        if gaps is None and len(typed) > 2 and typed.lower() in does.lower():
            gaps = 1000
        if gaps is not None:
            found.append((not name.lower().startswith(typed.lower()), gaps, place, name, does))
    return [(name, does) for *_, name, does in sorted(found)]


def _gaps(typed: str, name: str) -> int | None:
    """Give how many letters of a name are passed over to find those typed, None where they are not in it."""
    place, passed = 0, 0
    for letter in typed:
        found = name.find(letter, place)
        if found < 0:
            return None
        passed += found - place
        place = found + 1
    return passed


def _quoted(value: str) -> str:
    return shlex.quote(value) if " " in value and not any(fault == value for fault in FAULTS) else value


def _shown(text: str) -> str:
    plain = printable(text)
    return plain if len(plain) <= MOST_SHOWN else plain[:MOST_SHOWN] + "..."


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:MOST_SHOWN], list(dict.fromkeys(known)), 1, 0.5)
    return f"; nearest is {close[0]}" if close else "; tab lists what there is"


def _one(values: Sequence[str], example: str) -> str:
    if len(values) != 1:
        raise _Refused(f"one value is needed, like {example}")
    return values[0]


def _setting(name: str, example: str) -> Callable[[Sequence[str], Known], Read]:
    """Read the value of a setting."""

    def read_value(values: Sequence[str], known: Known) -> Read:
        text = _one(values, example)
        value = read_method(text) if name == "aggregation" else read_number(known.state, name, text)
        # Of a run that takes nothing at all the gates say so.
        if known.state.phase in GOING and (reason := refused(known.state, {name: value})) is not None:
            raise _Refused(reason)
        gates = (("tune", ""), *((gate, "") for gate in {"rounds": ["more_rounds"]}.get(name, [])))
        return Ask((command_for(name, value),), gates, f"asked: {SETTINGS[name]} {_shown(text)}")

    return read_value


def _rank(values: Sequence[str], known: Known) -> Read:
    if len(values) != 2:
        return _setting("rank", "rank 16, or rank port-2 8 for one alone")(values, known)
    name, rank = _organization(values[0], known), read_number(known.state, "rank", values[1])
    gates = (("tune", ""), ("own_rank", name))
    return Ask((Rank(int(rank), name),), gates, f"asked: rank {rank} for {name}")


def _organization(text: str, known: Known) -> str:
    """Give the organization that is meant: its whole name, or letters that only one holds in this order."""
    names = list(known.state.organizations)
    if text in known.state.organizations:
        return text
    near = difflib.get_close_matches(text[:MOST_SHOWN], names, 1, 0.4)
    nearest = f"; nearest is {near[0]}" if near else ""
    raise _Refused(f"{_shown(text)}: no such organization{nearest}")


def _name_first(known: Known, before: Sequence[str]) -> Iterable[str]:
    return () if before else known.state.organizations


def _first(*words: str) -> Callable[[Known, Sequence[str]], Iterable[str]]:
    return lambda known, before: () if before else words


def _add(values: Sequence[str], known: Known) -> Read:
    first, rest = (values[0], values[1:]) if values else ("", ())
    if first in ("folder", "hub"):
        return _add_from(first, rest)
    if len(values) > 2:
        raise _Refused("allowed is add, add 3, add hospital 3, add folder PATH 3 or add hub ID")
    count, like = 1, first
    if values and (len(values) == 2 or first.isdecimal()):
        count, like = _count(values[-1]), first if len(values) == 2 else ""
    return _added([AddOrganization(like=like)] * count, f"{count} more" if not like else f"{like} {count}")


def _add_from(kind: str, values: Sequence[str]) -> Read:
    if not values or len(values) > 2 or (kind == "hub" and len(values) > 1):
        raise _Refused("allowed is add folder PATH, add folder PATH 3 for three of its files, or add hub ID")
    place = values[0]
    if kind == "hub":
        return _added([AddOrganization(hub=place)], place)
    count = _count(values[1]) if len(values) == 2 else 1
    return _added([AddOrganization(folder=place, each=len(values) == 2)] * count, place)


def _added(commands: Sequence[AddOrganization], words: str) -> Ask:
    return Ask(tuple(commands), (("add", ""),), f"asked: add {_shown(words)}")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and 1 <= int(text) <= MOST_ADDED):
        raise _Refused(f"{_shown(text)}: how many is 1 to {MOST_ADDED}")
    return int(text)


def _drop(values: Sequence[str], known: Known) -> Read:
    names = [_organization(name, known) for name in dict.fromkeys(values)] or [known.selected]
    gates = tuple(("drop", name) for name in names)
    return Ask(tuple(map(DropOrganization, names)), gates, f"asked: drop {', '.join(names)}")


def _fault(values: Sequence[str], known: Known) -> Read:
    if len(values) < 2:
        raise _Refused(f"allowed is fault NAME, then one of {', '.join(FAULTS)}")
    name = _organization(values[0], known)
    return Ask((Fault(" ".join(values[1:]), name),), (("faults", name),), f"asked: a fault for {name}")


def _release(values: Sequence[str], known: Known) -> Read:
    name = _organization(_one(values, "release port-2"), known)
    if known.state.organizations[name].state != "quarantine":
        raise _Refused(f"{name} is not in quarantine")
    return Ask((Release(name),), (("faults", name),), f"asked: release {name}")


def _theme(values: Sequence[str], known: Known) -> Read:
    theme = _one(values, "theme light")
    if theme not in THEMES:
        raise _Refused(f"theme {_shown(theme)}: allowed is {' or '.join(THEMES)}")
    return Look("theme", theme=theme)


def _hz(values: Sequence[str], known: Known) -> Read:
    text = _one(values, "hz 2")
    if text == "auto":
        return Look("hz")
    try:
        hz = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        hz = math.nan
    if not SLOWEST_HZ <= hz <= FASTEST_HZ:
        raise _Refused(f"hz {_shown(text)}: allowed is auto, or {SLOWEST_HZ:g} to {FASTEST_HZ:g} repaints a second")
    return Look("hz", hz=hz)


def _export(values: Sequence[str], known: Known) -> Read:
    round, *rest = values
    merged = rest == ["merged"]
    number = round.isascii() and round.isdecimal() and len(round) < 9
    if (rest and not merged) or not (round in ROUNDS or number):
        raise _Refused(f"export {_shown(round)}: allowed is latest, best or a round's number, then merged")
    return Ask((Export(str(int(round)) if number else round, merged),), (("export", ""),), "asked: an export")


_VERBS = (
    Verb(("rank",), "rank 16", "rank of all, or of one: rank NAME 8", _rank, _name_first),
    Verb(("rounds",), "rounds +10", "rounds of the whole run", _setting("rounds", "rounds +10 or rounds 30")),
    Verb(("lr", "rate", "learning_rate"), "lr 5e-4", "AdamW's rate", _setting("rate", "lr 5e-4")),
    Verb(("steps", "local_steps"), "steps 32", "local steps of a round", _setting("steps", "steps 32")),
    Verb(
        ("agg", "method", "aggregation"),
        "agg flexlora",
        "how replies become one",
        _setting("aggregation", "agg flexlora"),
        lambda known, before: () if before else able_methods(known.state),
    ),
    Verb(("fraction",), "fraction 0.5", "share that trains in a round", _setting("fraction", "fraction 0.5")),
    Verb(("add",), "add hospital 3", "more organizations", _add, _first("folder", "hub"), alone=True),
    Verb(
        ("drop",),
        "drop port-2",
        "organizations leave",
        _drop,
        lambda known, before: [name for name in known.state.organizations if name not in before],
        alone=True,
    ),
    Verb(
        ("fault",),
        "fault port-2 slow x3",
        "let one misbehave",
        _fault,
        lambda known, before: (known.state.organizations, FAULTS, ())[min(len(before), 2)],
    ),
    Verb(("release",), "release port-2", "out of quarantine", _release, _name_first),
    Verb(("theme",), "theme light", "colours", _theme, _first(*THEMES)),
    Verb(("hz",), "hz 2", "repaints a second", _hz, _first("auto", "1", "2", "4")),
    Verb(
        ("export",),
        "export best",
        "write an adapter",
        _export,
        lambda known, before: (ROUNDS, ("merged",), ())[min(len(before), 2)],
    ),
)
VERBS: Mapping[str, Verb] = {name: verb for verb in _VERBS for name in verb.names}
"""The commands with values, by all their names."""

ALIASES: Mapping[str, str] = {"quit": "leave", "q": "leave", "exit": "leave", "resume": "pause"}
"""Other names of actions."""
