"""Organizations that misbehave in whole runs: what is told, what is lost, and that the others' result stays theirs."""

from __future__ import annotations

import pytest
import torch

from fedlora_tui.engine import checkpoint, rounds
from fedlora_tui.engine.conduct import Conduct
from fedlora_tui.engine.reception import Arrivals
from fedlora_tui.federation.client_app import kept_adapter
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import NOTHING
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.state import RunState, fold
from tests.tiny_models import write_texts
from tests.tiny_runs import WatchedRun, configured, small_settings

FIRST = "transformer.h.0.attn.c_attn.lora_A.weight"
REFUSED = {
    "crash": "error 2: Crashed",
    "nan": "nan or infinity in transformer.h.1.attn.c_attn.lora_A.weight",
    "garbage shapes": f"{FIRST} is not float32 [4, 32]",
    "garbage names": "1 tensors that are no part of the adapter",
    "garbage dtype": f"{FIRST} is not float32 [4, 32]",
    "garbage bytes": f"{FIRST} holds something else than the array that it declares",
    "dropout": "no reply came",
    "dropout after 0": "no reply came",
}
"""What is said of the reply of each fault that gives no usable one."""

SECONDS = {"alpha": 0.25, "beta": 8.0, "gamma": 0.5, "delta": 1.0}


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path) | {"federation.quarantine_after": 0, "federation.cohort": 1}


class FakeTime:
    """A clock that only sleeping moves on."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def timed(monkeypatch):
    """Rounds whose time is that of sleeping alone, and organizations that train for as long as is written above."""
    monkeypatch.setattr(rounds, "time", FakeTime())
    monkeypatch.setattr(
        Arrivals, "step", lambda self, names: self.seconds.update({name: SECONDS[name] for name in names})
    )


def factors(watched, round):
    """Every byte of a round's adapter."""
    kept = checkpoint.read(watched.folder, round).adapter.tensors()
    return {name: tensor.numpy().tobytes() for name, tensor in kept.items()}


def of(watched, kind, org):
    return [event for event in watched.told(kind) if event.org == org]


def without(settings, tmp_path, names):
    """The settings of a run of these organizations alone."""
    return settings | {"data.path": str(write_texts(tmp_path / "fewer", names))}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_fault_is_told_with_its_reason_and_the_result_is_to_the_byte_that_of_the_good_ones(settings, tmp_path, fault):
    watched = WatchedRun(configured(settings, **{"faults.beta": fault})).go()
    good = WatchedRun(configured(without(settings, tmp_path, ("alpha", "gamma")))).go()
    assert watched.run.state.phase == "done"
    refusals = of(watched, ev.UpdateRejected, "beta")
    assert [(one.round, one.reason) for one in refusals] == [(1, REFUSED[fault]), (2, REFUSED[fault])]
    assert [one.orgs for one in watched.told(ev.RoundFinished)] == [("alpha", "gamma")] * 2
    assert factors(watched, 2) == factors(good, 2)
    beta = watched.run.state.organizations["beta"]
    unanswered = 2 if "dropout" in fault else 0
    assert (beta.faults, beta.refused, beta.unanswered, beta.state) == (2, 2 - unanswered, unanswered, "fault")
    assert beta.note == REFUSED[fault]


def test_garbage_comes_in_every_form_in_turn(settings):
    watched = WatchedRun(configured(settings, faults__beta="garbage", federation__rounds=4)).go()
    reasons = {event.reason for event in of(watched, ev.UpdateRejected, "beta")}
    assert reasons == {reason for fault, reason in REFUSED.items() if fault.startswith("garbage")}


@pytest.mark.parametrize(("fault", "steps"), [("dropout", [1]), ("dropout after 0", []), ("crash", [])])
def test_who_drops_out_or_crashes_makes_no_more_steps_and_the_others_make_all_of_theirs(settings, fault, steps):
    settings |= {"federation.cohort": 3, "federation.rounds": 1}
    watched = WatchedRun(configured(settings, **{"faults.beta": fault})).go()
    assert [event.step for event in of(watched, ev.TrainStep, "beta")] == steps
    for name in ("alpha", "gamma"):
        assert [event.step for event in of(watched, ev.TrainStep, name)] == [1, 2]


def test_the_others_of_a_pass_train_to_the_byte_as_beside_an_honest_one(settings):
    settings |= {"federation.cohort": 3, "federation.rounds": 1}
    losses = []
    for fault in ("none", "dropout", "nan"):
        watched = WatchedRun(configured(settings, faults__beta=fault)).go()
        losses.append([event.loss for name in ("alpha", "gamma") for event in of(watched, ev.TrainStep, name)])
    assert losses[0] == losses[1] == losses[2]


def test_who_crashed_has_lost_what_it_held_and_is_sent_everything_and_then_is_honest_again(settings, monkeypatch):
    sent = []
    original = LocalGrid.send_and_receive

    def spying(self, messages, *, timeout=None):
        messages = list(messages)
        sent.extend(messages)
        return original(self, messages, timeout=timeout)

    monkeypatch.setattr(LocalGrid, "send_and_receive", spying)
    watched = WatchedRun(configured(settings, faults__beta="crash in round 1")).go()
    assert watched.run.state.phase == "done"
    assert [event.round for event in of(watched, ev.UpdateReceived, "beta")] == [2]
    beta = [message.content["config"] for message in sent if message.metadata.dst_node_id == 3]
    assert [(config["server-round"], config["held-version"] == NOTHING) for config in beta] == [
        *((0, True), (1, False)),  # the first look brings the adapter
        *((1, True), (2, False), (2, False)),
    ]
    assert len(of(watched, ev.OrgEvaluated, "beta")) == 3
    assert watched.run.state.organizations["beta"].state == "done"


def test_a_poisoned_update_passes_the_check_and_is_so_many_times_as_long(settings):
    settings |= {"federation.rounds": 1}
    poisoned = WatchedRun(configured(settings, faults__beta="poison x-10")).go()
    honest = WatchedRun(configured(settings)).go()
    ours, theirs = (watched.told(ev.RoundAggregated)[0].norms["beta"] for watched in (poisoned, honest))
    assert not poisoned.told(ev.UpdateRejected)
    assert ours > 5 * theirs > 0
    assert factors(poisoned, 1) != factors(honest, 1)


def test_faults_for_nobody_change_nothing_and_are_told(settings):
    honest = WatchedRun(configured(settings)).go()
    watched = WatchedRun(configured(settings, faults__bet="nan", federation__quarantine_after=2)).go()
    assert factors(watched, 2) == factors(honest, 2)
    (warning,) = watched.told(ev.Warned)
    assert warning.message == (
        "faults.bet: no organization of this name is here; nearest is beta; it counts once one joins"
    )


def test_a_fault_is_given_while_it_runs_from_the_next_round_on_and_taken_back(settings):
    settings |= {"federation.rounds": 4}
    watched = WatchedRun(configured(settings))

    def steer():
        watched.run.send(ask.Fault("nan for 2 rounds", "beta"))
        watched.run.send(ask.Fault("crash", "alpha"))
        watched.run.send(ask.Undo())

    watched.when(lambda event: isinstance(event, ev.RoundStarted) and event.round == 1, steer)
    watched.go()
    assert [(event.org, event.round) for event in watched.told(ev.UpdateRejected)] == [("beta", 2), ("beta", 3)]
    (turned,) = watched.told(ev.KnobTurned)
    assert (turned.round, turned.knob, turned.before, turned.value, turned.org) == (
        *(2, "fault", "none", "nan in rounds 2-3"),
        "beta",
    )
    first = watched.told(ev.CommandAcknowledged)[0]
    assert (first.value, first.takes_effect_round) == ({"org": "beta", "fault": "nan in rounds 2-3"}, 2)
    assert watched.run.state.organizations["beta"].fault == "nan in rounds 2-3"
    assert watched.run.state == fold(RunState(), watched.records)


def test_a_repeat_offender_is_put_in_quarantine_with_the_reason_and_takes_no_part_until_it_is_released(settings):
    settings |= {"federation.rounds": 6, "federation.quarantine_after": 2, "faults.beta": "nan in rounds 1-2"}
    watched = WatchedRun(configured(settings))
    watched.when(
        lambda event: isinstance(event, ev.RoundStarted) and event.round == 4,
        lambda: watched.run.send(ask.Release("beta")),
    )
    watched.go()
    (quarantined,) = watched.told(ev.OrgQuarantined)
    reason = f"2 replies refused ({REFUSED['nan']})"
    assert (quarantined.org, quarantined.round, quarantined.reason, quarantined.rounds) == ("beta", 2, reason, 2)
    assert [("beta" in event.orgs) for event in watched.told(ev.RoundStarted)] == [True, True, False, False, True, True]
    assert [event.round for event in of(watched, ev.OrgEvaluated, "beta")] == [0, 1, 5, 6]
    assert [event.round for event in of(watched, ev.OrgReleased, "beta")] == [5]
    beta = watched.run.state.organizations["beta"]
    assert (beta.quarantines, beta.faults, beta.state, beta.note) == (1, 2, "done", "")
    seen = fold(RunState(), [one for one in watched.records if one.seq <= released_after(watched)])
    assert (seen.organizations["beta"].state, seen.organizations["beta"].note) == ("quarantine", reason)
    assert Conduct(record.event for record in watched.journal()).quarantined == frozenset()


def released_after(watched):
    """The place of the last record before the release takes effect."""
    return next(record.seq for record in watched.records if isinstance(record.event, ev.OrgReleased)) - 1


def test_a_quarantine_that_leaves_too_few_pauses_the_run_until_one_is_released(settings):
    settings |= {"federation.min_organizations": 3, "federation.quarantine_after": 1, "federation.rounds": 3}
    watched = WatchedRun(configured(settings, faults__beta="garbage in round 1"))
    watched.run.start()
    pause = watched.wait_for(lambda event: isinstance(event, ev.RunPaused))
    assert pause.reason == "needs 3 organizations, has 2, 1 in quarantine"
    watched.run.send(ask.Resume())
    assert watched.told(ev.CommandRefused)[-1].reason == (
        "a round needs 3 organizations, 2 would be here: add or release one first"
    )
    watched.run.send(ask.Release("alpha"))
    assert watched.told(ev.CommandRefused)[-1].reason == "alpha is not in quarantine"
    watched.run.send(ask.Release("beta"))
    watched.run.send(ask.Release("beta"))
    assert watched.told(ev.CommandRefused)[-1].reason == "beta is released at the next round already"
    watched.run.send(ask.Resume())
    watched.end()
    assert watched.run.state.phase == "done"
    assert [len(event.orgs) for event in watched.told(ev.RoundFinished)] == [2, 3, 3]


def test_with_too_few_usable_replies_the_run_pauses_and_goes_through_the_round_again(settings):
    settings |= {"federation.min_replies": 3}
    watched = WatchedRun(configured(settings, faults__beta="nan in rounds 1-2"))
    watched.run.start()
    pause = watched.wait_for(lambda event: isinstance(event, ev.RunPaused))
    assert pause.reason == ("2 of 3 replies could be used, 3 are needed (federation.min_replies): " + REFUSED["nan"])
    assert not watched.told(ev.RoundAggregated)
    watched.run.send(ask.Fault("none", "beta"))
    assert watched.told(ev.CommandAcknowledged)[-1].takes_effect_round == 1
    watched.run.send(ask.Resume())
    watched.end()
    honest = WatchedRun(configured(settings)).go()
    assert watched.run.state.phase == "done"
    assert [event.round for event in watched.told(ev.RoundStarted)] == [1, 1, 2]
    assert [event.round for event in watched.told(ev.RoundFinished)] == [1, 2]
    assert [event.step for event in of(watched, ev.TrainStep, "alpha")] == [1, 2, 1, 2, 1, 2]
    assert factors(watched, 2) == factors(honest, 2)


def test_who_was_put_in_quarantine_by_a_round_that_is_to_be_gone_through_again_can_be_released_first(settings):
    settings |= {"federation.min_replies": 3, "federation.quarantine_after": 1}
    watched = WatchedRun(configured(settings, faults__beta="nan"))
    watched.run.start()
    watched.wait_for(lambda event: isinstance(event, ev.RunPaused))
    for command in (ask.Release("beta"), ask.Fault("none", "beta"), ask.Resume()):
        watched.run.send(command)
    watched.end()
    assert not watched.told(ev.CommandRefused)
    assert [len(event.orgs) for event in watched.told(ev.RoundFinished)] == [3, 3]


def test_a_run_that_is_ended_while_it_waits_for_replies_has_finished_the_rounds_before(settings):
    watched = WatchedRun(configured(settings, faults__beta="crash from round 2", federation__min_replies=3))
    watched.run.start()
    watched.wait_for(lambda event: isinstance(event, ev.RunPaused))
    watched.run.send(ask.Finish())
    watched.end()
    assert [event.rounds for event in watched.told(ev.RunFinished)] == [1]


def test_with_too_few_usable_replies_a_run_that_nobody_steers_fails(settings):
    config = configured(settings, faults__beta="nan", federation__min_replies=3)
    watched = WatchedRun(config, patient=False).go()
    assert watched.run.state.phase == "failed"
    assert "2 of 3 replies could be used, 3 are needed" in watched.run.state.reason


def test_who_is_later_than_the_deadline_is_left_out_and_the_round_waits_no_longer(settings, tmp_path, timed):
    settings |= {"federation.deadline": 2.0}
    watched = WatchedRun(configured(settings)).go()
    good = WatchedRun(configured(without(settings, tmp_path, ("alpha", "gamma")))).go()
    assert [(event.round, event.reason, event.seconds) for event in of(watched, ev.UpdateLate, "beta")] == [
        (1, "after the deadline of 2 s", 8.0),
        (2, "after the deadline of 2 s", 8.0),
    ]
    assert [event.seconds for event in watched.told(ev.RoundFinished)] == pytest.approx([2.0, 2.0])
    assert [event.seconds for event in good.told(ev.RoundFinished)] == pytest.approx([0.5, 0.5])
    assert factors(watched, 2) == factors(good, 2)
    beta = watched.run.state.organizations["beta"]
    assert (beta.state, beta.late, beta.faults) == ("late", 2, 2)
    assert beta.bytes_up > 0


def test_who_is_always_late_is_put_in_quarantine_once_late_is_not_held_against_it(settings, timed):
    settings |= {"federation.deadline": 2.0, "federation.quarantine_after": 2, "federation.rounds": 4}
    watched = WatchedRun(configured(settings)).go()
    (quarantined,) = watched.told(ev.OrgQuarantined)
    assert (quarantined.org, quarantined.round, quarantined.reason) == ("beta", 3, "3 replies late")


def test_a_slow_one_is_waited_for_so_many_times_as_long_and_shown_as_late_meanwhile(settings, timed):
    watched = WatchedRun(configured(settings, faults__gamma="slow x60 in round 1")).go()
    assert [event.seconds for event in watched.told(ev.RoundFinished)] == pytest.approx([30.0, 0.0])
    (late,) = [event for event in watched.told(ev.OrgState) if event.state == "late"]
    assert (late.org, late.round, late.note) == ("gamma", 1, "3.8 times the median reply")
    assert not watched.told(ev.UpdateLate)
    assert factors(watched, 2) == factors(WatchedRun(configured(settings)).go(), 2)


def test_more_are_sampled_than_needed_and_those_behind_the_last_needed_reply_are_left_out(settings, tmp_path, timed):
    texts = write_texts(tmp_path / "four", ("alpha", "beta", "gamma", "delta"))
    settings |= {"data.path": str(texts), "federation.fraction": 0.5, "federation.oversample": 1.0}
    watched = WatchedRun(configured(settings, federation__quarantine_after=1)).go()
    assert [len(event.orgs) for event in watched.told(ev.RoundStarted)] == [4, 4]
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [("alpha", "gamma")] * 2
    assert {(e.org, e.reason, e.surplus) for e in watched.told(ev.UpdateLate)} == {
        ("beta", "2 replies were in already", True),
        ("delta", "2 replies were in already", True),
    }
    assert [event.seconds for event in watched.told(ev.RoundFinished)] == pytest.approx([0.5, 0.5])
    beta = watched.run.state.organizations["beta"]
    assert (beta.late, beta.faults) == (2, 0)
    assert not watched.told(ev.OrgQuarantined)


def test_a_round_that_waits_for_a_slow_one_can_be_paused_and_stopped(settings, monkeypatch):
    monkeypatch.setattr(Arrivals, "step", lambda self, names: self.seconds.update(dict.fromkeys(names, 1.0)))
    watched = WatchedRun(configured(settings, faults__beta="slow x1000"))
    watched.run.start()
    watched.wait_for(lambda event: isinstance(event, ev.OrgState) and event.state == "late")
    watched.run.send(ask.Pause())
    watched.wait_for(lambda event: isinstance(event, ev.RunPaused))
    watched.run.send(ask.Resume())
    watched.run.send(ask.Stop())
    watched.end()
    assert watched.run.state.phase == "stopped"


@pytest.mark.parametrize("fault", ["nan in round 1", "crash in round 1", "dropout in round 1"])
def test_where_b_stays_at_home_who_misbehaved_begins_anew_with_everybodys(settings, fault):
    settings |= {"federation.aggregation": "fedsa", "federation.rounds": 2}
    watched = WatchedRun(configured(settings, **{"faults.beta": fault})).go()
    assert watched.run.state.phase == "done"
    assert set(checkpoint.read(watched.folder, 1).own) == {"alpha", "gamma"}
    assert set(checkpoint.read(watched.folder, 2).own) == {"alpha", "beta", "gamma"}


def test_where_b_stays_at_home_a_late_one_keeps_the_b_that_it_had(settings, timed, monkeypatch):
    settings |= {"federation.aggregation": "fedsa", "federation.rounds": 2, "federation.deadline": 2.0}
    monkeypatch.setitem(SECONDS, "beta", 0.5)
    at_home = {}
    original = rounds.RoundLoop._save

    def looking(loop, round, *losses):
        state = loop.grid.state(loop.server.node("beta"))
        at_home[round] = kept_adapter(state, loop.server.spec).factors
        original(loop, round, *losses)

    monkeypatch.setattr(rounds.RoundLoop, "_save", looking)
    watched = WatchedRun(configured(settings))
    watched.when(
        lambda event: isinstance(event, ev.RoundFinished) and event.round == 1,
        lambda: monkeypatch.setitem(SECONDS, "beta", 8.0),
    )
    watched.go()
    assert [event.round for event in of(watched, ev.UpdateLate, "beta")] == [2]
    own = checkpoint.read(watched.folder, 2).own["beta"].factors
    for module, kept in own.items():
        assert torch.equal(at_home[1][module].b, at_home[2][module].b)
        assert torch.equal(at_home[2][module].b, kept.b)
        assert not torch.equal(at_home[1][module].a, at_home[2][module].a)
        assert at_home[1][module].b.abs().sum() > 0


def test_where_everybody_crashes_there_is_nothing_to_aggregate_and_the_reason_is_told(settings):
    faults = {f"faults.{name}": "crash" for name in ("alpha", "beta", "gamma")}
    watched = WatchedRun(configured(settings, **faults), patient=False).go()
    assert watched.run.state.reason == "round 1: none of 3 replies could be used: error 2: Crashed"
    assert not watched.told(ev.TrainStep)
    assert not watched.told(ev.RoundAggregated)


def test_whoever_measures_may_all_be_in_quarantine(settings, tmp_path):
    texts = write_texts(tmp_path / "four", ("alpha", "beta", "gamma", "delta"))
    settings |= {"data.path": str(texts), "federation.fraction_evaluate": 0.25, "federation.quarantine_after": 1}
    one = WatchedRun(configured(settings)).go().told(ev.OrgEvaluated)[-1].org
    watched = WatchedRun(configured(settings, **{f"faults.{one}": "nan"})).go()
    assert watched.run.state.phase == "done"
    assert [event.eval_loss for event in watched.told(ev.RoundFinished)] == [None, None]
    assert [event.round for event in watched.told(ev.OrgEvaluated) if event.org == one] == [0]


def test_a_defence_that_has_too_few_replies_left_pauses_the_run_too(settings, tmp_path):
    names = ("alpha", "beta", "gamma", "delta", "epsilon")
    settings |= {"data.path": str(write_texts(tmp_path / "five", names))}
    settings |= {"federation.robust": "krum", "federation.byzantine": 1, "faults.beta": "nan"}
    watched = WatchedRun(configured(settings))
    watched.run.start()
    pause = watched.wait_for(lambda event: isinstance(event, ev.RunPaused))
    assert "krum" in pause.reason
    for command in (ask.Fault("none", "beta"), ask.Resume()):
        watched.run.send(command)
    watched.end()
    assert watched.run.state.phase == "done"
    assert [len(event.orgs) for event in watched.told(ev.RoundFinished)] == [5, 5]
