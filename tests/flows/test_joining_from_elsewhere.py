"""Organizations that join while a run goes on: by how their names begin, with a rank, and with text from elsewhere."""

from __future__ import annotations

import importlib.util

import pytest

from fedlora_tui.errors import UserError
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from fedlora_tui.resume_command import forked
from tests.flows.test_going_on import GoneOn, at, ended_at
from tests.tiny_models import write_texts
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path) | {"federation.rounds": 3}


@pytest.fixture
def elsewhere(tmp_path):
    return write_texts(tmp_path / "elsewhere", ("delta", "epsilon"))


def asked_in_round_1(settings, *commands):
    """Go through a run that is asked for these at its first step."""
    watched = WatchedRun(configured(settings))

    def ask_all():
        for command in commands:
            watched.run.send(command)

    watched.when(at(ev.TrainStep, 1), ask_all)
    return watched.go()


def reasons(watched):
    return [event.reason for event in watched.told(ev.CommandRefused)]


def joined(watched):
    return {event.org: event.round for event in watched.told(ev.OrgJoined) if event.round > 1}


def test_a_folder_joins_as_one_and_trains(settings, elsewhere):
    watched = asked_in_round_1(settings, ask.AddOrganization(folder=str(elsewhere)))
    place = {"org": "elsewhere", "place": f"folder:{elsewhere}"}
    assert watched.told(ev.CommandAcknowledged) == [ev.CommandAcknowledged("add", place, 2)]
    assert joined(watched) == {"elsewhere": 2}
    assert "elsewhere" in watched.told(ev.RoundFinished)[-1].orgs
    assert watched.run.state.waiting == ()


def test_each_file_of_a_folder_joins_by_itself_until_all_are_here(settings, elsewhere):
    each = ask.AddOrganization(folder=str(elsewhere), each=True)
    watched = asked_in_round_1(settings, each, each, each)
    assert joined(watched) == {"delta": 2, "epsilon": 2}
    assert reasons(watched) == [f"all 2 of '{elsewhere}' are here"]


def test_a_file_joins_under_a_name_and_with_a_rank_of_its_own(settings, elsewhere):
    asked = ask.AddOrganization(org="clinic", folder=str(elsewhere / "delta.txt"), rank=2)
    watched = asked_in_round_1(settings | {"federation.aggregation": "hetlora"}, asked)
    assert joined(watched) == {"clinic": 2}
    assert watched.run.state.organizations["clinic"].rank == 2
    answers = [(event.command, event.value) for event in watched.told(ev.CommandAcknowledged)]
    assert answers[1] == ("rank", {"org": "clinic", "rank": 2})


def test_a_rank_that_the_method_does_not_take_keeps_it_from_joining(settings, elsewhere):
    watched = asked_in_round_1(settings, ask.AddOrganization(folder=str(elsewhere), rank=2))
    assert joined(watched) == {}
    assert len(reasons(watched)) == 1
    assert "elsewhere a rank of its own" in reasons(watched)[0]


def test_the_first_free_name_that_begins_so_joins(settings):
    invented = settings | {"data.source": "synthetic", "data.path": "", "federation.organizations": 2}
    hospital = ask.AddOrganization(like="hospital")
    watched = asked_in_round_1(invented, hospital, hospital, ask.AddOrganization(like="shipyard"))
    assert joined(watched) == {"hospital-ward-2": 2, "hospital-ward-3": 2}
    (reason,) = reasons(watched)
    assert reason.startswith("nobody who could join is called 'shipyard': there are port-authority, telecom-support")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (ask.AddOrganization(folder="/nowhere/at/all"), "no such folder or file: '/nowhere/at/all'"),
        (ask.AddOrganization(like="delta"), "all 3 files are here"),
        (ask.AddOrganization(org="alpha", folder="."), "alpha takes part already: give it another name"),
        (ask.AddOrganization(org="a\x1bb", folder="."), "'a\\x1bb' cannot be an organization's name"),
    ],
)
def test_who_cannot_join_is_refused_in_one_line(settings, elsewhere, monkeypatch, command, reason):
    monkeypatch.chdir(elsewhere)
    watched = asked_in_round_1(settings, command)
    assert len(reasons(watched)) == 1
    assert reasons(watched)[0].startswith(reason)
    assert "\n" not in reasons(watched)[0]
    assert joined(watched) == {}


def test_a_folder_without_text_is_refused(settings, tmp_path):
    (tmp_path / "empty").mkdir()
    watched = asked_in_round_1(settings, ask.AddOrganization(folder=str(tmp_path / "empty")))
    assert "holds no .txt" in reasons(watched)[0]


def test_a_dataset_needs_the_extra(settings, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "datasets" else found(name, *more)
    )
    watched = asked_in_round_1(settings, ask.AddOrganization(hub="somebody/letters"))
    assert reasons(watched) == ["somebody/letters: a dataset needs one more package: pip install 'fedlora-tui[hub]'"]


def test_a_dataset_joins_with_all_its_rows(settings, tmp_path):
    pytest.importorskip("datasets")
    rows = tmp_path / "letters.jsonl"
    rows.write_text("".join(f'{{"text": "amber barrel {n} candle dragon"}}\n' for n in range(40)))
    watched = asked_in_round_1(settings, ask.AddOrganization(org="letters", hub=str(rows)))
    assert joined(watched) == {"letters": 2}


def test_who_was_taken_back_does_not_join(settings, elsewhere):
    watched = asked_in_round_1(settings, ask.AddOrganization(folder=str(elsewhere)), ask.Undo())
    assert joined(watched) == {}
    assert watched.told(ev.CommandAcknowledged)[-1].value == {
        "command": "add",
        "org": "elsewhere",
        "value": f"folder:{elsewhere}",
    }


def test_who_left_comes_back_by_name(settings, elsewhere):
    settings = settings | {"federation.rounds": 4}
    watched = WatchedRun(configured(settings))
    for round, command in (
        (1, ask.AddOrganization(folder=str(elsewhere))),
        (2, ask.DropOrganization("elsewhere")),
        (3, ask.AddOrganization(like="elsewhere")),
    ):
        watched.when(at(ev.TrainStep, round), lambda command=command: watched.run.send(command))
    watched.go()
    assert [event.round for event in watched.told(ev.OrgJoined) if event.org == "elsewhere"] == [2, 4]


@pytest.mark.parametrize("moment", ["waiting", "joined"])
def test_a_run_that_goes_on_knows_where_its_text_lies(settings, elsewhere, tmp_path, moment):
    watched = WatchedRun(configured(settings))
    asked = ask.AddOrganization(folder=str(elsewhere))
    watched.when(at(ev.TrainStep, 1), lambda: watched.run.send(asked))
    copies = ended_at(
        watched, tmp_path, {"waiting": at(ev.TrainStep, 1, nth=3), "joined": at(ev.TrainStep, 3, "elsewhere")}
    )
    watched.go()
    gone = GoneOn(copies[moment]).go()
    assert gone.run.state.phase == "done", gone.run.refusal
    assert gone.run.state.eval_loss == watched.run.state.eval_loss
    assert "elsewhere" in gone.run.state.organizations


def test_one_whose_place_the_configuration_names_joins_by_its_name(settings, elsewhere):
    named = settings | {"data.joined": f'{{ clinic = "folder:{elsewhere}" }}'}
    watched = asked_in_round_1(named, ask.AddOrganization(like="clinic"))
    assert joined(watched) == {"clinic": 2}


@pytest.mark.parametrize("value", ['{ clinic = "/data" }', '{ clinic = "folder:" }', "folder:/data", "{ clinic = 3 }"])
def test_a_place_that_is_none_is_refused_before_the_run(settings, value):
    with pytest.raises(UserError, match=r'data\.joined = .*: allowed is a table of places, each "folder:PATH" or'):
        configured(settings | {"data.joined": value})


def test_a_fork_finds_its_text_there_too(settings, elsewhere, tmp_path):
    watched = asked_in_round_1(settings, ask.AddOrganization(folder=str(elsewhere)))
    (entry,) = forked(tmp_path / "runs", watched.run.folder.name, 2, [])
    assert entry.config.data.joined == {"elsewhere": f"folder:{elsewhere}"}
