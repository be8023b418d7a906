"""Runs over Flower's own Grid: as the local runtime's, with organizations that come, go and come back by themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fedlora_tui.deployment import keys
from fedlora_tui.engine import checkpoint, connected, waiting_for_nodes
from fedlora_tui.engine.deployable import undeployable
from fedlora_tui.engine.folder import read_config
from fedlora_tui.engine.past import Fork
from fedlora_tui.engine.run import Start
from fedlora_tui.federation import signs_of_life, standing
from fedlora_tui.federation.door import fingerprint
from fedlora_tui.federation.introduction import Introduction
from fedlora_tui.federation.roll import read_keys
from fedlora_tui.federation.run_config import SAID
from fedlora_tui.node.home import Home
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.flows.nodes_here import NodesHere, over_nodes
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path) | {"federation.runtime": "superlink", "federation.learning_rate": 0.006}


def nodes(settings, config, *names):
    grid = NodesHere(config, Path(str(settings["data.path"])))
    return grid, [grid.connect(name) for name in names]


def finished(round):
    return lambda event: isinstance(event, ev.RoundFinished) and event.round == round


def warned(watched, words):
    return [event.message for event in watched.told(ev.Warned) if words in event.message]


def test_it_ends_in_the_adapter_and_the_losses_of_the_local_runtime(settings):
    local = WatchedRun(configured(settings, federation__runtime="local")).go()
    config = configured(settings, federation__min_organizations=3)
    grid, _ = nodes(settings, config, "gamma", "alpha", "beta")
    deployed = over_nodes(config, grid).go()
    assert deployed.run.state.phase == "done", deployed.run.state.reason or deployed.run.refusal
    ours, theirs = (checkpoint.read(watched.folder, 2).adapter.tensors() for watched in (deployed, local))
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-7) for name in theirs)
    rows = [[(row.train_loss, row.eval_loss) for row in watched.run.state.history] for watched in (deployed, local)]
    assert rows[0][1:] == [pytest.approx(row, rel=1e-5) for row in rows[1][1:]]
    joined = {event.org: event for event in deployed.told(ev.OrgJoined)}
    same = {event.org: event for event in local.told(ev.OrgJoined)}
    assert {name: event.tokens for name, event in joined.items()} == {name: e.tokens for name, e in same.items()}
    assert not deployed.told(ev.TrainStep)
    notes = [event.note for event in deployed.told(ev.OrgState) if event.state == "training"]
    assert len(notes) == 6
    assert all(note.startswith("since ") for note in notes)


def test_who_connects_joins_who_is_gone_leaves_and_who_comes_back_is_sent_everything_anew(settings):
    config = configured(settings, federation__rounds=5, federation__min_organizations=2)
    grid, (alpha, _) = nodes(settings, config, "alpha", "beta")
    watched = over_nodes(config, grid)
    watched.when(finished(1), lambda: grid.connect("gamma"))
    watched.when(finished(2), lambda: grid.leave(alpha))
    watched.when(finished(3), lambda: grid.connect("alpha"))
    watched.go()
    took_part = [event.orgs for event in watched.told(ev.RoundFinished)]
    both, three = ("alpha", "beta"), ("alpha", "beta", "gamma")
    assert took_part == [both, three, ("beta", "gamma"), three, three]
    (left,) = watched.told(ev.OrgLeft)
    assert (left.org, left.round, left.reason) == ("alpha", 3, "its SuperNode is gone")
    assert [(event.org, event.round) for event in watched.told(ev.OrgJoined)][2:] == [("gamma", 2), ("alpha", 4)]
    down = {(event.org, event.round): event.bytes_down for event in watched.told(ev.UpdateReceived)}
    # What evaluation brought serves the next training; a newcomer has not measured yet.
    assert down["alpha", 2] == 0 < down["alpha", 4] == down["gamma", 2]


def test_a_node_that_was_started_anew_is_sent_everything_in_the_same_round(settings):
    config = configured(settings, federation__rounds=3, federation__min_organizations=3)
    grid, (alpha, beta, _) = nodes(settings, config, "alpha", "beta", "gamma")
    watched = over_nodes(config, grid)
    watched.when(finished(1), lambda: grid.restart(alpha, seen=False))
    watched.when(finished(2), lambda: grid.restart(beta, seen=True))
    watched.go()
    assert [len(event.orgs) for event in watched.told(ev.RoundFinished)] == [3, 3, 3]
    assert not watched.told(ev.UpdateRejected)
    assert [(event.org, event.reason) for event in watched.told(ev.OrgLeft)] == [
        ("beta", "its SuperNode connected anew")
    ]


def test_a_run_that_lacks_organizations_waits_for_them_and_says_so(settings):
    config = configured(settings, federation__rounds=2, federation__min_organizations=2)
    grid, (alpha, _) = nodes(settings, config, "alpha", "beta")
    watched = over_nodes(config, grid)
    watched.when(finished(1), lambda: grid.leave(alpha))
    watched.when(lambda event: isinstance(event, ev.Warned) and "waits" in event.message, lambda: grid.connect("gamma"))
    watched.go()
    assert watched.run.state.phase == "done"
    (said,) = warned(watched, "waits for SuperNodes")
    assert "needs 2 organizations, has 1" in said
    assert watched.told(ev.RoundFinished)[1].orgs == ("beta", "gamma")


def test_each_round_that_lacks_organizations_says_so_and_the_wait_ends_with_it(settings):
    config = configured(settings, federation__rounds=3, federation__min_organizations=2)
    grid, (alpha, beta) = nodes(settings, config, "alpha", "beta")
    watched = over_nodes(config, grid)
    watched.when(finished(1), lambda: grid.leave(alpha))
    watched.when(
        lambda event: isinstance(event, ev.Warned) and "round 2" in event.message, lambda: grid.connect("gamma")
    )
    watched.when(finished(2), lambda: grid.leave(beta))
    watched.when(
        lambda event: isinstance(event, ev.Warned) and "round 3" in event.message, lambda: grid.connect("alpha")
    )
    watched.go()
    assert watched.run.state.phase == "done"
    lacks = "needs 2 organizations, has 1 (federation.min_organizations)"
    waits = [event.message for event in watched.told(ev.Warned) if event.awaits]
    assert waits == [f"waits for SuperNodes: round 2 {lacks}", f"waits for SuperNodes: round 3 {lacks}"]
    assert watched.run.state.awaits_since is None


def test_a_silent_node_costs_a_round_its_deadline_and_no_more_and_is_seen_to_give_no_sign(settings, monkeypatch):
    monkeypatch.setattr(signs_of_life, "LOOK_SECONDS", 0.0)
    config = configured(settings, federation__deadline=1.0, federation__min_organizations=3)
    grid, (alpha, *_) = nodes(settings, config, "alpha", "beta", "gamma")
    grid.silent = grid.fading = {alpha}
    watched = over_nodes(config, grid).go()
    assert watched.run.state.phase == "done"
    assert [(event.org, event.reason, event.answered) for event in watched.told(ev.UpdateRejected)] == [
        ("alpha", "no reply came", False)
    ] * 2
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [("beta", "gamma")] * 2
    assert len(warned(watched, "alpha gives no sign of life (its node, its machine or the line is down): it is")) == 2
    late = [event for event in watched.told(ev.OrgState) if event.state == "late"]
    assert [(event.org, event.round) for event in late] == [("alpha", 1), ("alpha", 2)]
    assert all(event.note.startswith("no sign of life, waited for until ") for event in late)


def test_a_stopped_run_goes_on_from_its_checkpoint_and_another_begins_with_one_of_its_rounds(settings):
    config = configured(settings, federation__rounds=3, federation__min_organizations=2)
    grid, _ = nodes(settings, config, "alpha", "beta", "gamma")
    stopped = over_nodes(config, grid)
    stopped.when(finished(1), lambda: stopped.run.send(ask.Stop("enough for today")))
    folder = stopped.go().folder
    stopped.run.close()
    begun = read_config(folder)
    others, _ = nodes(settings, begun, "alpha", "gamma")
    others.connect("delta", "beta")
    resumed = over_nodes(begun, others, start=Start(continues=folder)).go()
    assert resumed.run.state.phase == "done", resumed.run.refusal or resumed.run.state.reason
    assert [(event.org, event.reason) for event in resumed.told(ev.OrgLeft)] == [("beta", "its SuperNode is gone")]
    assert [(event.round, event.orgs) for event in resumed.told(ev.RoundFinished)] == [
        (2, ("alpha", "delta", "gamma")),
        (3, ("alpha", "delta", "gamma")),
    ]
    longer = configured(settings, federation__rounds=2, federation__min_organizations=2)
    fork = over_nodes(longer, nodes(settings, longer, "alpha", "beta")[0], start=Start(fork=Fork(folder, 1))).go()
    assert fork.run.state.phase == "done", fork.run.refusal or fork.run.state.reason
    assert [(event.round, event.orgs) for event in fork.told(ev.RoundFinished)] == [(2, ("alpha", "beta"))]


def test_a_node_without_text_is_told_of_once_and_joins_when_its_text_is_there(settings, monkeypatch):
    config = configured(settings, federation__min_organizations=2, federation__rounds=4)
    grid, _ = nodes(settings, config, "alpha", "beta")
    grid.connect("delta", "later")
    texts = Path(str(settings["data.path"]))
    monkeypatch.setattr(connected, "ASKING_AGAIN_SECONDS", 0.0)
    watched = over_nodes(config, grid)
    watched.when(finished(2), lambda: (texts / "later.txt").write_text((texts / "gamma.txt").read_text()))
    watched.go()
    assert watched.run.state.phase == "done"
    assert [event.orgs for event in watched.told(ev.RoundFinished)][1:] == [
        ("alpha", "beta"),
        ("alpha", "beta", "delta"),
        ("alpha", "beta", "delta"),
    ]
    (said,) = warned(watched, "cannot take part")
    assert said == "a SuperNode cannot take part: it is not set up for this run, and its own log says what is missing"


def test_whom_the_operator_drops_stays_out_until_it_is_added(settings):
    config = configured(settings, federation__rounds=4, federation__min_organizations=2)
    grid, _ = nodes(settings, config, "alpha", "beta", "gamma")
    watched = over_nodes(config, grid)
    watched.when(finished(1), lambda: watched.run.send(ask.DropOrganization("gamma")))
    watched.when(finished(2), lambda: watched.run.send(ask.AddOrganization()))
    watched.go()
    assert [len(event.orgs) for event in watched.told(ev.RoundFinished)] == [3, 2, 3, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"organization": "alpha"}, "a second SuperNode calls itself alpha"),
        ({"tokens": -1}, "a SuperNode cannot take part: error 2"),
    ],
)
def test_a_node_that_does_not_fit_takes_no_part_and_it_is_said_why(settings, monkeypatch, change, words):
    config = configured(settings, federation__min_organizations=2)
    grid, _ = nodes(settings, config, "alpha", "beta")
    grid.connect("delta", "gamma")
    introduce = Home.introduction

    def changed(home: Home) -> Introduction:
        own = introduce(home)
        return replace(own, **change) if own.organization == "delta" else own

    monkeypatch.setattr(Home, "introduction", changed)
    watched = over_nodes(config, grid).go()
    assert watched.run.state.phase == "done"
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [("alpha", "beta")] * 2
    assert len(warned(watched, words)) == 1
    assert watched.run.state.refused == 0


VERSION = "delta has fedlora-tui 0.0.1, this run "
BASE = "delta has another base model than this run (model.base)"


@pytest.mark.parametrize(("change", "words"), [({"version": "0.0.1"}, VERSION), ({"base": "0" * 64}, BASE)])
def test_another_version_or_base_is_refused_and_counted_once_a_connection(settings, monkeypatch, capsys, change, words):
    config = configured(settings, federation__min_organizations=2, federation__rounds=4)
    grid, _ = nodes(settings, config)
    delta = grid.connect("delta", "gamma")
    introduce = Home.introduction

    def changed(home: Home) -> Introduction:
        own = introduce(home)
        return replace(own, **change) if own.organization == "delta" else own

    monkeypatch.setattr(Home, "introduction", changed)
    watched = over_nodes(config, grid)
    # It is refused while others are waited for, before there is a journal, and stands in that all the same.
    late = ["alpha", "beta"]
    monkeypatch.setattr(waiting_for_nodes, "time", SimpleNamespace(sleep=lambda seconds: grid.connect(late.pop())))
    watched.when(finished(2), lambda: grid.restart(delta, seen=True))
    watched.go()
    assert watched.run.state.phase == "done", watched.run.state.reason
    told = [(event.reason.startswith(words), event.times) for event in watched.told(ev.NodeRefused)]
    assert told == [(True, 1)] * 2
    assert watched.run.state.refused == 2
    assert f"{SAID}a node was refused: {words}" in capsys.readouterr().out
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [("alpha", "beta")] * 4
    assert not watched.told(ev.Warned)


def test_who_takes_the_name_of_anothers_key_is_refused_and_counted(settings, tmp_path, monkeypatch):
    config = configured(settings, federation__min_organizations=2)
    folder = tmp_path / "nodes"
    folder.mkdir()
    for name in ("alpha", "beta", "gamma"):
        (folder / f"{name}.pub").write_bytes(keys.new_node(name).public)
    owned = {name: key for key, name in read_keys(folder).items()}
    monkeypatch.setenv(standing.NODES, str(folder))
    grid, _ = nodes(settings, config)
    # Being the first of a name is of no use.
    grid.connect("alpha", key=owned["gamma"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "stranger.pub").write_bytes(keys.new_node("stranger").public)
    (foreign,) = read_keys(elsewhere)
    grid.connect("beta", key=foreign)
    grid.connect("delta", "gamma", key=foreign)
    for name in ("alpha", "beta"):
        grid.connect(name, key=owned[name])
    watched = over_nodes(config, grid).go()
    assert watched.run.state.phase == "done", watched.run.state.reason
    taken, other = (
        "its key is gamma's, and it calls itself alpha: start it with --name gamma",
        "it calls itself beta, and its key is not beta's",
    )
    assert {(event.reason, event.key, event.address, event.times) for event in watched.told(ev.NodeRefused)} == {
        (taken, fingerprint(owned["gamma"]), "", 1),
        (other, fingerprint(foreign), "", 1),
    }
    assert watched.run.state.refused == 2
    assert watched.told(ev.RoundFinished)[0].orgs == ("alpha", "beta", "delta")
    assert not watched.told(ev.Warned)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"federation__aggregation": "fedsa"}, "not with fedsa"),
        ({"faults__alpha": "nan"}, "leave [faults] out"),
        ({"audit__secrets": 1}, "leave audit.secrets"),
        ({"data__partition": "iid"}, 'data.partition may only be "natural"'),
        (
            {"privacy__secure_sum": "true", "federation__min_organizations": 2},
            "a round waits for federation.min_organizations = 2, and with privacy.secure_sum it needs 3: raise it",
        ),
    ],
)
def test_what_needs_organizations_of_one_process_is_refused_before_a_run_in_one_line(settings, change, words):
    config = configured(settings, **change)
    assert words in (undeployable(config) or "")
    assert undeployable(configured(settings, federation__runtime="local", **change)) is None
    grid, _ = nodes(settings, configured(settings), "alpha", "beta")
    watched = over_nodes(config, grid).go()
    assert words in watched.run.refusal
    assert "\n" not in watched.run.refusal


def test_a_secure_sum_is_made_of_nodes_with_numbers_as_large_as_flowers(settings):
    config = configured(settings, federation__min_organizations=3, privacy__secure_sum="true")
    grid, _ = nodes(settings, config)
    grid._next_node = 2**63 + 11
    for name in ("alpha", "beta", "gamma"):
        grid.connect(name)
    watched = over_nodes(config, grid).go()
    assert watched.run.state.phase == "done", watched.run.state.reason or watched.run.refusal
    assert [event.orgs for event in watched.told(ev.SecureSummed)] == [("alpha", "beta", "gamma")] * 2
