"""What an organization's events make of its state: a row a round however it ended, and the ledger of what left it."""

from __future__ import annotations

import math

import pytest

from fedlora_tui.aggregation.products import Update
from fedlora_tui.engine.spread import MOST_MODULES, MOST_ORGANIZATIONS, by_module
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record, from_json, to_json
from fedlora_tui.protocol.organization import OrganizationState
from fedlora_tui.protocol.state import RunState, fold

NAMES = ("alpha", "beta")


def folded(*told: tuple[float, ev.Event]) -> OrganizationState:
    """What the events of a run make of alpha, by way of their lines."""
    records = [from_json(to_json(Record(number, t, event))) for number, (t, event) in enumerate(told, 1)]
    return fold(RunState(), records).organizations["alpha"]


def begun(round: int, t: float, *names: str) -> tuple[float, ev.Event]:
    return t, ev.RoundStarted(round, 5, names or NAMES, 2)


def test_a_round_has_its_seconds_bytes_and_how_it_ended() -> None:
    alpha = folded(
        begun(1, 100.0),
        (102.0, ev.TrainStep("alpha", 1, 1, 2, 3.0, 10)),
        (104.5, ev.TrainStep("alpha", 1, 2, 2, 2.0, 10)),
        (109.0, ev.UpdateReceived("alpha", 1, 640, 1280, 20, 2.5, 4, 4)),
        (110.0, ev.OrgEvaluated("alpha", 1, 2.4, 50, 640, False, 2)),
        begun(2, 111.0),
        (112.0, ev.UpdateRejected("alpha", 2, "nan")),
        (113.0, ev.OrgEvaluated("alpha", 2, 2.3, 50, 640, False, 2)),
        begun(3, 114.0),
        (115.0, ev.UpdateLate("alpha", 3, "after the deadline", 9.0)),
        begun(4, 116.0, "beta"),
        (117.0, ev.OrgEvaluated("alpha", 4, 2.2, 50)),
    )
    assert [(row.round, row.ended, row.holdout) for row in alpha.history] == [
        (1, "done", 2.4),
        (2, "fault", 2.3),
        (3, "late", None),
        (4, "absent", 2.2),
    ]
    assert (alpha.history[0].seconds, alpha.history[0].bytes_up) == (4.5, 640)
    ledger = alpha.ledger
    assert (ledger.replies, ledger.tensors, ledger.numbers, ledger.came, ledger.trained) == (1, 4, 8, 3, 20)


def test_counts_weight_and_modules_come_with_their_events() -> None:
    counts = ev.TextCounts({"empty": 2}, 40, 12, 9, 0.5)
    alpha = folded(
        (1.0, ev.OrgJoined("alpha", 3, 11, 300, 30, 4, 0.2, counts)),
        begun(3, 2.0),
        (3.0, ev.UpdateReceived("alpha", 3, 1, 1, 1, 2.0)),
        (4.0, ev.RoundAggregated(3, NAMES, {"alpha": 0.25, "beta": 0.75}, 0.0, 0.1, norms={"alpha": 2.0})),
        (4.0, ev.UpdateMeasured("alpha", 3, {"h.1": 0.9, "h.0": 0.1}, {"h.1": math.nan, "h.0": 0.3}, 2)),
        (5.0, ev.OrgEvaluated("alpha", 3, 2.0, 1, 0, own=True)),
    )
    assert (alpha.counts, alpha.joined, alpha.weight, alpha.own) == (counts, 3, 0.25, True)
    assert alpha.by_module.shares == {"h.1": 0.9, "h.0": 0.1}
    assert alpha.by_module.cosines == {"h.1": None, "h.0": 0.3}


def test_updates_are_told_by_module_the_largest_first_and_not_of_very_many() -> None:
    modules = {f"h.{number}": (float(number), 0.5) for number in range(40)}
    norm = math.sqrt(sum(own**2 for own, _ in modules.values()))
    (told,) = by_module(2, {"alpha": Update(norm, 0.5, modules), "still": Update(0.0, math.nan, {})})
    assert (told.org, told.round, told.modules, len(told.shares)) == ("alpha", 2, 40, MOST_MODULES)
    assert list(told.shares)[:2] == ["h.39", "h.38"]
    assert told.shares["h.39"] == pytest.approx(39**2 / norm**2, abs=1e-6)
    many = {str(number): Update(norm, 0.5, modules) for number in range(MOST_ORGANIZATIONS + 1)}
    assert list(by_module(2, many)) == []
