"""A run that goes on ends with the bytes of the run that was never ended, wherever it was ended.

A copy of a run's folder, made while an event is told, is what a kill at that moment leaves: lines and files are whole
or not there, whoever looks.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from fedlora_tui.config import load
from fedlora_tui.engine import checkpoint, journal
from fedlora_tui.engine.run import Manner, Run, Start
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.state import RunState, fold
from tests.flows.test_race import WatchedRace, given
from tests.tiny_runs import GUARD, WatchedRun, configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def at(kind, round, org=None, nth=1):
    """The nth event of a kind in a round."""
    seen = []

    def holds(event):
        if not isinstance(event, kind) or event.round != round or (org and event.org != org):
            return False
        seen.append(event)
        return len(seen) == nth

    return holds


def ended_at(watched, tmp_path, moments):
    """Copy the run's folder as it is at each moment, by name."""
    copies = {}

    def copy(name):
        copies[name] = tmp_path / "ended" / name / watched.run.folder.name
        shutil.copytree(watched.run.folder, copies[name])

    for name, moment in moments.items():
        watched.when(moment, lambda name=name: copy(name))
    return copies


class GoneOn(WatchedRun):
    """A run that goes on in a folder."""

    def __init__(self, folder, patient=True):
        super().__init__(load(folder / "config.toml"))
        self.run = Run(load(folder / "config.toml"), Manner(patient=patient), start=Start(continues=folder))
        self.run.subscribe(self._hear)


def files(folder, round):
    home = folder / "checkpoints" / checkpoint.name(round)
    return {file.name: file.read_bytes() for file in home.glob("*.safetensors")}


def losses(records):
    """The losses of each round's end, as the last telling of it has them."""
    return {r.event.round: (r.event.train_loss, r.event.eval_loss, r.event.orgs) for r in records if ends(r.event)}


def ends(event):
    return isinstance(event, ev.RoundFinished)


def without_times(state):
    """What a state tells but for its clocks, which the journal rounds."""
    named = ("phase", "round", "rounds", "organizations", "curve", "merged", "marks", "waiting", "ranks", "left_up")
    return [getattr(state, name) for name in named], [replace(row, t=0.0) for row in state.history]


def check_same(whole, gone_on, last):
    assert gone_on.run.refusal is None
    assert gone_on.run.state.phase == "done", gone_on.run.state.reason
    assert files(gone_on.folder, last) == files(whole.folder, last)
    assert losses(gone_on.journal()) == losses(whole.journal())
    numbers = [record.seq for record in gone_on.journal()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert without_times(fold(RunState(), gone_on.journal())) == without_times(gone_on.run.state)
    ours, theirs = gone_on.run.state, whole.run.state
    assert [row.round for row in ours.history] == [row.round for row in theirs.history]
    assert list(ours.organizations) == list(theirs.organizations)
    assert [len(org.history) for org in ours.organizations.values()] == [
        len(org.history) for org in theirs.organizations.values()
    ]
    assert len(ours.curve) == len(theirs.curve)


MOMENTS = {
    "first look": at(ev.OrgEvaluated, 0),
    "first round": at(ev.TrainStep, 1),
    "in a round": at(ev.TrainStep, 2, nth=4),
    "measuring": at(ev.OrgEvaluated, 2, nth=2),
    "before round_finished": at(ev.CheckpointWritten, 2),
    "after round_finished": at(ev.RoundFinished, 2),
}


def test_wherever_a_run_is_ended_it_goes_on_to_the_same_bytes(settings, tmp_path):
    watched = WatchedRun(configured(settings, federation__rounds=3))
    copies = ended_at(watched, tmp_path, MOMENTS)
    watched.go()
    assert copies.keys() == MOMENTS.keys()
    for folder in copies.values():
        check_same(watched, GoneOn(folder).go(), 3)


def test_going_on_sends_the_adapter_once_more_to_each_and_the_totals_say_so_and_count_no_half_round(settings, tmp_path):
    watched = WatchedRun(configured(settings, federation__rounds=3))
    copies = ended_at(watched, tmp_path, {name: MOMENTS[name] for name in ("measuring", "after round_finished")})
    watched.go()
    one_adapter = watched.told(ev.RoundFinished)[0].bytes_up
    for folder in copies.values():
        state = GoneOn(folder).go().run.state
        assert state.bytes_up == watched.run.state.bytes_up
        assert state.bytes_down == watched.run.state.bytes_down + one_adapter


HARD = {
    "fedit and fedadam": {"federation__server_optimizer": "fedadam", "federation__server_learning_rate": 0.01},
    "fedavgm with schedules": {
        "federation__server_optimizer": "fedavgm",
        "federation__server_warmup": 3,
        "federation__server_cooldown": 0.5,
    },
    "fedsa": {"federation__aggregation": "fedsa"},
    "fedsa with a sample": {"federation__aggregation": "fedsa", "federation__fraction": 0.67},
    "flora": {"federation__aggregation": "flora"},
    "fedex": {"federation__aggregation": "fedex"},
    "rolora": {"federation__aggregation": "rolora"},
    "fedsvd": {"federation__aggregation": "fedsvd"},
    "unequal ranks": {"federation__aggregation": "hetlora", "lora__rank": "{ default = 4, beta = 2 }"},
    "one in quarantine": {
        "faults__alpha": "nan in round 2",
        "federation__quarantine_after": 1,
        "federation__min_organizations": 1,
    },
    "a module of its own rank": {"lora__rank_pattern": '{ "attn.c_attn" = 2 }', "lora__dropout": 0.1},
}


@pytest.mark.parametrize("hard", HARD)
def test_what_a_method_keeps_from_round_to_round_goes_on(settings, tmp_path, hard):
    watched = WatchedRun(configured(settings, federation__rounds=3, **HARD[hard]))
    copies = ended_at(watched, tmp_path, {"in the last round": at(ev.TrainStep, 3, nth=2)})
    watched.go()
    check_same(watched, GoneOn(copies["in the last round"]).go(), 3)


def test_what_was_asked_for_is_done_where_the_run_goes_on(settings, tmp_path):
    more = {"federation__organizations": 2, "federation__rounds": 4, "federation__server_optimizer": "fedadam"}
    watched = WatchedRun(configured(settings, **more))

    def ask_for(*commands):
        return lambda: [watched.run.send(command) for command in commands]

    early = ask.AddOrganization("gamma"), ask.Rank(6), ask.Steps(3), ask.Undo()
    late = ask.DropOrganization("alpha"), ask.Rate(2e-3), ask.Rounds(5), ask.Rank(8), ask.Undo()
    watched.when(at(ev.TrainStep, 1), ask_for(*early))
    watched.when(at(ev.TrainStep, 2), ask_for(*late))
    moments = {
        "before it takes effect": at(ev.UpdateReceived, 1),
        "at the boundary": at(ev.KnobTurned, 2),
        "in the round in which it took effect": at(ev.UpdateReceived, 2),
        "a round later": at(ev.UpdateReceived, 3),
    }
    copies = ended_at(watched, tmp_path, moments)
    watched.go()
    assert watched.run.state.rounds == 5
    gone_on = {name: GoneOn(folder) for name, folder in copies.items()}
    for name, one in gone_on.items():
        if name in ("before it takes effect", "at the boundary"):
            one.when(at(ev.TrainStep, 2), lambda one=one: [one.run.send(command) for command in late])
        check_same(watched, one.go(), 5)
    told = gone_on["in the round in which it took effect"].told(ev.RunContinued)[0]
    waiting = [(change.command, change.value, change.round) for change in told.waiting]
    assert waiting == [("add", "gamma", 2), ("rank", 6, 2), ("drop", "alpha", 3), ("rate", 2e-3, 3), ("rounds", 5, 3)]
    assert told.orgs == ("alpha", "beta")


def test_a_run_that_goes_on_shows_the_round_before_and_no_half_round(settings, tmp_path):
    watched = WatchedRun(configured(settings, federation__rounds=2))
    copies = ended_at(watched, tmp_path, {"here": at(ev.TrainStep, 2, nth=3), "round 1": at(ev.RoundFinished, 1)})
    watched.go()
    gone_on = GoneOn(copies["here"])
    states = []
    gone_on.when(lambda event: isinstance(event, ev.RunContinued), lambda: states.append(gone_on.run.state))
    gone_on.go()
    then = fold(RunState(), journal.read(copies["round 1"]))
    now = states[0]
    assert (now.phase, now.round, now.step, now.round_finished) == ("running", 1, 0, True)
    for name in ("history", "curve", "merged", "bytes_up", "bytes_down", "eval_loss", "train_loss"):
        assert getattr(now, name) == getattr(then, name), name
    for name, org in now.organizations.items():
        assert (org.history, org.step, org.round_curve) == (then.organizations[name].history, 0, ())
    assert gone_on.told(ev.RunContinued)[0].reason == "its process ended without a word"


def test_a_pause_does_not_survive_and_what_was_turned_in_it_does(settings, tmp_path):
    watched = WatchedRun(configured(settings, federation__rounds=3))
    watched.when(at(ev.TrainStep, 2), lambda: watched.run.send(ask.Pause()))
    watched.run.start()
    watched.wait_for(lambda event: isinstance(event, ev.RunPaused))
    watched.run.send(ask.Rank(8))
    copy = tmp_path / "ended" / watched.folder.name
    shutil.copytree(watched.folder, copy)
    watched.run.send(ask.Resume())
    watched.end()
    gone_on = GoneOn(copy).go()
    check_same(watched, gone_on, 3)
    assert checkpoint.read(gone_on.folder, 3).adapter.rank == 8


def test_an_early_end_that_was_asked_for_comes_after_the_same_round(settings, tmp_path):
    watched = WatchedRun(configured(settings, federation__rounds=4))
    watched.when(at(ev.TrainStep, 2), lambda: watched.run.send(ask.Finish()))
    copies = ended_at(watched, tmp_path, {"asked": at(ev.UpdateReceived, 2), "over": at(ev.RoundFinished, 2)})
    watched.go()
    for folder in copies.values():
        gone_on = GoneOn(folder).go()
        check_same(watched, gone_on, 2)
        assert checkpoint.rounds(gone_on.folder) == [0, 1, 2]


@pytest.mark.parametrize(("asked", "last"), [(ask.Rank(8), 4), (ask.Finish(), 2)], ids=["a rank", "an early end"])
def test_what_waited_when_the_machine_ended_a_run_waits_again(settings, asked, last):
    def gone_through(*commands):
        watched = WatchedRun(configured(settings, federation__rounds=4))
        watched.when(at(ev.TrainStep, 2), lambda: [watched.run.send(command) for command in commands])
        return watched.go()

    whole, ended = gone_through(asked), gone_through(asked, ask.Stop("terminated"))
    ended.run.close()
    assert ended.run.state.phase == "stopped"
    check_same(whole, GoneOn(ended.folder).go(), last)


def test_a_run_that_was_stopped_goes_on_and_says_why_it_had_ended(settings):
    watched = WatchedRun(configured(settings, federation__rounds=2))
    watched.when(at(ev.TrainStep, 2), lambda: watched.run.send(ask.Stop("stopped by the operator")))
    watched.go()
    watched.run.close()
    whole = WatchedRun(configured(settings, federation__rounds=2)).go()
    gone_on = GoneOn(watched.folder).go()
    check_same(whole, gone_on, 2)
    assert gone_on.told(ev.RunContinued)[0].reason == "it was stopped: stopped by the operator"


def test_a_broken_checkpoint_is_told_and_the_one_before_serves(settings, tmp_path):
    watched = WatchedRun(configured(settings, federation__rounds=3))
    copies = ended_at(watched, tmp_path, {"here": at(ev.TrainStep, 3)})
    watched.go()
    broken = copies["here"] / "checkpoints" / "round-0002" / "adapter.safetensors"
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 4
    broken.write_bytes(data)
    gone_on = GoneOn(copies["here"]).go()
    check_same(watched, gone_on, 3)
    (said,) = [event.message for event in gone_on.told(ev.Warned)]
    assert (
        said
        == "checkpoint round-0002/adapter.safetensors is not what was written: the run goes on after round 1 instead"
    )
    assert gone_on.told(ev.RunContinued)[0].round == 1


def test_a_run_whose_configuration_was_changed_is_refused_but_where_things_lie_may_change(settings, tmp_path):
    watched = WatchedRun(configured(settings))
    copies = ended_at(watched, tmp_path, {"here": at(ev.TrainStep, 2)})
    watched.go()
    file = copies["here"] / "config.toml"
    begun = file.read_text(encoding="utf-8")
    # One flipped bit makes a 3 of a 1, and measures on what was trained on.
    for before, after, said in (
        ("holdout = 0.1 ", "holdout = 0.3 ", "data.holdout = 0.3, and the run began with 0.1: put it back"),
        ("seed = 7 ", "seed = 6 ", "federation.seed = 6, and the run began with 7: put it back"),
    ):
        file.write_text(begun.replace(f"\n{before}", f"\n{after}"), encoding="utf-8")
        refused = GoneOn(copies["here"]).go()
        assert said in str(refused.run.refusal), refused.run.refusal
        assert "\n" not in str(refused.run.refusal)
        refused.run.close()
    texts = tmp_path / "moved"
    shutil.move(settings["data.path"], texts)
    file.write_text(begun.replace(settings["data.path"], str(texts)), encoding="utf-8")
    check_same(watched, GoneOn(copies["here"]).go(), 2)


def test_a_run_is_written_by_one_process_at_a_time(settings):
    watched = WatchedRun(configured(settings, federation__rounds=2))
    refusals = []

    def another():
        second = Run(load(watched.folder / "config.toml"), start=Start(continues=watched.folder))
        second.start()
        assert second.wait(GUARD)
        refusals.append(second.refusal)

    before = []
    watched.when(at(ev.TrainStep, 1), lambda: before.append((watched.folder / journal.NAME).read_bytes()))
    watched.when(at(ev.TrainStep, 1), another)
    watched.go()
    assert f"run {watched.folder.name} is being written by pid " in refusals[0]
    assert f"fedlora-tui attach {watched.folder}" in refusals[0]
    assert (watched.folder / journal.NAME).read_bytes().startswith(before[0])


def test_what_only_a_resume_needs_stays_of_the_newest_the_best_and_the_marked_rounds(settings):
    more = {"federation__rounds": 7, "federation__server_optimizer": "fedavgm", "runs__keep_full": 2}
    watched = WatchedRun(configured(settings, **more))
    watched.when(at(ev.TrainStep, 1), lambda: watched.run.send(ask.Rate(2e-3)))
    watched.go()
    full = [round for round in range(8) if checkpoint.is_full(watched.folder, round)]
    best = watched.run.state.best.round
    assert full == sorted({0, 2, 6, 7, best})
    assert checkpoint.read_state(watched.folder, 2)["marks"] == ["knob"]
    assert all(checkpoint.fault(watched.folder, round) is None for round in range(8))
    assert checkpoint.read(watched.folder, 1).server.first == {}
    assert [checkpoint.read(watched.folder, round).adapter.rank for round in range(8)] == [4] * 8


def test_a_console_is_given_the_whole_history_and_never_takes_the_run_for_over(settings):
    watched = WatchedRun(configured(settings, federation__rounds=2))
    watched.when(at(ev.TrainStep, 2), lambda: watched.run.send(ask.Stop("stopped by the operator")))
    watched.go()
    watched.run.close()
    config = load(watched.folder / "config.toml")
    run = Run(config, Manner(tells_past=True), start=Start(continues=watched.folder))
    run.start()
    assert run.wait(GUARD)
    state, over = RunState(), []
    for record in run.drain():
        state = fold(state, [record])
        over.append(state.over)
    assert over == [False] * (len(over) - 1) + [True]
    assert without_times(state) == without_times(run.state)
    assert [row.round for row in state.history] == [0, 1, 2]
    run.close()


def test_a_run_of_a_race_goes_on_alone_with_its_own_setting(settings, tmp_path):
    raced = WatchedRace(given(settings, "lora.rank=2,6", federation__rounds=2, federation__server_optimizer="fedavgm"))
    second = raced.race.runs[1]
    copy = tmp_path / "ended" / "second"

    def keep(record):
        if isinstance(record.event, ev.TrainStep) and record.event.round == 2 and not copy.exists():
            shutil.copytree(second.folder, copy)

    second.subscribe(keep)
    raced.go()
    gone_on = GoneOn(copy).go()
    assert gone_on.run.state.phase == "done", gone_on.run.state.reason or gone_on.run.refusal
    alone, together = (checkpoint.read(folder, 2).adapter for folder in (copy, second.folder))
    assert alone.rank == together.rank == 6
    for name, tensor in together.tensors().items():
        assert torch.allclose(alone.tensors()[name], tensor, atol=1e-5)


def test_a_run_of_whose_checkpoints_none_is_whole_is_refused_and_left_as_it_is(settings):
    watched = WatchedRun(configured(settings)).go()
    watched.run.close()
    for sums in (watched.folder / "checkpoints").glob("*/SHA256SUMS"):
        sums.write_text("")
    before = (watched.folder / journal.NAME).read_bytes()
    gone_on = Run(load(watched.folder / "config.toml"), start=Start(continues=watched.folder))
    gone_on.start()
    assert gone_on.wait(GUARD)
    assert (
        "none of its checkpoints is whole, the first: round-0002/state.json is not what was written" in gone_on.refusal
    )
    assert (watched.folder / journal.NAME).read_bytes() == before
