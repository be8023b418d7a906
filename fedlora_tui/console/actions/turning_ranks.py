"""Turning ranks by keys: where they stand with what waits, the next step, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping

from fedlora_tui.console.actions.action import Situation
from fedlora_tui.console.actions.taking import cannot_change, cannot_change_selected
from fedlora_tui.protocol.commands import Command, Method, Rank
from fedlora_tui.protocol.ranks import Ranks
from fedlora_tui.protocol.state import RunState

RANKS = (1, 2, 4, 8, 16, 32, 64)
"""The ranks that one key goes through."""


def cannot_turn_rank(situation: Situation) -> str | None:
    """Say why the rank of all cannot turn that way, None where it can."""
    reason = cannot_change(situation) or _method_keeps_rank(situation.state)
    return reason or _at_the_end(situation, coming_ranks(situation.state).default)


def cannot_turn_own_rank(situation: Situation) -> str | None:
    """Say why the selected organization's own rank cannot turn that way, None where it can."""
    state = situation.state
    if (reason := cannot_change_selected(situation) or _method_keeps_rank(state)) is not None:
        return reason
    if not state.unequal_ranks and not _method_waits(state):
        return f"{state.aggregation} needs equal ranks: {situation.key('rank')} turns that of all"
    return _at_the_end(situation, coming_ranks(state).of(situation.selected or ""))


def _method_keeps_rank(state: RunState) -> str | None:
    return f"{state.aggregation} keeps its rank" if state.keeps_rank and not _method_waits(state) else None


def _method_waits(state: RunState) -> bool:
    """Tell whether another method is to come: what may be done with ranks then, the run alone knows."""
    return any(change.command == Method.name for change in state.waiting)


def _at_the_end(situation: Situation, stands: int) -> str | None:
    """Say that there is no further rank that way."""
    if situation.direction == "up" and stands >= RANKS[-1]:
        box = situation.key("command")
        return f"{stands} is the most here: {box if box == ':' else box + ' '}rank and --set take more"
    if situation.direction == "down" and stands <= RANKS[0]:
        return "1 is the least"
    return None


def coming_ranks(state: RunState) -> Ranks:
    """Give the ranks of the next round: those of now, and what waits."""
    ranks = state.ranks
    for change in state.waiting:
        if change.command != Rank.name:
            continue
        if isinstance(change.value, Mapping):
            ranks = ranks.turned(str(change.value.get("org")), change.value.get(Rank.name))
        else:
            ranks = ranks.turned("", change.value)
    return ranks


def turn_rank(situation: Situation) -> Command:
    """Turn the rank of all a step that way."""
    return Rank(_next_rank(situation, coming_ranks(situation.state).default))


def turn_own_rank(situation: Situation) -> Command:
    """Turn the selected organization's own rank a step that way."""
    name = situation.selected or ""
    return Rank(_next_rank(situation, coming_ranks(situation.state).of(name)), name)


def _next_rank(situation: Situation, stands: int) -> int:
    if situation.direction == "up":
        return next(rank for rank in RANKS if rank > stands)
    return next(rank for rank in reversed(RANKS) if rank < stands)
