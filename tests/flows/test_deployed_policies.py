"""Deployed runs that an organization's policy refuses: no misbehaviour, told by name, asked again when set anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from fedlora_tui.engine import waiting_for_nodes
from fedlora_tui.node.events import MessageRefused
from fedlora_tui.node.journal import read_ledger
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.flows.nodes_here import NodesHere, over_nodes
from tests.tiny_runs import configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path) | {"federation.runtime": "superlink"}


def node_with_policy(grid, folder: Path, name: str, text: str) -> int:
    file = folder / f"{name}-policy.toml"
    file.write_text(text)
    return grid.connect(name, policy=file)


def finished(round):
    return lambda event: isinstance(event, ev.RoundFinished) and event.round == round


def test_who_refuses_what_is_asked_takes_no_part_from_the_start_and_is_asked_again_when_that_is_changed(
    settings, tmp_path, capsys
):
    config = configured(settings, federation__rounds=5, federation__min_organizations=2, lora__rank=4)
    grid = NodesHere(config, Path(str(settings["data.path"])))
    node_with_policy(grid, tmp_path, "alpha", '[training]\nmethods = ["ffa", "flora"]\n')
    node_with_policy(grid, tmp_path, "beta", "[training]\nmax_rank = 2\n")
    grid.connect("gamma")
    grid.connect("delta", "gamma")
    watched = over_nodes(config, grid)
    watched.when(finished(1), lambda: watched.run.send(ask.Rank(2)))
    watched.when(finished(3), lambda: watched.run.send(ask.Rank(4)))
    watched.go()
    assert watched.run.state.phase == "done", watched.run.state.reason
    two, three = ("delta", "gamma"), ("beta", "delta", "gamma")
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [two, three, three, two, two]
    method = "alpha's policy refuses fedit: it allows ffa, flora alone"
    rank = "beta's policy refuses this run: it allows a rank of 2 at most, 4 was asked"
    assert [event.message for event in watched.told(ev.Warned) if event.org] == [method, rank]
    assert [(event.org, event.round, event.reason) for event in watched.told(ev.OrgLeft)] == [("beta", 4, rank)]
    assert not watched.told(ev.UpdateRejected)
    assert not watched.told(ev.OrgQuarantined)
    assert f"{method}\n" in capsys.readouterr().out
    told = [record.event for record in read_ledger(tmp_path / "journal of alpha")]
    assert [(event.kind, event.reason) for event in told if isinstance(event, MessageRefused)] == [
        ("introduce", "its policy does not allow the method fedit")
    ]


def test_a_run_that_lacks_organizations_for_a_policy_says_whose_before_it_begins_and_amid(
    settings, tmp_path, monkeypatch, capsys
):
    config = configured(settings, federation__min_organizations=2, federation__rounds=3)
    grid = NodesHere(config, Path(str(settings["data.path"])))
    # What an introduction does not tell is refused in a round, which is lost; no second one is.
    node_with_policy(grid, tmp_path, "alpha", "[training]\nmax_rounds = 1\n")
    node_with_policy(grid, tmp_path, "beta", '[training]\nmethods = ["ffa"]\n')
    monkeypatch.setattr(waiting_for_nodes, "time", SimpleNamespace(sleep=lambda seconds: grid.connect("gamma")))
    watched = over_nodes(config, grid)
    watched.when(
        lambda event: isinstance(event, ev.Warned) and "waits" in event.message, lambda: grid.connect("delta", "gamma")
    )
    watched.go()
    assert watched.run.state.phase == "done", watched.run.state.reason
    method = "beta's policy refuses fedit: it allows ffa alone"
    rounds = "alpha's policy refuses this run: it allows 1 rounds of a run at most, and so many are trained"
    assert f"waits for SuperNodes: 1 of 2 here: alpha; {method}\n" in capsys.readouterr().out
    waits = (
        f"waits for SuperNodes: round 3 needs 2 organizations, has 1 (federation.min_organizations); {rounds}; {method}"
    )
    assert waits in [event.message for event in watched.told(ev.Warned)]
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [
        ("alpha", "gamma"),
        ("gamma",),
        ("delta", "gamma"),
    ]
    assert [(event.org, event.reason) for event in watched.told(ev.OrgLeft)] == [("alpha", rounds)]
    assert len(watched.told(ev.UpdateRejected)) == 1
    assert not watched.told(ev.OrgQuarantined)
