"""Races: several settings side by side over one base, each a run whose result is that of the run alone."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
import torch

from fedlora_tui.config import Setting, load
from fedlora_tui.engine import checkpoint, journal, prepare, rounds
from fedlora_tui.engine.race import MOST_RUNS, Entry, Race, entries
from fedlora_tui.engine.run import Manner, Run
from fedlora_tui.errors import UserError
from fedlora_tui.federation import client_app
from fedlora_tui.lora import base_model
from fedlora_tui.lora.adapter import Factors
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import AddOrganization, Export, Finish, Pause, Rank, Rate, Resume, Stop, Undo
from fedlora_tui.protocol.events import UNRECORDED
from tests.tiny_runs import GUARD, configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def given(settings, *options, **changes):
    """Entries of a race over small settings."""
    config = configured(settings, **changes)
    laid = [Setting(name, str(value), name) for name, value in settings.items()]
    laid += [Setting(name.replace("__", "."), str(value), name) for name, value in changes.items()]
    assert load(None, laid) == config
    return entries(options, lambda raced: load(None, [*laid, *raced]))


class WatchedRace:
    """A race and all that its runs told, by label."""

    def __init__(self, chosen, patient=True):
        self.race = Race(chosen, Manner(patient=patient))
        self.told_by = {racer.label: [] for racer in self.race.racers}
        self._changed = threading.Condition()
        for run, told in zip(self.race.runs, self.told_by.values(), strict=True):
            run.subscribe(lambda record, told=told: self._hear(record, told))

    def _hear(self, record, told):
        with self._changed:
            if record.seq != UNRECORDED:
                told.append(record.event)
            self._changed.notify_all()

    def wait_for_all(self, test):
        """Wait until every run told such an event."""
        with self._changed:
            found = self._changed.wait_for(lambda: all(any(map(test, told)) for told in self.told_by.values()), GUARD)
        assert found, {label: [event.type for event in told] for label, told in self.told_by.items()}

    def wait_for(self, label, test):
        """Wait until one run told such an event."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(test, self.told_by[label])), GUARD)

    def told(self, label, kind):
        return [event for event in self.told_by[label] if isinstance(event, kind)]

    def go(self):
        self.race.start()
        return self.end()

    def end(self):
        assert self.race.wait(GUARD), "the race hangs"
        return self


def last_adapter(run):
    return checkpoint.read(run.folder, run.state.round).adapter.tensors()


def apart(ours, theirs):
    """The largest distance of a tensor from another, in Frobenius norm, relative."""
    assert list(ours) == list(theirs)
    return max(float((ours[key] - theirs[key]).norm() / theirs[key].norm().clamp(min=1e-30)) for key in ours)


def alone(entry, tmp_path):
    run = Run(entry.config, Manner(patient=False))
    run.start()
    assert run.wait(GUARD)
    assert run.state.phase == "done", run.refusal
    return run


@pytest.mark.parametrize(
    "options",
    [
        ["lora.rank=1,2,4"],
        ["federation.aggregation=fedit,ffa,fedex,fedsa,flora"],
        ["federation.seed=3,4", "federation.local_steps=1,3"],
        ["federation.rounds=1,3"],
        ["federation.learning_rate=1e-3,1e-2"],
    ],
    ids=lambda options: " ".join(options),
)
def test_every_run_of_a_race_ends_where_it_ends_alone(settings, options, tmp_path):
    chosen = given(settings, *options)
    watched = WatchedRace(chosen).go()
    for entry, run in zip(chosen, watched.race.runs, strict=True):
        assert run.state.phase == "done", (entry.label, run.state.reason, run.refusal)
        single = alone(entry, tmp_path)
        assert apart(last_adapter(run), last_adapter(single)) < 1e-5
        assert run.state.base_loss == pytest.approx(single.state.base_loss, abs=1e-6)
        assert [row.eval_loss for row in run.state.history] == pytest.approx(
            [row.eval_loss for row in single.state.history], abs=1e-5
        )
        assert [(row.bytes_up, row.bytes_down, row.orgs) for row in run.state.history] == [
            (row.bytes_up, row.bytes_down, row.orgs) for row in single.state.history
        ]


def test_runs_of_a_race_have_their_own_folder_journal_and_seed(settings):
    chosen = given(settings, "lora.rank=1,2", runs__name="trial")
    watched = WatchedRace(chosen).go()
    for entry, run in zip(chosen, watched.race.runs, strict=True):
        assert run.folder.name.endswith(f"-trial-{entry.label.replace(' ', '-')}")
        records = list(journal.read(run.folder))
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        assert isinstance(records[-1].event, ev.RunFinished)
        assert records[0].event.rank == entry.config.lora.default_rank
        assert load(run.folder / "config.toml").lora.rank == entry.config.lora.rank


def test_a_race_loads_one_base_and_trains_all_runs_in_the_same_passes(settings, monkeypatch):
    loaded, cohorts = [], []
    load_base, train = base_model.load, client_app.train_cohort

    def loading(*arguments):
        loaded.append(arguments)
        return load_base(*arguments)

    def training(base, starts, *more):
        cohorts.append(sorted(start.rank for start in starts))
        return train(base, starts, *more)

    monkeypatch.setattr(base_model, "load", loading)
    monkeypatch.setattr(client_app, "train_cohort", training)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    WatchedRace(given(settings, "lora.rank=1,2,4", federation__cohort=9)).go()
    assert len(loaded) == 1
    assert cohorts == [[1, 1, 1, 2, 2, 2, 4, 4, 4]] * 2


def test_a_text_that_is_the_same_for_all_runs_is_read_once(settings, monkeypatch):
    read, counted = [], prepare.split

    def splitting(organization, *more):
        read.append(organization)
        return counted(organization, *more)

    monkeypatch.setattr(prepare, "split", splitting)
    WatchedRace(given(settings, "lora.rank=1,2,4")).go()
    assert sorted(read) == ["alpha", "beta", "gamma"]
    read.clear()
    WatchedRace(given(settings, "federation.seed=1,2", "lora.rank=1,2")).go()
    assert sorted(read) == sorted(["alpha", "beta", "gamma"] * 2)


def test_all_runs_pause_and_go_on_together_and_take_the_same_changes(settings):
    watched = WatchedRace(given(settings, "lora.rank=1,2", federation__rounds=4, federation__organizations=2))
    racer = watched.race.racers[1]
    watched.race.start()
    watched.wait_for_all(lambda event: isinstance(event, ev.TrainStep))
    racer.send(Pause())
    watched.wait_for_all(lambda event: isinstance(event, ev.RunPaused))
    assert {run.state.phase for run in watched.race.runs} == {"paused"}
    told = [len(events) for events in watched.told_by.values()]
    racer.send(AddOrganization())
    racer.send(Rate(0.002))
    racer.send(Rank(8))
    assert [len(events) for events in watched.told_by.values()] == [told[0] + 3, told[1] + 4]
    (refused,) = watched.told("rank 2", ev.CommandRefused)
    assert refused.reason == "lora.rank is what these runs differ in"
    racer.send(Resume())
    watched.end()
    for label, events in watched.told_by.items():
        assert [event.type for event in events].count("run_resumed") == 1, label
        assert len(watched.told(label, ev.OrgJoined)) == 3
        (turned,) = watched.told(label, ev.KnobTurned)
        assert (turned.knob, turned.value) == ("rate", 0.002)
        assert watched.told(label, ev.RoundStarted)[-1].learning_rate == 0.002


class Held:
    """Holds one run of a race before it writes the checkpoint of round 1, while the others wait for it."""

    def __init__(self, monkeypatch, rank):
        self.come, self.go_on = threading.Event(), threading.Event()
        original = rounds.RoundLoop._save

        def saving(loop, round, *more):
            if round == 1 and loop.config.lora.default_rank == rank:
                self.come.set()
                assert self.go_on.wait(GUARD)
            return original(loop, round, *more)

        monkeypatch.setattr(rounds.RoundLoop, "_save", saving)


def of_round_1(event):
    return isinstance(event, ev.RoundFinished) and event.round == 1


def test_runs_pause_at_the_same_round_however_long_one_of_them_takes(settings, monkeypatch):
    held = Held(monkeypatch, rank=2)
    watched = WatchedRace(given(settings, "lora.rank=1,2", federation__rounds=3))
    watched.race.start()
    assert held.come.wait(GUARD)
    watched.wait_for("rank 1", of_round_1)
    watched.race.send(Pause())
    held.go_on.set()
    watched.wait_for_all(lambda event: isinstance(event, ev.RunPaused))
    assert [watched.told(label, ev.RunPaused) for label in watched.told_by] == [[ev.RunPaused(2, 0)]] * 2
    watched.race.send(Rate(0.002))
    watched.race.send(Resume())
    watched.end()
    for label in watched.told_by:
        assert [turned.round for turned in watched.told(label, ev.KnobTurned)] == [2]
        assert len(watched.told(label, ev.RunPaused)) == 1


def test_runs_finish_at_the_same_round_however_long_one_of_them_takes(settings, monkeypatch):
    held = Held(monkeypatch, rank=2)
    watched = WatchedRace(given(settings, "lora.rank=1,2", federation__rounds=5))
    watched.race.start()
    assert held.come.wait(GUARD)
    watched.wait_for("rank 1", of_round_1)
    watched.race.send(Finish())
    held.go_on.set()
    watched.end()
    assert [run.state.round for run in watched.race.runs] == [1, 1]


def test_what_one_run_refused_is_not_taken_back_from_it(settings):
    watched = WatchedRace(given(settings, "federation.aggregation=fedit,fedsa", federation__rounds=3))
    racer = watched.race.racers[0]
    watched.race.start()
    watched.wait_for_all(lambda event: isinstance(event, ev.TrainStep))
    racer.send(Pause())
    watched.wait_for_all(lambda event: isinstance(event, ev.RunPaused))
    for command in (Rate(0.002), Rank(2), Undo(), Resume()):
        racer.send(command)
    watched.end()
    for label in watched.told_by:
        assert [turned.knob for turned in watched.told(label, ev.KnobTurned)] == ["rate"], label
    assert [refused.command for refused in watched.told("aggregation fedsa", ev.CommandRefused)] == ["rank", "undo"]


def test_a_run_that_has_told_its_end_takes_no_pause(settings):
    watched = WatchedRace(given(settings, "federation.rounds=1,4"))
    short = watched.race.runs[0]
    ended, asked = threading.Event(), threading.Event()

    def hold(record):
        # A reader is called in the run's own thread: it is not over before this returns.
        if isinstance(record.event, ev.RunFinished):
            ended.set()
            assert asked.wait(GUARD)

    short.subscribe(hold)
    watched.race.start()
    assert ended.wait(GUARD)
    pausing = threading.Thread(target=watched.race.send, args=(Pause(),), daemon=True)
    pausing.start()
    asked.set()
    watched.wait_for("rounds 4", lambda event: isinstance(event, ev.RunPaused))
    pausing.join(GUARD)
    assert short.state.phase == "done"
    watched.race.send(Resume())
    watched.end()
    assert {run.state.phase for run in watched.race.runs} == {"done"}
    assert not watched.told("rounds 1", ev.RunPaused)


@pytest.mark.parametrize("options", [[], ["federation.rounds=1,3"]], ids=["alone", "race"])
@pytest.mark.parametrize("command", [Pause(), Rank(2), Undo(), Stop("asked for")], ids=lambda command: command.name)
def test_what_is_asked_of_a_run_that_is_over_is_refused_once(settings, command, options):
    watched = WatchedRace(given(settings, *options) or [Entry(configured(settings))]).go()
    answers = []
    for run in watched.race.runs:
        run.subscribe(lambda record, run=run: answers.append((run, record.event.type, record.event.command)))
    watched.race.racers[0].send(command)
    assert answers == [(watched.race.runs[0], "command_refused", command.name)]


def test_a_run_that_has_ended_is_not_told_that_memory_ran_out(settings, monkeypatch):
    train = client_app.train_cohort
    ran_out = []

    def training(base, starts, rows, plans, *more):
        if plans[0].round == 2 and len(starts) > 1 and not ran_out:
            ran_out.append(len(starts))
            torch.empty(2**60)
        return train(base, starts, rows, plans, *more)

    monkeypatch.setattr(client_app, "train_cohort", training)
    watched = WatchedRace(given(settings, "federation.rounds=1,3", federation__cohort=9)).go()
    assert ran_out
    assert watched.told("rounds 3", ev.Warned)
    assert isinstance(watched.told_by["rounds 1"][-1], ev.RunFinished)


@pytest.mark.parametrize(("command", "phase"), [(Finish(), "done"), (Stop(), "stopped")])
def test_what_ends_one_ends_all(settings, command, phase):
    watched = WatchedRace(given(settings, "lora.rank=1,2,4", federation__rounds=50))
    watched.race.start()
    watched.wait_for_all(lambda event: isinstance(event, ev.RoundFinished))
    watched.race.racers[0].send(command)
    watched.end()
    assert {run.state.phase for run in watched.race.runs} == {phase}
    assert all(run.state.round < 50 for run in watched.race.runs)


def test_a_stop_while_a_race_is_paused_ends_all(settings):
    watched = WatchedRace(given(settings, "lora.rank=1,2", federation__rounds=50))
    watched.race.start()
    watched.wait_for_all(lambda event: isinstance(event, ev.TrainStep))
    watched.race.send(Pause())
    watched.wait_for_all(lambda event: isinstance(event, ev.RunPaused))
    watched.race.send(Stop())
    watched.end()
    assert {run.state.phase for run in watched.race.runs} == {"stopped"}


def test_an_export_is_of_the_run_that_is_asked(settings):
    watched = WatchedRace(given(settings, "lora.rank=1,2")).go()
    watched.race.racers[1].send(Export())
    deadline = threading.Event()
    while not watched.told("rank 2", ev.AdapterExported) and not deadline.wait(0.05):
        pass
    assert not watched.told("rank 1", ev.AdapterExported)


def test_a_run_that_fails_leaves_the_others_as_they_were(settings, monkeypatch, tmp_path):
    chosen = given(settings, "lora.rank=1,2")
    original = client_app.train_reply

    def spoiling(message, result, *more):
        if result.adapter.rank == 2:
            spoilt = {module: Factors(own.a * torch.nan, own.b) for module, own in result.adapter.factors.items()}
            result = replace(result, adapter=replace(result.adapter, factors=spoilt))
        return original(message, result, *more)

    monkeypatch.setattr(client_app, "train_reply", spoiling)
    watched = WatchedRace(chosen).go()
    fine, failed = watched.race.runs
    assert failed.state.phase == "failed"
    assert "none of 3 replies could be used" in failed.state.reason
    assert fine.state.phase == "done"
    monkeypatch.undo()
    assert apart(last_adapter(fine), last_adapter(alone(chosen[0], tmp_path))) < 1e-5


def test_a_race_begins_whole_or_not_at_all(settings, tmp_path):
    chosen = given(settings, "federation.batch_size=2,5000", federation__local_epochs=1)
    watched = WatchedRace(chosen).go()
    assert watched.race.refusal.startswith("batch size 5000: ")
    assert {run.refusal for run in watched.race.runs} == {watched.race.refusal}
    assert not list((tmp_path / "runs").iterdir())


def refused(settings, *options):
    with pytest.raises(UserError) as error:
        given(settings, *options)
    return str(error.value)


def test_what_cannot_be_raced_is_refused_in_one_line(settings):
    for option in ("model.base=a,b", "data.path=a,b", "lora.rank", "rank=2,4", "federation.cohort=1,2", "lora.rank="):
        assert f"--race {option}: allowed is KEY=VALUE,VALUE,..." in refused(settings, option)
    assert "but cohort and min_organizations" in refused(settings, "federation.min_organizations=2,3")
    assert "allowed are different values" in refused(settings, "lora.rank=2,2")
    assert "allowed are different values" in refused(settings, "lora.rank=2,,4")
    assert "--race lora.rank=0" in refused(settings, "lora.rank=4,0")
    assert "each key once" in refused(settings, "lora.rank=2,4", "lora.rank=8,16")
    assert f"one setting; allowed are 2 to {MOST_RUNS}" in refused(settings, "lora.rank=2")
    many = ",".join(map(str, range(1, MOST_RUNS + 2)))
    assert f"{MOST_RUNS + 1} settings" in refused(settings, f"lora.rank={many}")


def test_without_a_race_there_is_one_run_as_it_was_asked_for(settings):
    assert given(settings) == [Entry(configured(settings))]


def test_every_line_of_a_race_carries_its_run(settings, capfd):
    from fedlora_tui import headless

    assert headless.run_headless(given(settings, "lora.rank=1,2", runs__name="t"), json_lines=True, patient=False) == 0
    said = capfd.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    by_run = {}
    for line in lines:
        by_run.setdefault(line["run"], []).append(line)
    assert sorted(run.split("-", 2)[2] for run in by_run) == ["t-rank-1", "t-rank-2"]
    for own in by_run.values():
        assert [line["seq"] for line in own] == list(range(1, len(own) + 1))
    table = [line.split() for line in said.err.splitlines()]
    assert [row[0:2] for row in table if row[-1:] == ["2/2"]] in (
        [["✓", "rank"], ["rank", "2"]],
        [["rank", "1"], ["✓", "rank"]],
    )
