"""An organization's side for real: a SuperLink, two nodes by `fedlora-tui node`, one refuses; what ledgers say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fedlora_tui.config import to_toml
from fedlora_tui.config_places import to_literal
from fedlora_tui.engine import journal
from fedlora_tui.node import events as ev
from fedlora_tui.node.face import by_kind
from fedlora_tui.node.journal import read_ledger
from fedlora_tui.protocol import events as run
from tests.deployment import BIN, PATIENCE, ROOT, Deployment, eventually, lives
from tests.tiny_runs import configured, small_settings

POLICY = "[training]\nmax_rounds = 1\n"
REASON = "its policy allows 1 rounds of a run at most, and so many are trained"


class Nodes:
    """A SuperLink, the nodes of alpha and beta, and a run of two rounds over them, gone through to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deployment = Deployment(folder)
        (folder / "policy.toml").write_text(POLICY)
        settings = {**small_settings(folder), "lora.rank": 8, "federation.rounds": 2}
        self.config = configured(settings)
        (folder / "run.toml").write_text(f"config = {to_literal(to_toml(self.config))}\n")

    def start(self) -> None:
        self.deployment.superlink()
        self.node("alpha")
        self.node("beta", "--policy", "policy.toml")

    def node(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        words = ["--superlink", self.deployment.address, "--insecure", "--data", f"texts/{name}.txt", *more]
        return self.deployment.start(name, [sys.executable, "-m", "fedlora_tui", "node", *words])

    def go(self) -> None:
        words = ["run", str(ROOT), "test", "--run-config", str(self.folder / "run.toml")]
        self.deployment.start("flwr", [str(BIN / "flwr"), *words])
        # Flower starts a process for each message, and each loads torch.
        eventually(lambda: self.events(run.RunFinished), "the end of the run", 3 * PATIENCE)

    def events(self, kind: type[run.Event]) -> list:
        folders = sorted((self.folder / "runs").glob("*/events.jsonl"))
        if not folders:
            return []
        return [record.event for record in journal.read(folders[-1].parent) if isinstance(record.event, kind)]

    def ledger(self, name: str, kind: type[ev.NodeEvent]) -> list:
        records = read_ledger(self.folder / "nodes" / name)
        return [record.event for record in records if isinstance(record.event, kind)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    try:
        made.start()
        made.go()
        yield made
    finally:
        made.deployment.close()


def test_the_servers_events_say_why_a_node_refused_and_that_node_trained_no_more(nodes: Nodes) -> None:
    rejected = nodes.events(run.UpdateRejected)
    assert {(own.org, own.reason) for own in rejected} == {("beta", REASON)}
    assert [own.round for own in rejected] == [2]
    assert [own.round for own in nodes.ledger("beta", ev.Trained)] == [1]
    assert not nodes.events(run.OrgQuarantined)
    assert {own.reason for own in nodes.ledger("beta", ev.MessageRefused)} == {REASON}
    assert all(own.left == {"words": len(REASON)} for own in rejected)


def test_a_nodes_ledger_is_the_servers_byte_for_byte(nodes: Nodes) -> None:
    received = {own.round: own for own in nodes.events(run.UpdateReceived) if own.org == "alpha"}
    assert sorted(received) == [1, 2]
    trains = {own.round: own for own in nodes.ledger("alpha", ev.MessageAnswered) if own.kind == ev.TRAIN}
    came = {own.round: own for own in nodes.ledger("alpha", ev.MessageReceived) if own.kind == ev.TRAIN}
    trained = {own.round: own for own in nodes.ledger("alpha", ev.Trained)}
    for round, told in received.items():
        own = trains[round]
        assert (own.left, own.bytes, own.tensors, own.numbers) == (told.left, told.bytes_up, told.tensors, told.numbers)
        assert came[round].bytes == told.bytes_down
        assert (trained[round].tokens, trained[round].steps) == (told.tokens, 2)
        assert trained[round].loss == pytest.approx(told.loss)
    measured = {own.round: own for own in nodes.events(run.OrgEvaluated) if own.org == "alpha"}
    asked = {own.round: own for own in nodes.ledger("alpha", ev.MessageReceived) if own.kind == ev.EVALUATE}
    assert {round: own.bytes_down for round, own in measured.items()} == {
        round: own.bytes for round, own in asked.items()
    }
    assert [own.state for own in nodes.ledger("alpha", ev.LinkChanged)][:2] == ["connecting", "up"]
    for name in ("alpha", "beta"):
        text = (nodes.folder / "nodes" / name / "ledger.jsonl").read_text()
        assert all(set(json.loads(line)) >= {"v", "seq", "t", "type"} for line in text.splitlines())
        assert "amber" not in text


def test_a_node_tells_what_it_does_line_by_line_and_its_history_tells_it_again(nodes: Nodes) -> None:
    said = nodes.deployment.said("beta")
    assert f"round 2 train: refused: {REASON}" in said
    assert "INSECURE: no TLS, no key" in said
    said = nodes.deployment.said("alpha")
    assert "round 1 train: trained 2 steps" in said
    own = next(own for own in nodes.events(run.UpdateReceived) if own.org == "alpha")
    assert f"round 1 train: sent {sum(own.left.values()):,} B: {by_kind(own.left)}" in said
    words = [sys.executable, "-m", "fedlora_tui", "node", "--history", "--name", "alpha"]
    told = subprocess.run(
        words, cwd=nodes.folder, capture_output=True, text=True, check=True, env=nodes.deployment.environment
    ).stdout
    assert "trained   2 rounds, 4 steps" in told


def test_a_node_that_ends_or_is_killed_takes_all_that_it_started_along(nodes: Nodes) -> None:
    for name, kind, status in (("alpha", signal.SIGTERM, 143), ("beta", signal.SIGKILL, -9)):
        process = nodes.deployment.processes[name]
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 2
        os.kill(process.pid, kind)
        assert process.wait(PATIENCE) == status
        gone = eventually(lambda own=started: not any(map(lives, own)), f"the end of all of {name}'s")
        assert gone
    assert nodes.ledger("alpha", ev.NodeEnded) == [ev.NodeEnded("SIGTERM")]
    assert not nodes.ledger("beta", ev.NodeEnded)
