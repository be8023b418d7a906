"""A state goes back to the end of a round: from what it remembers, or by leaving out what came later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.continuing import KEPT
from fedlora_tui.protocol.events import Record, Waiting
from fedlora_tui.protocol.state import RunState, fold

NAMES = ("a", "b")
START = ev.RunStarted("r", "m", 100, 10, 4, 8.0, "fedit", NAMES, "cpu", {}, rounds=9, learning_rate=1e-3)


def a_round(round, names=NAMES):
    yield ev.RoundStarted(round, 9, names, 2, 1e-3)
    for step in (1, 2):
        yield from (ev.TrainStep(name, round, step, 2, 3.0 - round / 10, 8) for name in names)
    yield from (ev.UpdateReceived(name, round, 100, 50, 16, 3.0) for name in names)
    yield ev.RoundAggregated(round, names, dict.fromkeys(names, 0.5), 0.1, 0.1, norms=dict.fromkeys(names, 1.0))
    yield from (ev.OrgEvaluated(name, round, 4.0 - round / 10, 16, 20) for name in names)
    yield ev.CheckpointWritten(round, "", 1, 0.1)
    yield ev.RoundFinished(round, 9, 3.0 - round / 10, 4.0 - round / 10, 1, 2, 0.5, 64, 0.1, names)


def begun():
    yield START
    yield from (ev.OrgJoined(name, 1, 5, 100, 20, 4) for name in NAMES)
    yield from (ev.OrgEvaluated(name, 0, 4.5, 16, 20) for name in NAMES)
    yield ev.CheckpointWritten(0, "", 1, 0.1)


def goes_on(round, names=NAMES, **more):
    return ev.RunContinued(round, "it was stopped", names, 9, 4, {}, 1e-3, "fedit", 10, **more)


def folded(*events):
    return fold(RunState(), [Record(seq, 1000.0 + seq, event) for seq, event in enumerate(events, 1)])


def up_to(last):
    return [*begun(), *(event for round in range(1, last + 1) for event in a_round(round))]


def shown(state):
    """What of a state is of its rounds and organizations, without the clock."""
    named = ("round", "rounds", "curve", "merged", "left_up", "bytes_up", "bytes_down", "base_loss", "round_curve")
    history = [replace(row, t=0.0) for row in state.history]
    return [getattr(state, name) for name in named], history, dict(state.organizations)


@pytest.mark.parametrize("done", range(KEPT))
@pytest.mark.parametrize("half", [0, 1, 4, 9, 11])
def test_a_half_round_is_gone_wherever_it_ended(done, half):
    before = up_to(done)
    state = folded(*before, *list(a_round(done + 1))[:half], ev.RunStopped(done + 1, 1, "stopped"), goes_on(done))
    assert (state.phase, state.round_finished, state.step) == ("running", True, 0)
    assert shown(state) == shown(folded(*before, goes_on(done)))
    rest = [event for round in range(done + 1, 5) for event in a_round(round)]
    again = fold(state, [Record(100 + seq, 2000.0 + seq, event) for seq, event in enumerate(rest)])
    assert shown(again) == shown(folded(*up_to(4)))


def test_what_left_an_organization_in_a_half_round_did_leave_it():
    before = folded(*up_to(1), ev.UpdateReceived("a", 2, 100, 50, 16, 3.0, left={"A": 60, "B": 40}), goes_on(1))
    ledger = before.organizations["a"].ledger
    assert (ledger.left, ledger.lost, ledger.replies) == ({"A": 60, "B": 40}, 100, 1)


def test_one_that_joined_in_the_half_round_is_gone_and_one_that_left_is_back_with_its_history():
    before = up_to(2)
    joined = [ev.OrgJoined("c", 3, 5, 100, 20, 4), ev.OrgEvaluated("c", 0, 4.5, 16, 0), ev.OrgLeft("a", 3, "dropped")]
    state = folded(*before, *joined, *a_round(3, ("b", "c")), goes_on(2))
    assert shown(state) == shown(folded(*before, goes_on(2)))
    assert [row.round for row in state.organizations["a"].history] == [0, 1, 2]


def test_further_back_than_it_remembers_what_came_later_is_left_out():
    state = folded(*up_to(KEPT + 4), goes_on(2))
    assert [row.round for row in state.history] == [0, 1, 2]
    assert (len(state.curve), [merged.round for merged in state.merged]) == (2, [1, 2])
    assert [row.round for row in state.organizations["a"].history] == [0, 1, 2]
    assert (state.base_loss, state.eval_loss, state.round) == (4.5, 3.8, 2)


def test_no_more_is_remembered_than_a_few_rounds_and_nothing_within_what_is_remembered():
    state = folded(*up_to(9))
    assert [one.round for one in state.behind] == [6, 7, 8, 9]
    assert all(one.behind == () for one in state.behind)


def test_before_its_first_checkpoint_a_run_measures_the_base_again_and_counts_it_once():
    look = list(begun())[:-2]
    state = folded(*look, goes_on(0), *list(begun())[1:])
    assert state.base_loss == 4.5
    assert [row.round for row in state.history] == [0]
    assert (state.base_tokens, len(state.organizations["a"].history)) == (32, 1)


def test_what_waits_and_how_the_knobs_stood_is_told_with_it():
    waiting = (Waiting("rank", 8, 3, 4), Waiting("add", "c", 4))
    turned = ev.KnobTurned(3, "rank", 4, 8, 20)
    before = up_to(2)
    ranks = {"b": 2}
    told = replace(goes_on(2), rank=4, ranks=ranks, trainable=10, waiting=waiting)
    state = folded(*before, turned, *list(a_round(3))[:5], told)
    assert state.waiting == waiting
    assert (state.rank, state.trainable, state.marks) == (4, 10, ())
    assert {name: org.rank for name, org in state.organizations.items()} == {"a": 4, "b": 2}


def test_a_fork_begins_its_history_with_its_parents_round():
    base = [event for event in begun() if not isinstance(event, ev.CheckpointWritten)]
    first = [ev.OrgEvaluated(name, 7, 3.2, 16, 20) for name in NAMES]
    told = goes_on(7, train_loss=2.9, eval_loss=3.2)
    state = folded(*base, *first, ev.CheckpointWritten(7, "", 1, 0.1), told)
    assert [(row.round, row.train_loss, row.eval_loss) for row in state.history] == [(0, None, 4.5), (7, 2.9, 3.2)]
    after = fold(state, [Record(90, 1090.0, event) for event in a_round(8)])
    assert [row.round for row in after.history] == [0, 7, 8]
    assert [len(curve) for curve in after.curve] == [0, 2]
    assert after.gain == pytest.approx(4.5 - 3.2)
