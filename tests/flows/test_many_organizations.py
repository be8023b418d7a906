"""Runs that know more organizations than they need at once: text is read when it is first needed, once."""

from __future__ import annotations

import pytest

from fedlora_tui.engine import prepare
from fedlora_tui.organizations.folder import FolderSource
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.state import RunState, fold
from tests.tiny_models import write_texts
from tests.tiny_runs import WatchedRun, configured, small_settings

MANY = 300
NAMES = tuple(f"org-{number:03d}" for number in range(MANY))


@pytest.fixture
def settings(tmp_path):
    """Three organizations of 300 train in a round, and six measure."""
    write_texts(tmp_path / "many", NAMES, count=8)
    changed = {
        "data.path": str(tmp_path / "many"),
        "federation.rounds": 3,
        "federation.fraction": 0.01,
        "federation.fraction_evaluate": 0.02,
    }
    return small_settings(tmp_path) | changed


@pytest.fixture
def read(monkeypatch):
    """The organizations whose text was read, in order."""
    names = []
    original = FolderSource.documents

    def noting(self, name):
        names.append(name)
        return original(self, name)

    monkeypatch.setattr(FolderSource, "documents", noting)
    return names


def trained_and_measured(watched):
    """Who trained and who measured, each once."""
    trained = {name for event in watched.told(ev.RoundStarted) for name in event.orgs}
    return trained, {event.org for event in watched.told(ev.OrgEvaluated)}


def losses(watched):
    return [(e.round, e.train_loss, e.eval_loss) for e in watched.told(ev.RoundFinished)]


def test_only_those_that_train_or_measure_are_read_and_each_once(settings, read):
    watched = WatchedRun(configured(settings)).go()
    assert watched.run.state.phase == "done"
    trained, measured = trained_and_measured(watched)
    assert (len(measured), [len(event.orgs) for event in watched.told(ev.RoundStarted)]) == (6, [3, 3, 3])
    assert sorted(read) == sorted(trained | measured)
    joined = {event.org: event for event in watched.told(ev.OrgJoined)}
    assert tuple(sorted(joined)) == NAMES
    assert {name for name, event in joined.items() if event.tokens} == measured
    assert all(event.tokens is None for name, event in joined.items() if name not in measured)
    counted = watched.told(ev.OrgCounted)
    assert sorted(event.org for event in counted) == sorted(trained - measured)
    assert all(event.tokens > 0 and event.documents == 8 and 0 < event.skew < 1 for event in counted)
    organizations = fold(RunState(), watched.records).organizations
    assert {name for name, org in organizations.items() if org.tokens} == trained | measured


def test_when_text_is_read_changes_no_loss(settings, monkeypatch):
    late = WatchedRun(configured(settings)).go()
    monkeypatch.setattr(prepare, "MEASURED_AT_MOST", MANY)
    early = WatchedRun(configured(settings)).go()
    assert not early.told(ev.OrgCounted)
    assert losses(late) == losses(early)


def test_who_turns_out_to_have_too_little_text_leaves_and_another_is_drawn(settings, tmp_path):
    sampled = WatchedRun(configured(settings)).go().told(ev.RoundStarted)
    measured = trained_and_measured(WatchedRun(configured(settings, federation__rounds=1)).go())[1]
    scarce = next(name for name in sampled[1].orgs if name not in measured and name not in sampled[0].orgs)
    (tmp_path / "many" / f"{scarce}.txt").write_text("only this\n", encoding="utf-8")
    watched = WatchedRun(configured(settings)).go()
    assert watched.run.state.phase == "done"
    (left,) = watched.told(ev.OrgLeft)
    assert (left.org, left.round) == (scarce, 2)
    assert any(event.org == scarce and "give it more text" in event.message for event in watched.told(ev.Warned))
    started = watched.told(ev.RoundStarted)
    assert [len(event.orgs) for event in started] == [3, 3, 3]
    assert all(scarce not in event.orgs for event in started)
    assert scarce not in watched.run.state.organizations


def test_a_run_can_be_stopped_while_it_reads(settings):
    watched = WatchedRun(configured(settings))
    watched.when(lambda event: isinstance(event, ev.OrgCounted), lambda: watched.run.send(ask.Stop("enough")))
    watched.go()
    assert watched.run.state.phase == "stopped"
    assert len(watched.told(ev.OrgCounted)) == 1
    assert not watched.told(ev.RoundStarted)


def test_texts_that_processes_read_ahead_change_no_event(settings, read):
    def told(**changes):
        watched = WatchedRun(configured(settings, **changes)).go()
        kept = (ev.OrgJoined, ev.OrgCounted, ev.OrgState, ev.TrainStep, ev.OrgEvaluated)
        return [record.event for record in watched.records if isinstance(record.event, kept)]

    alone = told(data__readers=0)
    assert read
    read.clear()
    assert told(data__readers=2) == alone
    assert read == []
