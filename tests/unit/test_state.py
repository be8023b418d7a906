"""The reducer: pure, never raising, and telling of a run what its events say."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from itertools import pairwise
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import KINDS, Record, Unknown, from_json, to_json
from fedlora_tui.protocol.state import LOG_LENGTH, MERGED_LENGTH, RunState, apply, fold


class Telling:
    """Tells events one after another, a second apart unless told otherwise."""

    def __init__(self):
        self.state, self.records, self.t = RunState(), [], 1000.0

    def __call__(self, *events, after=1.0):
        for event in events:
            self.t += after
            self.records.append(Record(len(self.records) + 1, self.t, event))
            self.state = apply(self.state, self.records[-1])
        return self.state


def started(rounds=5, orgs=("a", "b")):
    return ev.RunStarted("r", "m", 100, 10, 4, 8.0, "fedit", orgs, "cpu", {}, rounds=rounds, learning_rate=1e-3)


@pytest.fixture
def tell():
    tell = Telling()
    tell(started(), ev.OrgJoined("a", 1, 10, 100, 20, 4), ev.OrgJoined("b", 1, 10, 300, 20, 4))
    tell(ev.OrgEvaluated("a", 0, 4.0, 20, 7), ev.OrgEvaluated("b", 0, 3.0, 60, 7))
    return tell


def one_round(tell, number, loss=2.5, orgs=("a", "b"), rounds=5):
    tell(ev.RoundStarted(number, rounds, orgs, 2, 1e-3))
    for step in (1, 2):
        tell(*(ev.TrainStep(org, number, step, 2, loss, 10) for org in orgs), after=0.5)
    tell(*(ev.UpdateReceived(org, number, 50, 60, 20, loss) for org in orgs))
    tell(*(ev.OrgEvaluated(org, number, loss - 0.1, 20, 5) for org in orgs))
    return tell(ev.RoundFinished(number, rounds, loss, loss - 0.1, 100, 120, 4.0, 40, 0.01, orgs))


# --- a run as told


def test_a_run_goes_from_starting_to_running_to_done(tell):
    assert tell.state.phase == "starting"
    assert tell.state.rounds == 5
    assert tell(ev.RoundStarted(1, 5, ("a", "b"), 2)).phase == "running"
    one_round(tell, 1)
    state = tell(ev.RunFinished(5, 2.5, 2.4, 3.25, 1, 2.4, 60.0, "asked for"))
    assert (state.phase, state.reason, state.over, state.progress) == ("done", "asked for", True, 1.0)


def test_the_base_is_measured_as_a_mean_by_tokens_and_a_late_joiner_leaves_it(tell):
    assert tell.state.base_loss == pytest.approx((4.0 * 20 + 3.0 * 60) / 80)
    one_round(tell, 1)
    before = tell.state.base_loss
    tell(ev.OrgJoined("c", 2, 5, 50, 10), ev.OrgEvaluated("c", 0, 9.0, 10, 5))
    assert tell.state.base_loss == before
    assert tell.state.organizations["c"].base_holdout == 9.0


def test_an_organization_known_by_name_alone_is_counted_later_and_keeps_all_else(tell):
    tell(ev.OrgJoined("c", 2, None, None, None, 4), ev.OrgEvaluated("c", 0, 9.0, 10, 5))
    assert (tell.state.organizations["c"].tokens, tell.state.organizations["c"].skew) == (0, None)
    counted = tell(ev.OrgCounted("c", 3, 5, 50, 10, 0.25)).organizations["c"]
    assert (counted.documents, counted.tokens, counted.holdout_tokens, counted.skew) == (5, 50, 10, 0.25)
    assert (counted.rank, counted.base_holdout) == (4, 9.0)


def test_the_size_of_a_cohort_is_the_last_that_was_told(tell):
    assert tell.state.cohort is None
    tell(ev.CohortSized(8), ev.CohortSized(4))
    assert tell.state.cohort == 4


def test_losses_are_means_by_tokens(tell):
    tell(ev.RoundStarted(1, 5, ("a", "b"), 2))
    tell(ev.TrainStep("a", 1, 1, 2, 4.0, 10), ev.TrainStep("b", 1, 1, 2, 2.0, 30), ev.TrainStep("a", 1, 2, 2, 1.0, 20))
    state = tell.state
    assert state.organizations["a"].loss == pytest.approx((4.0 * 10 + 1.0 * 20) / 30)
    assert state.organizations["b"].loss == 2.0
    assert state.train_loss == pytest.approx((40 + 60 + 20) / 60)
    assert (state.step, state.steps) == (2, 2)
    assert tell(ev.TrainStep("b", 1, 2, 2, None, 30)).train_loss == pytest.approx(120 / 60)


def test_a_finished_round_is_in_the_history_and_its_curve_is_kept(tell):
    state = one_round(tell, 1)
    state = one_round(tell, 2, loss=2.0)
    assert [row.round for row in state.history] == [0, 1, 2]
    assert (state.train_loss, state.eval_loss) == (2.0, pytest.approx(1.9))
    assert state.change == pytest.approx(-0.5)
    assert state.gain == pytest.approx(3.25 - 1.9)
    assert state.best.round == 2
    assert len(state.curve) == 2
    assert state.curve[1] == pytest.approx((2.0, 2.0))
    assert state.history[-1].tokens == 40
    assert state.round_curve == ()


def test_bytes_are_summed_and_stay_when_an_organization_leaves(tell):
    state = one_round(tell, 1)
    assert (state.bytes_up, state.bytes_down) == (100, 14 + 120 + 10)
    assert state.organizations["a"].bytes_up == 50
    state = tell(ev.OrgLeft("a", 2, "dropped by the operator"))
    assert (state.bytes_up, state.bytes_down) == (100, 144)


def test_pause_and_resume(tell):
    tell(ev.RoundStarted(1, 5, ("a", "b"), 2), ev.TrainStep("a", 1, 1, 2, 2.5, 10))
    assert tell(ev.PauseRequested(1)).phase == "pausing"
    state = tell(ev.RunPaused(1, 1, "needs 2 organizations"))
    assert (state.phase, state.reason) == ("paused", "needs 2 organizations")
    assert {org.state for org in state.organizations.values()} == {"waiting"}
    since, left = state.round_since, state.seconds_left(tell.t)
    assert state.seconds_left(tell.t + 500) == left
    state = tell(ev.RunResumed(1), after=100.0)
    assert (state.phase, state.reason) == ("running", "")
    assert state.round_since == since + 100
    assert state.seconds_left(tell.t) == pytest.approx(left)


def test_an_end_by_stop_or_failure_keeps_the_reason_and_ends_all_waiting(tell):
    for event, phase in ((ev.RunStopped(1, 3, "interrupted"), "stopped"), (ev.RunFailed(1, "no memory", 3), "failed")):
        again = copy.deepcopy(tell)
        again(ev.RoundStarted(1, 5, ("a", "b"), 2), ev.CommandAcknowledged("drop", "a", 2))
        state = again(event)
        assert (state.phase, state.reason, state.over, state.waiting) == (phase, event.reason, True, ())
        assert {org.state for org in state.organizations.values()} == {"stopped"}


def test_a_change_waits_for_its_round_and_then_is_made(tell):
    one_round(tell, 1)
    state = tell(ev.CommandAcknowledged("add", "c", 2), ev.OrgState("c", "joining", 2, "joins at round 2"))
    assert [(w.command, w.value, w.round) for w in state.waiting] == [("add", "c", 2)]
    assert (state.organizations["c"].state, state.organizations["c"].note) == ("joining", "joins at round 2")
    state = tell(ev.OrgJoined("c", 2, 9, 90, 9, 4, 0.25), ev.RoundStarted(2, 5, ("a", "b", "c"), 2))
    assert state.waiting == ()
    assert (state.organizations["c"].state, state.organizations["c"].tokens) == ("waiting", 90)
    assert (state.organizations["c"].skew, state.organizations["a"].skew) == (0.25, None)


def test_undo_takes_back_the_last_change_alone(tell):
    tell(ev.CommandAcknowledged("add", "c", 2), ev.OrgState("c", "joining", 2))
    tell(ev.CommandAcknowledged("drop", "a", 2), ev.OrgState("a", "leaving", 2))
    state = tell(ev.CommandAcknowledged("undo", {"command": "drop", "org": "a"}, None), ev.OrgState("a", "waiting", 1))
    assert [w.value for w in state.waiting] == ["c"]
    state = tell(ev.CommandAcknowledged("undo", {"command": "add", "org": "c"}, None), ev.OrgLeft("c", 2))
    assert state.waiting == ()
    assert "c" not in state.organizations


def test_a_change_that_was_made_waits_no_more_even_if_no_round_begins(tell):
    """With too few left the run pauses before RoundStarted: what was made must not be shown as waiting."""
    tell(ev.CommandAcknowledged("add", "c", 1), ev.CommandAcknowledged("drop", "a", 1))
    state = tell(ev.OrgLeft("c", 1, "cannot join"), ev.OrgLeft("a", 1, "dropped"), ev.RunPaused(1, 0, "needs 2"))
    assert state.waiting == ()


def test_an_organization_that_was_not_sampled_is_absent_and_still_measured(tell):
    one_round(tell, 1)
    tell(ev.RoundStarted(2, 5, ("a",), 2))
    assert tell.state.organizations["b"].state == "absent"
    state = tell(ev.OrgEvaluated("b", 2, 2.1, 20, 5))
    assert state.organizations["b"].holdout == 2.1
    assert [(row.round, row.holdout) for row in state.organizations["b"].history][-1] == (2, 2.1)


def test_a_refused_update_is_a_fault_that_stays_until_the_next_round(tell):
    tell(ev.RoundStarted(1, 5, ("a", "b"), 2))
    state = tell(ev.UpdateRejected("a", 1, "nan"), ev.OrgEvaluated("a", 1, 3.0, 20))
    assert (state.organizations["a"].state, state.organizations["a"].faults) == ("fault", 1)
    assert state.organizations["a"].note == "nan"
    assert tell(ev.RoundStarted(2, 5, ("a", "b"), 2)).organizations["a"].state == "waiting"


def aggregated(number, norms=None, cosines=None, drifts=None, drift=0.01):
    return ev.RoundAggregated(number, ("a", "b"), {}, drift, 0.1, (), (), drifts or {}, norms or {}, cosines or {})


def test_what_the_replies_of_a_round_came_to_is_kept_by_round_module_and_organization(tell):
    tell(ev.RoundStarted(1, 5, ("a", "b"), 1), ev.UpdateReceived("a", 1, 5, 5, 10, 2.5))
    tell(ev.UpdateReceived("b", 1, 5, 5, 10, 2.5))
    state = tell(aggregated(1, {"a": 1.5, "b": 0.5}, {"a": 0.9, "b": -0.3}, {"q": 0.02, "v": 0.0}, 0.015))
    (merged,) = state.merged
    assert (merged.round, merged.drift, dict(merged.drifts)) == (1, 0.015, {"q": 0.02, "v": 0.0})
    assert merged.cosine == pytest.approx(0.3)
    assert (state.organizations["a"].norm, state.organizations["a"].cosine) == (1.5, 0.9)
    state = tell(ev.OrgEvaluated("b", 1, 2.0, 20), ev.RoundFinished(1, 5, 2.5, 2.0, 0, 0, 1.0, 1, 0.015, ("a", "b")))
    assert state.history[-1].cosine == pytest.approx(0.3)
    row = state.organizations["b"].history[-1]
    assert (row.round, row.norm, row.cosine, row.holdout) == (1, 0.5, -0.3, 2.0)


def test_an_update_that_was_not_seen_has_no_norm_and_no_cosine_and_moves_no_mean(tell):
    numbers = {"a": 0.5, "b": None}
    assert tell(aggregated(1, numbers, numbers, {"q": None})).merged[-1].cosine == 0.5
    assert tell.state.organizations["b"].cosine is None
    nothing = dict.fromkeys("ab", float("nan"))
    state = tell(aggregated(2, nothing, nothing, {"q": float("nan")}))
    assert (state.merged[-1].cosine, state.merged[-1].drifts["q"], state.organizations["a"].norm) == (None, None, None)


def test_the_cosine_is_that_of_the_last_update_and_none_once_a_reply_is_refused(tell):
    tell(aggregated(1, {"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 0.6}), aggregated(2, {"a": 1.0}, {"a": 0.7}))
    assert [org.cosine for org in tell.state.organizations.values()] == [0.7, 0.6]
    assert tell(ev.UpdateRejected("b", 3, "nan")).organizations["b"].cosine is None


def test_a_round_that_is_gone_through_once_more_is_kept_once_and_old_ones_are_let_go(tell):
    tell(aggregated(1), aggregated(2), aggregated(3))
    tell(aggregated(2, drift=0.5))
    assert [(merged.round, merged.drift) for merged in tell.state.merged] == [(1, 0.01), (2, 0.5)]
    tell(*(aggregated(number) for number in range(3, MERGED_LENGTH + 30)))
    rounds = [merged.round for merged in tell.state.merged]
    assert rounds == list(range(30, MERGED_LENGTH + 30))


def test_answers_to_commands_are_kept(tell):
    state = tell(ev.CommandRefused("drop", "a", "a round needs 2"))
    assert state.answer.event.reason == "a round needs 2"
    assert state.answer.t == tell.t
    assert tell(ev.CommandAcknowledged("pause", None, None)).answer.event.command == "pause"


def test_the_time_left_comes_from_the_rounds_behind(tell):
    assert tell.state.seconds_left(tell.t) is None
    one_round(tell, 1)
    assert tell.state.seconds_left(tell.t) == pytest.approx(4.0 * 4)
    tell(ev.RoundStarted(2, 5, ("a", "b"), 2))
    assert tell.state.seconds_left(tell.t) == pytest.approx(4.0 * 4)
    assert tell.state.seconds_left(tell.t + 3) == pytest.approx(4.0 * 4 - 3)
    assert tell.state.seconds_left(tell.t + 3000) == pytest.approx(4.0 * 3)
    assert tell(ev.RunFailed(2, "x")).seconds_left(tell.t) is None


def test_in_the_first_round_the_time_left_comes_from_its_steps(tell):
    tell(ev.RoundStarted(1, 5, ("a", "b"), 4), ev.TrainStep("a", 1, 1, 4, 2.0, 10), after=2.0)
    assert tell.state.seconds_left(tell.t) == pytest.approx(8 * 5 - 2)


def test_progress_goes_from_0_to_1_without_a_step_back(tell):
    seen = [tell.state.progress]
    for number in range(1, 6):
        before = len(tell.records)
        one_round(tell, number)
        partial = Telling()
        for record in tell.records:
            partial.state = apply(partial.state, record)
            if record.seq > before:
                seen.append(partial.state.progress)
    assert seen[0] == 0
    assert seen[-1] == 1
    assert all(earlier <= later for earlier, later in pairwise(seen))


def test_seq_is_the_highest_seen_and_what_is_unrecorded_does_not_lower_it():
    state = apply(RunState(), Record(4, 1.0, ev.Warned("x")))
    assert apply(state, Record(0, 2.0, ev.Preparing("base", "working"))).seq == 4


def test_an_unknown_kind_changes_nothing_but_seq_time_and_log(tell):
    before = tell.state
    after = tell(Unknown("quarantined", {"org": "a"}))
    assert (after.seq, after.t) == (before.seq + 1, tell.t)
    assert after.organizations == before.organizations
    assert (after.phase, after.history) == (before.phase, before.history)


def test_the_log_is_bounded_and_holds_no_steps(tell):
    for number in range(LOG_LENGTH + 50):
        tell(ev.Warned(str(number)), ev.TrainStep("a", 1, 1, 2, 2.0, 1))
    assert len(tell.state.log) == LOG_LENGTH
    assert tell.state.log[-1].event == ev.Warned(str(LOG_LENGTH + 49))


@pytest.mark.parametrize("number", [0, -1, -7])
def test_a_step_before_the_first_counts_as_the_first(number):
    state = apply(RunState(), Record(1, 1.0, ev.TrainStep("a", 1, number, 4, 2.5, 10)))
    assert state.train_loss == 2.5


def test_a_long_round_keeps_its_shape_in_few_points(tell):
    tell(ev.RoundStarted(1, 5, ("a",), 1000))
    for step in range(1, 1001):
        tell(ev.TrainStep("a", 1, step, 1000, 1000.0 - step, 10))
    state = tell(ev.RoundFinished(1, 5, 1.0, 1.0, 0, 0, 1.0, 1, 0.0, ("a",)))
    (curve,) = state.curve
    assert len(curve) <= 16
    assert list(curve) == sorted(curve, reverse=True)
    assert sum(curve) / len(curve) == pytest.approx(499.5, rel=0.02)


# --- any events at all

names = st.sampled_from(["a", "b", "c", ""])
small = st.integers(0, 6)


def value_of(field, hint):
    text = str(hint)
    if field in ("round", "rounds", "step", "steps", "takes_effect_round") or hint is int:
        return st.integers(-2, 40)
    if field in ("org", "value"):
        return names
    if field in ("orgs", "target_modules"):
        return st.lists(names, max_size=3).map(tuple)
    if field == "state":
        return st.sampled_from(["waiting", "joining", "leaving", "testing", "fault", "working", "done"])
    if field == "waiting":
        change = st.builds(ev.Waiting, st.sampled_from(["add", "rank"]), names, st.integers(-2, 40))
        return st.lists(change, max_size=2).map(tuple)
    if field == "gpus":
        return st.just(())
    if field == "command":
        return st.sampled_from(["add", "drop", "undo", "pause"])
    if hint is bool:
        return st.booleans()
    if field in ("drifts", "norms", "cosines"):
        return st.dictionaries(names, st.none() | st.floats(), max_size=3)
    if "Mapping" in text:
        return st.just({})
    if "float" in text:
        floats = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 2.5])
        return st.none() | floats if "None" in text else floats
    if "int" in text:
        return st.none() | st.integers(-2, 40)
    return st.none() | names if "None" in text else names


def events():
    kinds = []
    for kind in KINDS.values():
        hints = {name: hint for name, hint in get_type_hints(kind).items() if name != "type"}
        kinds.append(st.builds(kind, **{name: value_of(name, hint) for name, hint in hints.items()}))
    return st.one_of(*kinds, st.just(Unknown("later", {})))


sequences = st.lists(st.tuples(events(), st.floats(0, 100)), max_size=25)


@given(sequences)
@settings(max_examples=300)
def test_no_events_make_it_raise_and_it_leaves_the_state_it_was_given_alone(sequence):
    state, t = RunState(), 1000.0
    for seq, (event, pause) in enumerate(sequence, 1):
        t += pause
        before = copy.deepcopy(state)
        after = apply(state, Record(seq, t, event))
        assert state == before
        assert apply(state, Record(seq, t, event)) == after
        state = after
        assert state.progress <= 1
        # Asked for on every frame, so they may not raise either.
        _ = (state.train_loss, state.eval_loss, state.base_loss, state.gain, state.change, state.best)
        left = state.seconds_left(t)
        assert left is None or left >= 0
        for org in state.organizations.values():
            assert org.loss is None or isinstance(org.loss, float)
    records = [Record(seq, 1000.0, event) for seq, (event, _) in enumerate(sequence, 1)]
    repeated = RunState()
    for record in records:
        repeated = apply(repeated, record)
    assert fold(RunState(), records) == repeated
    assert fold(fold(RunState(), records[:5]), records[5:]) == repeated


def test_what_may_be_done_with_ranks_is_that_of_the_method(tell):
    def terms():
        return tell.state.keeps_rank, tell.state.unequal_ranks

    tell(replace(started(), keeps_rank=False, unequal_ranks=False))
    tell(ev.KnobTurned(2, "rate", 1e-3, 5e-4, 10))
    assert terms() == (False, False)
    tell(ev.KnobTurned(3, "aggregation", "fedit", "hetlora", 10, keeps_rank=False, unequal_ranks=True))
    assert terms() == (False, True)
    tell(ev.KnobTurned(4, "aggregation", "hetlora", "fedsvd", 10, keeps_rank=True, unequal_ranks=False))
    assert terms() == (True, False)


def test_a_journal_that_does_not_tell_it_leaves_it_to_the_run_to_refuse(tell):
    lines = [to_json(Record(1, 1.0, started())), to_json(Record(2, 2.0, ev.KnobTurned(2, "aggregation", "a", "b", 10)))]
    untold = [json.loads(line) for line in lines]
    for line in untold:
        del line["keeps_rank"], line["unequal_ranks"]
    for state in states_after(from_json(json.dumps(line)) for line in untold):
        assert (state.keeps_rank, state.unequal_ranks) == (False, True)


def states_after(records):
    """The state after each of the records."""
    state = RunState()
    for record in records:
        state = apply(state, record)
        yield state


def ranks_told(state):
    return {name: org.rank for name, org in state.organizations.items()}


def test_who_has_a_rank_of_its_own_keeps_it_when_that_of_all_is_turned_to_it_and_past_it(tell):
    tell(replace(started(), config={"lora": {"rank": {"default": 4, "b": 8}}}), ev.OrgJoined("b", 1, 10, 300, 20, 8))
    for number, (before, after) in enumerate(pairwise((4, 8, 16)), 2):
        tell(ev.KnobTurned(number, "rank", before, after, 10))
    assert ranks_told(tell.state) == {"a": 16, "b": 8}
    assert tell.state.rank == 16


def test_who_is_turned_to_the_rank_of_all_goes_with_all_from_then_on(tell):
    tell(ev.KnobTurned(2, "rank", 4, 2, 10, "b"))
    assert ranks_told(tell.state) == {"a": 4, "b": 2}
    tell(ev.KnobTurned(3, "rank", 2, 4, 10, "b"), ev.KnobTurned(4, "rank", 4, 8, 10))
    assert ranks_told(tell.state) == {"a": 8, "b": 8}


def test_the_rank_of_an_organization_that_is_not_here_brings_nobody_here(tell):
    tell(ev.KnobTurned(2, "rank", 4, 2, 10, "c"))
    assert ranks_told(tell.state) == {"a": 4, "b": 4}
    assert tell(ev.OrgState("c", "joining", 2)).ranks.of("c") == 2
