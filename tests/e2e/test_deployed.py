"""Deployed federations of real processes on loopback without TLS: who comes and goes, and Flower's Ray engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora_tui.attached import attach
from fedlora_tui.config import Setting, load, to_toml
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.folder import all_runs
from fedlora_tui.federation.standing import NO_TLS
from fedlora_tui.protocol.commands import Command, Finish
from tests.deployment import BIN, PATIENCE, ROOT, Deployment, eventually
from tests.tiny_models import write_texts
from tests.tiny_runs import tiny_base

NAMES = ("alpha", "beta", "delta", "gamma")
PROGRAM = (sys.executable, "-m", "fedlora_tui.cli")

Event = dict[str, Any]


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Deployment]:
    found = Deployment(tmp_path)
    try:
        yield found
    finally:
        found.close()


def words(federation: Deployment, **changes: object) -> list[str]:
    """The options of a small run on the federation's SuperLink."""
    values = {
        "federation.runtime": "superlink",
        "superlink.address": federation.address,
        "superlink.insecure": "true",
        "model.device": "cpu",
        "model.max_length": 24,
        "federation.rounds": 3,
        "federation.local_steps": 2,
        "federation.min_organizations": 4,
        "runs.dir": federation.folder / "runs",
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def run(federation: Deployment, *given: str) -> subprocess.CompletedProcess[str]:
    """What the program says, and how it ends."""
    command = [*PROGRAM, *given]
    return subprocess.run(
        command, cwd=federation.folder, env=federation.environment, capture_output=True, text=True, timeout=PATIENCE
    )


def events(text: str) -> list[Event]:
    return [json.loads(line) for line in text.splitlines()]


def of_kind(told: list[Event], kind: str) -> list[Event]:
    return [event for event in told if event["type"] == kind]


def losses(told: list[Event]) -> list[tuple[float, float]]:
    return [(event["train_loss"], event["eval_loss"]) for event in of_kind(told, "round_finished")]


def close_to(those: list[tuple[float, float]]) -> list[Any]:
    return [pytest.approx(pair, rel=1e-5) for pair in those]


def local_run(federation: Deployment, texts: Path, **changes: object) -> list[Event]:
    """The events of the same run by the local runtime."""
    more = {"federation__runtime": "local", "data__source": "folder", "data__path": texts, "runs__name": "local"}
    said = run(federation, "run", "--json", *words(federation, **(changes | more)))
    assert said.returncode == 0, said.stderr
    return events(said.stdout)


def test_it_outlives_a_node_that_is_killed_one_that_is_late_and_a_superlink_that_is_started_anew(
    federation: Deployment,
):
    texts = write_texts(federation.folder / "texts", NAMES)
    database = federation.folder / "superlink.db"
    federation.superlink("--database", str(database), ours=True)
    federation.supernode("alpha", texts / "alpha.txt")
    federation.supernode("beta", texts / "beta.txt")
    given = words(federation, federation__rounds=500, federation__min_organizations=2, federation__deadline=10.0)
    detached = run(federation, "run", "--detach", *given, "--model", str(tiny_base()))
    assert detached.returncode == 0, detached.stderr
    folder = federation.folder / "runs" / detached.stdout.strip()
    assert folder in all_runs(federation.folder / "runs")
    until(folder, lambda event: event["type"] == "round_finished" and event["orgs"] == ["alpha", "beta"])
    federation.supernode("gamma", texts / "gamma.txt")
    until(folder, lambda event: event["type"] == "round_finished" and event["orgs"] == ["alpha", "beta", "gamma"])
    federation.kill("beta")
    until(folder, lambda event: event["type"] == "update_rejected" and event["org"] == "beta")
    until(folder, lambda event: event["type"] == "round_finished" and event["orgs"] == ["alpha", "gamma"])
    # Whatever is cut off on its way to a node: the next SuperLink ends the run that it is of.
    federation.kill("superlink", signal.SIGTERM)
    eventually(lambda: journal(folder)[-1]["type"] == "run_stopped", "the end of a run whose SuperLink is gone")
    reached = max(event["round"] for event in of_kind(journal(folder), "round_finished"))
    federation.superlink("--database", str(database), ours=True)
    federation.supernode("beta", texts / "beta.txt")
    resume = federation.start("resume", [*PROGRAM, "resume", folder.name, "--runs-dir", str(folder.parent)])
    until(folder, lambda event: event["type"] == "run_continued")
    went_on = of_kind(journal(folder), "run_continued")[0]
    assert went_on["round"] == reached
    until(
        folder,
        lambda event: (
            event["type"] == "round_finished"
            and (event["round"] > reached, event["orgs"]) == (True, ["alpha", "beta", "gamma"])
        ),
    )
    asked(folder, Finish())
    assert resume.wait(PATIENCE) == 0, federation.said("resume")
    told = journal(folder)
    assert told[-1]["type"] == "run_finished"
    assert {event["reason"] for event in of_kind(told, "update_rejected")} <= {"its SuperNode is gone", "no reply came"}
    finished = [event["round"] for event in of_kind(told, "round_finished")]
    assert finished == list(range(1, len(finished) + 1))
    assert {event["insecure"] for event in of_kind(told, "deployed")} == {NO_TLS}
    assert not of_kind(told, "train_step")


DIES_AMID_ITS_REPLY = """
import os, signal
from flwr.supernode.fleet_http_client import FleetHttpClient

def push(self, request, own=FleetHttpClient.PushObject):
    if os.path.exists(os.environ["DIES"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return own(self, request)

FleetHttpClient.PushObject = push
"""


def test_a_node_that_dies_amid_its_reply_is_gone_and_the_round_goes_on_without_it(federation: Deployment):
    texts = write_texts(federation.folder / "texts", NAMES[:2])
    dies, held = federation.folder / "dies", federation.folder / "held"
    held.mkdir()
    (held / "sitecustomize.py").write_text(DIES_AMID_ITS_REPLY)
    federation.superlink(ours=True)
    federation.supernode("alpha", texts / "alpha.txt")
    federation.supernode("beta", texts / "beta.txt", PYTHONPATH=f"{held}{os.pathsep}{ROOT}", DIES=str(dies))
    given = words(federation, federation__rounds=500, federation__min_organizations=1, federation__min_replies=1)
    detached = run(federation, "run", "--detach", *given, "--model", str(tiny_base()))
    assert detached.returncode == 0, detached.stderr
    folder = federation.folder / "runs" / detached.stdout.strip()
    until(folder, lambda event: event["type"] == "round_finished" and event["orgs"] == ["alpha", "beta"])
    dies.touch()
    until(folder, lambda event: event["type"] == "round_finished" and event["orgs"] == ["alpha"])
    lost = [event for event in journal(folder) if event["type"] in ("update_rejected", "warning", "org_left")]
    # A SuperLink that waits for the rest of a reply in vain says another thing, three minutes later.
    assert "lost on its way" not in json.dumps(lost)
    assert "its SuperNode is gone" in json.dumps(lost)
    asked(folder, Finish())
    until(folder, lambda event: event["type"] in ("run_finished", "run_stopped"))


def test_of_more_than_a_round_needs_the_slowest_is_left_out_and_their_sum_is_the_local_runtimes_with_no_update_seen(
    federation: Deployment,
):
    names, texts = NAMES[:3], write_texts(federation.folder / "texts", NAMES[:3])
    more: dict[str, object] = {
        "federation__min_organizations": 3,
        "federation__fraction": 0.75,
        "federation__local_epochs": 1,
        "federation__batch_size": 16,
        "privacy__secure_sum": "true",
        "model__base": tiny_base(),
    }
    federation.superlink()
    for name in names:
        federation.supernode(name, texts / f"{name}.txt")
    given = words(federation, **more, federation__rounds=500, federation__oversample=0.34)
    detached = run(federation, "run", "--detach", *given)
    assert detached.returncode == 0, detached.stderr
    folder = federation.folder / "runs" / detached.stdout.strip()
    # It trains on so much more than the others that its reply is the last wherever it runs.
    much = write_texts(federation.folder / "much", ("gamma",), 6000)
    federation.supernode("gamma", much / "gamma.txt")
    until(folder, lambda event: event["type"] == "update_late" and event["org"] == "gamma")
    asked(folder, Finish())
    until(folder, lambda event: event["type"] == "run_finished")
    told = journal(folder)
    rounds = len(of_kind(told, "round_finished"))
    assert {tuple(event["orgs"]) for event in of_kind(told, "secure_summed")} == {names}
    assert "gamma" in of_kind(told, "round_started")[-1]["orgs"]
    assert {(event["reason"], event["surplus"]) for event in of_kind(told, "update_late")} == {
        ("3 replies were in already", True)
    }
    assert not {"update_rejected", "update_measured", "secure_failed"} & {event["type"] for event in told}
    for event in of_kind(told, "update_received"):
        assert set(event["left"]) <= {"masked", "shares", "numbers"}
    assert {event["drift"] for event in of_kind(told, "round_aggregated")} == {None}
    local_run(federation, texts, **more, federation__rounds=rounds)
    local = next(one for one in all_runs(folder.parent) if one.name.endswith("local"))
    ours, theirs = (checkpoint.read(one, rounds).adapter.tensors() for one in (folder, local))
    for name, tensor in theirs.items():
        assert torch.linalg.norm(ours[name] - tensor) <= 1e-4 * torch.linalg.norm(tensor), name


def asked(folder: Path, command: Command) -> None:
    """Ask something of a run where its folder is."""
    link = attach(folder, steers=True)
    link.ask(link.place, command)
    until(folder, lambda event: event["type"] == "command_acknowledged" and event["command"] == command.name)
    link.close()


def journal(folder: Path) -> list[Event]:
    text = (folder / "events.jsonl").read_text()
    return events(text[: text.rfind("\n") + 1])


def until(folder: Path, test: Callable[[Event], bool]) -> None:
    """Wait for an event of a run."""
    eventually(lambda: any(map(test, journal(folder))), "an event")


def test_flowers_ray_engine_gives_the_same_losses_with_the_same_apps(federation: Deployment):
    pytest.importorskip("ray", reason="Flower's simulation needs the extra: pip install 'fedlora-tui[ray]'")
    texts = write_texts(federation.folder / "texts", NAMES[:2])
    own = {"federation__min_organizations": 2, "data__source": "folder", "data__path": texts, "federation__rounds": 2}
    given = words(federation, **own, runs__name="ray")
    settings = [Setting(*pair.split("=", 1), pair) for pair in given[1::2]]
    (federation.folder / "run.toml").write_text(f"config = '''\n{to_toml(load(None, settings))}'''\n")
    federation.superlink("--simulation")
    started = subprocess.run(
        [
            *(str(BIN / "flwr"), "run", str(ROOT), "test", "--run-config", "run.toml"),
            *("--federation-config", "num-supernodes=2 client-resources-num-cpus=1"),
        ],
        cwd=federation.folder,
        env=federation.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert started.returncode == 0, started.stdout + started.stderr
    (folder,) = eventually(lambda: all_runs(federation.folder / "runs"), federation.said("superlink"))
    until(folder, lambda event: event["type"] in ("run_finished", "run_failed"))
    assert losses(journal(folder)) == close_to(losses(local_run(federation, texts, **own)))
