"""What settings cost before they are applied: bytes, memory and seconds, estimated from the rounds behind.

A number that cannot be told from what the run said is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedlora_tui.console.tuning import configured, stands, taking_part
from fedlora_tui.protocol.state import RoundSummary, RunState
from fedlora_tui.protocol.tuning import METHODS

FLOAT_BYTES = 4
KEPT_BYTES = 16
"""A number of an adapter in training is kept four times in float32: itself, its gradient, and AdamW's two means."""

RECENT = 5


@dataclass(frozen=True)
class Costs:
    """What a round of some settings takes.

    `trainable` counts the numbers of the adapter, `reply` and `round` are bytes, `memory` is what the adapters that
    train side by side are kept in, in bytes; `seconds` are a round's, `left` those to the end of the run.
    """

    trainable: float | None = None
    reply: float | None = None
    round: float | None = None
    memory: float | None = None
    seconds: float | None = None
    left: float | None = None


def costs(state: RunState, wanted: Mapping[str, Any], now: float) -> Costs:
    """Estimate what rounds take with settings turned to what is wanted, the others as they stand."""
    seconds = _seconds(state, wanted)
    return Costs(
        trainable=_trainable(state, wanted),
        reply=_reply(state, wanted),
        round=_round_bytes(state, wanted),
        memory=_memory(state, wanted),
        seconds=seconds,
        left=_left(state, wanted, seconds, now),
    )


def _rank_ratio(state: RunState, wanted: Mapping[str, Any]) -> float | None:
    """Give how many times as large an adapter becomes; None where some modules keep ranks of their own."""
    if not state.rank or configured(state, "lora", "rank_pattern", {}):
        return None
    return float(wanted.get("rank", state.rank)) / state.rank


def _trainable(state: RunState, wanted: Mapping[str, Any]) -> float | None:
    """Give the numbers of the global adapter, which has the highest rank of all."""
    if "rank" not in wanted:
        return state.trainable or None
    own = list(state.ranks.own.values())
    highest = max(state.rank, *own, 0)
    if _rank_ratio(state, wanted) is None or not state.trainable or not highest:
        return None
    return state.trainable * max(float(wanted["rank"]), *own, 0) / highest


def _method(state: RunState, wanted: Mapping[str, Any]) -> str:
    return str(wanted.get("aggregation", state.aggregation))


def _reply(state: RunState, wanted: Mapping[str, Any]) -> float | None:
    terms, ratio = METHODS.get(_method(state, wanted)), _rank_ratio(state, wanted)
    own = list(state.ranks.own.values())
    if terms is None or ratio is None:
        return None
    if terms.both:
        return state.trainable * FLOAT_BYTES * ratio * state.rank / max(state.rank, *own, 0)
    row = _last_round(state)
    if row is None or not row.orgs or _method(state, wanted) != state.aggregation:
        return None
    return row.bytes_up / row.orgs * ratio


def _round_bytes(state: RunState, wanted: Mapping[str, Any]) -> float | None:
    """Scale the last round's bytes; of another method only where both send and bring one whole adapter."""
    row, ratio, share = _last_round(state), _rank_ratio(state, wanted), _share(state, wanted)
    before, after = (METHODS.get(name) for name in (state.aggregation, _method(state, wanted)))
    if row is None or ratio is None or share is None or before is None or after is None:
        return None
    if before is not after and not all(terms.both and not terms.changes_base for terms in (before, after)):
        return None
    if share != 1 and after.changes_base:
        return None
    return (row.bytes_up + row.bytes_down) * ratio * share


def _memory(state: RunState, wanted: Mapping[str, Any]) -> float | None:
    trainable = _trainable(state, wanted)
    if trainable is None or state.cohort is None or state.deployed:
        # What is kept while they train is kept on machines of their own.
        return None
    training = taking_part(state, float(wanted.get("fraction", stands(state, "fraction"))))
    return KEPT_BYTES * trainable * min(training, state.cohort * state.lanes)


def joining(state: RunState, many: int) -> tuple[float | None, float | None, float | None]:
    """Estimate what so many organizations more take in a round: bytes sent and brought, bytes kept here, seconds."""
    row, training = _last_round(state), taking_part(state, float(stands(state, "fraction")))
    if row is None or not training:
        return None, None, None
    if state.deployed:
        # It trains beside the others, on a machine of its own.
        return (row.bytes_up + row.bytes_down) / training * many, None, 0.0
    seconds = _training_seconds(state)
    beside = state.cohort * state.lanes if state.cohort is not None else None
    more = None if beside is None else max(0, min(beside, training + many) - training)
    return (
        (row.bytes_up + row.bytes_down) / training * many,
        None if more is None else KEPT_BYTES * state.trainable * more,
        None if seconds is None else seconds / training * many,
    )


def _training_seconds(state: RunState) -> float | None:
    """Give how long a usual round trains."""
    now, row = _usual_seconds(state), _last_round(state)
    if now is None or row is None or not state.speed:
        return now
    return min(row.tokens / state.speed, now)


def _seconds(state: RunState, wanted: Mapping[str, Any]) -> float | None:
    """Scale the training's part of a round by steps, organizations and the work of a token; the rest stays."""
    now, training, share = _usual_seconds(state), _training_seconds(state), _share(state, wanted)
    if now is None or training is None or share is None:
        return None
    steps = stands(state, "steps")
    more_steps = wanted.get("steps", steps) / steps if steps else 1.0
    if state.deployed:
        share = 1.0  # they train at the same time
    return training * more_steps * share * _work_ratio(state, wanted) + now - training


def _work_ratio(state: RunState, wanted: Mapping[str, Any]) -> float:
    """Give how many times the work of a token becomes: twice through the base, three times through the adapter."""
    before, after = state.trainable, _trainable(state, wanted)
    params = state.started.params if state.started is not None else 0
    if after is None or not params:
        return 1.0
    return (4 * params + 6 * after) / (4 * params + 6 * before)


def _left(state: RunState, wanted: Mapping[str, Any], seconds: float | None, now: float) -> float | None:
    left, usual = state.seconds_left(now), _usual_seconds(state)
    if left is None or usual is None or seconds is None:
        return None
    under_way = max(0.0, left - usual * (state.rounds - state.round))
    return under_way + seconds * max(0, int(wanted.get("rounds", state.rounds)) - state.round)


def _share(state: RunState, wanted: Mapping[str, Any]) -> float | None:
    """Give how many times as many organizations train."""
    before = taking_part(state, float(stands(state, "fraction")))
    if not before:
        return None
    return taking_part(state, float(wanted.get("fraction", stands(state, "fraction")))) / before


def _last_round(state: RunState) -> RoundSummary | None:
    return next((row for row in reversed(state.history) if row.round > 0 and row.seconds), None)


def _usual_seconds(state: RunState) -> float | None:
    recent = [row.seconds for row in state.history[-RECENT:] if row.seconds and row.round > 0]
    return sum(recent) / len(recent) if recent else None
