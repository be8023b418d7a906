"""The settings that turn while a run goes on: what they stand at, what they may be turned to, and why not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from fedlora_tui.console.actions.turning_ranks import coming_ranks
from fedlora_tui.protocol.commands import Command, Fraction, Method, Rank, Rate, Rounds, Steps
from fedlora_tui.protocol.state import RunState
from fedlora_tui.protocol.tuning import AVERAGING_DEFENCES, BOUNDS, METHODS, WEIGHING_DEFENCES, Bounds

SETTINGS: Mapping[str, str] = {
    "rank": "rank",
    "rounds": "rounds",
    "rate": "rate",
    "steps": "local steps",
    "fraction": "fraction",
    "aggregation": "method",
}
"""The commands that turn them, with the words for what they turn."""

MOST_TYPED = 12
RATES = (*(float(f"{digit}e{power}") for power in range(-6, 1) for digit in (1, 2, 5)), 10.0)
"""The rates that one key goes through."""


_KINDS: Mapping[str, Callable[[Any], Command]] = {
    "rank": Rank,
    "rounds": Rounds,
    "rate": Rate,
    "steps": Steps,
    "fraction": Fraction,
    "aggregation": Method,
}


class Unallowed(Exception):
    """What a setting cannot be turned to, and what it can: one line."""


def configured(state: RunState, section: str, key: str, default: Any) -> Any:
    """Give what a run's configuration says, as its journal holds it."""
    config = state.started.config if state.started is not None else {}
    table = config.get(section, {})
    return table.get(key, default) if isinstance(table, Mapping) else default


def stands(state: RunState, setting: str) -> Any:
    """Give what a setting stands at in the round under way."""
    known = {
        "rank": state.rank,
        "rounds": state.rounds,
        "rate": state.learning_rate,
        "aggregation": state.aggregation,
    }
    if setting in known:
        return known[setting]
    turned = [mark.value for mark in state.marks if mark.knob == setting]
    if turned:
        return turned[-1]
    if setting == "steps":
        return configured(state, "federation", "local_steps", state.steps)
    return configured(state, "federation", setting, 1.0)


def coming(state: RunState, setting: str) -> Any:
    """Give what a setting stands at in the next round, with what waits."""
    if setting == "rank":
        return coming_ranks(state).default
    waiting = [change.value for change in state.waiting if change.command == setting]
    return waiting[-1] if waiting else stands(state, setting)


def command_for(setting: str, value: Any) -> Command:
    """Give the command that turns a setting to a value."""
    return _KINDS[setting](value)


def bounds(state: RunState, setting: str) -> Bounds:
    """Give what a setting that is a number may be turned to: no fewer rounds than are under way."""
    known = BOUNDS[setting]
    return Bounds(max(known.least, state.round), known.most) if setting == "rounds" else known


def read_number(state: RunState, setting: str, text: str) -> int | float:
    """Read what was typed for a setting; rounds may be so many more or fewer, like +10. Raises Unallowed."""
    allowed, name = bounds(state, setting), SETTINGS[setting]
    relative = setting == "rounds" and text[:1] in ("+", "-")
    try:
        if not text.isascii() or "_" in text or len(text) > MOST_TYPED:
            raise ValueError
        value = int(text) if allowed.whole else float(text)
        if relative:
            value += int(coming(state, setting))
        if not math.isfinite(value) or not allowed.hold(value):
            raise ValueError
    except ValueError:
        more = ", or like +10" if setting == "rounds" else ""
        raise Unallowed(f"{name} {_cut(text)}: allowed is {allowed.words}{more}") from None
    if relative or setting != "rate":
        return value
    return float(value)


def read_method(text: str) -> str:
    """Read the name of a method. Raises Unallowed."""
    if text not in METHODS:
        raise Unallowed(f"method {_cut(text)}: allowed is {', '.join(METHODS)}")
    return text


def _cut(text: str) -> str:
    return text if len(text) <= 2 * MOST_TYPED else text[: 2 * MOST_TYPED] + "..."


def method_refused(state: RunState, name: str) -> str | None:
    """Say why a method cannot take over from the one that is set for the next round, None where it can."""
    before = str(coming(state, "aggregation"))
    if name == before:
        return None
    terms, now = METHODS[name], METHODS.get(before)
    if now is not None and terms.keeps_b_at_home != now.keeps_b_at_home:
        return f"{before} and {name} keep different things at home: fork the run instead"
    ranks = coming_ranks(state)
    if any(rank != ranks.default for rank in ranks.own.values()) and not terms.unequal_ranks:
        return f"some organizations have ranks of their own, and {name} needs equal ones"
    if not terms.continues and _server_moves(state):
        return f"{name} starts each round from other factors: a server optimizer cannot go on from them"
    robust = str(configured(state, "federation", "robust", "none"))
    if terms.needs_replies and robust in AVERAGING_DEFENCES:
        return f"federation.robust = {robust} averages factors itself, {name} does not"
    if terms.weighs and robust in WEIGHING_DEFENCES:
        return f"federation.robust = {robust} gives replies their weights, and {name} weighs them itself"
    if terms.keeps_b_at_home and robust != "none":
        return f"federation.robust = {robust} looks at whole replies, and {name} keeps B at home"
    return None


def _server_moves(state: RunState) -> bool:
    """Tell whether the server goes on from a round in another way than to take its mean."""
    optimizer = configured(state, "federation", "server_optimizer", "none")
    rate = configured(state, "federation", "server_learning_rate", 1.0)
    cooldown = configured(state, "federation", "server_cooldown", 0.0)
    return bool(optimizer != "none" or rate != 1.0 or cooldown > 0)


def able_methods(state: RunState) -> tuple[str, ...]:
    """Give the methods that can take over, the one that is set among them."""
    return tuple(name for name in METHODS if method_refused(state, name) is None)


def refused(state: RunState, wanted: Mapping[str, Any]) -> str | None:
    """Say why settings cannot be turned to values that they may hold, None where the run can be asked for them."""
    if state.rounds and state.round >= state.rounds and {*wanted} - {"rounds"}:
        return f"round {state.round} is the last: nothing but rounds can be turned"
    if "steps" in wanted and configured(state, "federation", "local_epochs", 0):
        return "federation.local_epochs counts, not local steps"
    method = str(wanted.get("aggregation", coming(state, "aggregation")))
    if "aggregation" in wanted and (reason := method_refused(state, method)) is not None:
        return reason
    keeps = {name for name in (str(coming(state, "aggregation")), method) if name in METHODS}
    if "rank" in wanted and all(METHODS[name].keeps_rank for name in keeps):
        return f"{method} keeps its rank"
    return None


def in_order(state: RunState, wanted: Mapping[str, Any]) -> list[Command]:
    """Give the commands for what is wanted; rank and method in the order in which the run takes both."""
    now = METHODS.get(str(coming(state, "aggregation")))
    names = [name for name in SETTINGS if name in wanted]
    if now is not None and now.keeps_rank and "aggregation" in wanted:
        names.sort(key=lambda name: name != "aggregation")
    return [command_for(name, wanted[name]) for name in names]


def stepped(state: RunState, setting: str, value: Any, step: int) -> Any:
    """Give the value a step up or down from one, the same where there is none."""
    if setting == "aggregation":
        able = able_methods(state)
        place = able.index(value) if value in able else 0
        return able[(place + step) % len(able)]
    limits = bounds(state, setting)
    if setting == "rounds":
        following: float = value + step
    elif setting == "rate":
        return _next_of(RATES, float(value), step)
    elif setting == "fraction":
        return _fraction_step(state, float(value), step)
    else:
        doublings = math.log2(max(1, value))
        following = 2 ** (math.floor(doublings) + 1 if step > 0 else math.ceil(doublings) - 1)
    return int(min(max(following, limits.least), limits.most))


def _next_of(values: tuple[float, ...], value: float, step: int) -> float:
    slack = 1e-9 * value
    if step > 0:
        return next((one for one in values if one > value + slack), value)
    return next((one for one in reversed(values) if one < value - slack), value)


def _fraction_step(state: RunState, value: float, step: int) -> float:
    """Let an organization more or fewer train, of very many a twentieth; written as short as says that number."""
    all_ = len(state.organizations)
    if not all_:
        return value
    count = taking_part(state, value) + step * max(1, all_ // 20)
    count = min(max(count, min(all_, least_organizations(state))), all_)
    for digits in (2, 4, 6):
        short = math.floor(count / all_ * 10**digits) / 10**digits
        if taking_part(state, short) == count:
            return short
    return count / all_


def least_organizations(state: RunState) -> int:
    """Give how many organizations a round needs."""
    return int(configured(state, "federation", "min_organizations", 2))


def taking_part(state: RunState, fraction: float) -> int:
    """Give how many organizations train in a round, of those that are here, as the run samples them."""
    all_ = len(state.organizations)
    return min(all_, max(least_organizations(state), math.ceil(round(fraction * all_, 9))))
