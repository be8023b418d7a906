"""What a journal says that a run goes on with: what counts, what was asked for and waits, why it ended."""

from __future__ import annotations

import torch

from fedlora_tui.engine.past import Past, _outstanding, _why, stood_by
from fedlora_tui.engine.prepare import Stood
from fedlora_tui.engine.steering import Outstanding
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record, Waiting

START = ev.RunStarted("r", "m", 100, 10, 4, 8.0, "fedit", ("a", "b"), "cpu", {})


def numbered(*events):
    return [Record(seq, float(seq), event) for seq, event in enumerate(events, 1)]


def finished(round):
    return ev.RoundFinished(round, 9, 3.0, 4.0, 1, 2, 0.5, 64, 0.1, ("a", "b"))


def continued(round):
    return ev.RunContinued(round, "it was stopped", ("a", "b"), 9, 4, {}, 1e-3, "fedit", 9)


def asked(command, value, round):
    return ev.CommandAcknowledged(command, value, round)


def undone(command, org="", **value):
    return ev.CommandAcknowledged("undo", {"command": command, "org": org, **value}, None)


def outstanding(*events, seq=0, waiting=(), finish=None):
    return _outstanding(numbered(*events), Outstanding(1, seq, waiting, finish))


def test_what_was_asked_for_after_the_checkpoint_waits_behind_what_waited_then():
    found = outstanding(
        asked("rank", 2, 2), asked("rank", 8, 2), asked("drop", "a", 3), seq=1, waiting=(Waiting("add", "c", 2),)
    )
    assert found.waiting == (Waiting("add", "c", 2), Waiting("rank", 8, 2), Waiting("drop", "a", 3))


def test_what_was_taken_back_does_not_wait_whatever_came_before_or_after():
    own = {"org": "a", "rank": 2}
    found = outstanding(
        asked("rank", own, 2),
        asked("rank", 8, 2),
        undone("rank", to=0, value=8),
        asked("add", "c", 3),
        undone("add", "c"),
    )
    assert found.waiting == (Waiting("rank", own, 2),)
    assert outstanding(asked("rank", own, 2), undone("rank", "a", value=2)).waiting == ()


def test_an_early_end_counts_unless_the_run_was_stopped_after_it():
    assert outstanding(ev.RunFinishing(2, "asked for")).finish == 2
    assert outstanding(ev.RunFinishing(2, "asked for"), ev.RunStopped(2)).finish is None
    assert outstanding(ev.RunFinishing(2, "asked for"), ev.RunStopped(2, 1, "interrupted")).finish is None
    assert outstanding(finish=1).finish == 1


def test_an_early_end_still_counts_where_the_machine_and_not_the_operator_ended_the_run():
    assert outstanding(ev.RunFinishing(2, "asked for"), ev.RunStopped(2, 1, "terminated")).finish == 2


def counted(*events, round, told=None):
    records = numbered(START, *events)
    kept = Past(records, START, None, Outstanding(round), "", told).counted
    return [getattr(event, "reason", None) or f"{event.type} {getattr(event, 'round', '')}" for event in kept]


def test_half_rounds_and_rounds_that_were_gone_through_again_do_not_count():
    look = ev.CheckpointWritten(0, "", 1, 1.0)
    half = ev.UpdateRejected("a", 2, "half")
    again = ev.UpdateRejected("a", 2, "again")
    first = ev.UpdateRejected("a", 1, "first")
    events = look, first, finished(1), half, continued(1), again, finished(2), half
    assert counted(*events, round=2) == [
        "run_started ",
        "checkpoint_written 0",
        "first",
        "round_finished 1",
        "it was stopped",
        "again",
        "round_finished 2",
    ]
    assert counted(*events, round=1)[:4] == ["run_started ", "checkpoint_written 0", "first", "round_finished 1"]
    assert counted(look, first, round=0) == ["run_started ", "checkpoint_written 0"]
    assert counted(first, round=0) == []
    assert counted(look, first, round=1, told=finished(1))[-1] == "first"


def test_why_a_run_ended_is_told_from_its_last_events():
    steps = ev.RoundStarted(3, 9, ("a",), 4), ev.TrainStep("a", 3, 1, 4, 2.0)
    assert _why(numbered(*steps)) == "its process ended without a word"
    assert _why(numbered(*steps, ev.RunFailed(3, "out of memory"))) == "it failed: out of memory"
    assert _why(numbered(*steps, ev.RunStopped(3, 1, "interrupted"))) == "it was interrupted"
    assert (
        _why(numbered(ev.RunStopped(3, 1, "interrupted"), continued(2), *steps)) == "its process ended without a word"
    )


def test_sums_go_on_in_the_order_in_which_they_were_made():
    before = torch.get_num_threads()
    try:
        assert stood_by({"threads": before + 1, "cohort": 5, "lanes": 2}) == Stood(5, 2)
        assert torch.get_num_threads() == before + 1
        assert stood_by({}) is None
    finally:
        torch.set_num_threads(before)
