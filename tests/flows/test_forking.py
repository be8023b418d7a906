"""A run that begins with a finished round of another one: what it takes over, what may change, what it shows."""

from __future__ import annotations

import pytest

from fedlora_tui.cli import main
from fedlora_tui.config import Setting
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.race import Race
from fedlora_tui.engine.run import Manner
from fedlora_tui.errors import UserError
from fedlora_tui.farewell import farewell
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.state import RunState, fold
from fedlora_tui.resume_command import continued, forked
from tests.flows.test_going_on import at, ended_at, files
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def setting(name, text):
    return Setting(name, str(text), f"--set {name}={text}")


class Begun(WatchedRun):
    """The run of an entry, as the command line makes it."""

    def __init__(self, entries):
        super().__init__(entries[0].config)
        self.race = Race(entries, Manner())
        (self.run,) = self.race.runs
        self.run.subscribe(self._hear)


def fork_of(watched, round, **changes):
    chosen = [setting(name.replace("__", "."), value) for name, value in changes.items()]
    return Begun(forked(watched.folder.parent, watched.folder.name, round, chosen))


def warnings(watched):
    return [event.message for event in watched.told(ev.Warned)]


def done(settings, **changes):
    watched = WatchedRun(configured(settings, **changes)).go()
    assert watched.run.state.phase == "done", watched.run.state.reason
    watched.run.close()
    return watched


@pytest.mark.parametrize("method", ["fedit", "fedsa", "flora", "fedex"])
def test_a_fork_without_changes_goes_the_way_of_its_parent(settings, method):
    more = {"federation__aggregation": method}
    if method in ("fedit", "fedsa"):
        more |= {"federation__server_optimizer": "fedadam", "federation__server_learning_rate": 0.01}
    parent = done(settings, federation__rounds=3, **more)
    fork = fork_of(parent, 2).go()
    assert fork.run.state.phase == "done", fork.run.state.reason or fork.run.refusal
    assert files(fork.folder, 3) == files(parent.folder, 3)
    assert warnings(fork) == []


def test_a_forks_history_begins_with_its_parents_round_and_the_base_is_measured(settings):
    parent = done(settings, federation__rounds=2)
    fork = fork_of(parent, 2, federation__rounds=4).go()
    started = fork.told(ev.RunStarted)[0]
    assert (started.parent, started.parent_round) == (parent.folder.name, 2)
    state = fork.run.state
    assert [row.round for row in state.history] == [0, 2, 3, 4]
    assert state.base_loss == parent.run.state.base_loss
    assert state.history[1].eval_loss == pytest.approx(parent.run.state.eval_loss, abs=1e-6)
    assert len(state.curve) == 3
    assert checkpoint.rounds(fork.folder) == [2, 3, 4]
    assert [e.round for e in fork.told(ev.RoundStarted)] == [3, 4]
    assert "round 4/4" in farewell(state)
    again = fold(RunState(), fork.journal())
    assert [row.round for row in again.history] == [0, 2, 3, 4]


def test_a_forks_rank_is_resized_as_the_knob_does_it(settings):
    parent = done(settings, federation__rounds=2)
    fork = fork_of(parent, 2, federation__rounds=3, lora__rank=8).go()
    assert fork.run.state.phase == "done", fork.run.state.reason or fork.run.refusal
    kept = checkpoint.read(fork.folder, 3)
    assert (kept.adapter.rank, kept.adapter.scale) == (8, checkpoint.read(parent.folder, 2).adapter.scale)
    less = fork_of(parent, 2, federation__rounds=3, lora__rank=1).go()
    assert any("rank 4 to 1: " in said and "of it lost" in said for said in warnings(less))


def test_where_the_full_state_is_gone_the_optimizer_starts_anew_and_says_so(settings):
    more = {"federation__server_optimizer": "fedavgm", "runs__keep_full": 1}
    parent = done(settings, federation__rounds=4, **more)
    gone = next(round for round in (1, 2, 3) if not checkpoint.is_full(parent.folder, round))
    fork = fork_of(parent, gone).go()
    assert fork.run.state.phase == "done"
    assert warnings(fork) == [
        f"fedavgm starts anew: what the server kept of round {gone} of {parent.folder.name} was let go of"
    ]


def test_a_fork_takes_who_was_there_and_what_was_turned(settings):
    watched = WatchedRun(configured(settings, federation__rounds=3))
    changes = ask.DropOrganization("beta"), ask.Rank(6), ask.Rate(2e-3)
    watched.when(at(ev.TrainStep, 1), lambda: [watched.run.send(command) for command in changes])
    watched.go()
    watched.run.close()
    fork = fork_of(watched, 2).go()
    assert files(fork.folder, 3) == files(watched.folder, 3)
    assert fork.told(ev.RunStarted)[0].orgs == ("alpha", "gamma")
    assert fork.run.state.rank == 6


@pytest.mark.parametrize("ended", ["in its first look", "in its first round"])
def test_a_fork_that_is_ended_goes_on(settings, tmp_path, ended):
    parent = done(settings, federation__rounds=2)
    fork = fork_of(parent, 1, federation__rounds=3)
    moments = {"in its first look": at(ev.OrgEvaluated, 0), "in its first round": at(ev.TrainStep, 2)}
    copies = ended_at(fork, tmp_path, moments)
    fork.go()
    fork.run.close()
    home = fork.folder.parent / f"ended-{fork.folder.name}"
    copies[ended].rename(home)
    again = Begun(continued(fork.folder.parent, home.name)).go()
    assert again.run.state.phase == "done", again.run.state.reason or again.run.refusal
    assert files(again.folder, 3) == files(fork.folder, 3)
    assert [row.round for row in again.run.state.history] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("model.base", "gpt2", "model.base: the adapter that it begins with belongs to this base"),
        ("data.source", "synthetic", "data.source: what was held out"),
        ("audit.secrets", "2", "audit.secrets: what was planted so far was learned"),
        ("federation.seed", 8, "federation.seed: hold-outs are split by it"),
        ("federation.organizations", 2, "federation.organizations: who takes part is the parent's"),
        ("lora.alpha", 2, "lora.alpha: the adapter that it begins with has these layers and this scale"),
        ("lora.rnak", 2, "nearest is lora.rank"),
        ("federation.aggregation", "fedsa", "a fork of fedit cannot go on with fedsa"),
    ],
)
def test_what_a_fork_cannot_change_is_refused_by_name(settings, name, value, reason):
    parent = done(settings)
    with pytest.raises(UserError) as refused:
        forked(parent.folder.parent, None, 1, [setting(name, value)])
    assert reason in str(refused.value)


def test_a_fork_of_a_round_that_is_not_there_or_is_the_last_is_one_line(settings, capsys):
    parent = done(settings)
    words = ["fork", parent.folder.name, "--runs-dir", str(parent.folder.parent)]
    for more, said in (
        (["--round", "9"], "--round 9: no such round"),
        (["--round", "2"], "the fork begins with round 2, so it would be done"),
        ([], "--round"),
    ):
        assert main([*words, *more]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert said in err


def test_a_fork_that_lies_elsewhere_goes_on_from_before_its_first_checkpoint(settings, tmp_path):
    parent = done(settings, federation__rounds=3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    fork = Begun(forked(elsewhere, str(parent.folder), 2, []))
    copies = ended_at(fork, tmp_path, {"first": lambda event: isinstance(event, ev.CohortSized)})
    fork.go()
    assert not (copies["first"] / checkpoint.FOLDER).exists()
    again = Begun(continued(copies["first"].parent, copies["first"].name)).go()
    assert again.run.state.phase == "done", again.run.state.reason or again.run.refusal
    assert files(again.folder, 3) == files(parent.folder, 3)
