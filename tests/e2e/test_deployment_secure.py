"""A deployment as it is written, of real processes on loopback: its nodes train, and who does not belong is refused."""

import json
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from fedlora_tui.deployment import keys, layout
from fedlora_tui.engine import checkpoint
from fedlora_tui.federation import door, refusals
from tests.deployment import BIN, ROOT, eventually, free_port
from tests.listening import listening

NODES = ("bank", "clinic", "mill", "port")
SETTINGS = {"local_steps": 2, "batch_size": 2, "min_organizations": len(NODES)}
RUN = [word for name, value in SETTINGS.items() for word in ("--set", f"federation.{name}={value}")]
RUN += ["--rounds", "3", "--name", "told"]
TEXT = "The crane at the {name} lifts container {number} while the pilot of ship {number} reads chart {number}.\n\n"


class Started:
    """A deployment whose server and nodes were started by their scripts; `close` ends all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLWR_")},
            "FEDLORA_TUI": str(BIN / "fedlora-tui"),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def ask(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of ours to its end."""
        command = [str(BIN / "fedlora-tui"), *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, cwd=cwd, timeout=300)

    def start(self, role: str, *words: str) -> subprocess.Popen[bytes]:
        """Run a role's start script."""
        return self.begin(role, [str(self.folder / role / "start.sh"), *words])

    def begin(self, name: str, command: list[str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a process at the head of a group of its own; what it says goes to a file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=cwd,
            )
        self.processes[name] = process
        return process

    def said(self, role: str) -> str:
        return (self.folder / f"{role}.log").read_text(errors="replace")

    def refused(self) -> list[refusals.Refusal]:
        return refusals.read(self.folder / "server" / layout.REFUSED)

    def check(self, role: str = "") -> dict[tuple[str, str], str]:
        """Give what a check says of each link that is not well, by place and name."""
        said = self.ask("deploy", "check", str(self.folder / role)).stdout.splitlines()
        bad = [line.split(maxsplit=3) for line in said if line[0] in "✗x"]
        return {(place, name): found for _, place, name, found in bad}

    def end(self, name: str) -> None:
        """End a process as its terminal would, and wait for that."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)

    def close(self) -> None:
        for process in self.processes.values():
            for kind, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 20)):
                try:
                    os.killpg(process.pid, kind)
                    process.wait(seconds)
                    break
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue


def text_of(name: str) -> str:
    return "".join(TEXT.format(name=name, number=number) for number in range(40 + 10 * NODES.index(name)))


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("d") / "fed"
    running = Started(folder)
    made = ("--organizations", ",".join(NODES), "--host", "localhost", "--port", str(free_port()))
    assert running.ask("deploy", "init", str(folder), *made).returncode == 0
    for name in NODES:
        (folder / f"node-{name}" / "data" / "notes.txt").write_text(text_of(name))
    try:
        running.start("server")
        for name in NODES:
            running.start(f"node-{name}")
        eventually(lambda: _all_connected(running), "all nodes connected")
        yield running
    finally:
        running.close()


def test_every_link_is_well_once_all_are_started(started):
    eventually(lambda: not started.check(), "a check without a fault")
    said = _all_connected(started)
    assert "4 of 4: bank, clinic, mill, port" in said
    assert said.count("registered: the SuperLink lets this node in") == 4
    terminal = started.said("server")
    assert "let in: bank, clinic, mill, port; ctrl+c ends it" in terminal
    assert "ApiError" not in terminal
    assert "uvicorn" not in terminal
    assert "SuperExec" not in terminal


def _all_connected(started) -> str:
    said = started.ask("deploy", "check", str(started.folder)).stdout
    return said if "4 of 4" in said else ""


def _impostor(started, name: str) -> Path:
    """A node's folder with another key."""
    folder = started.folder / name
    shutil.copytree(started.folder / "node-port", folder, ignore=shutil.ignore_patterns("journal", "*.log"))
    (folder / "node.key").write_bytes(keys.new_node("impostor").private)
    (folder / "node.key").chmod(0o600)
    return folder


def test_a_key_that_is_not_registered_is_refused_told_and_counted(started):
    folder = _impostor(started, "impostor")
    found = started.check("impostor")
    assert found["impostor", "key"].startswith("this node's key is not registered: put this line into")
    refused = started.start("impostor")
    assert refused.wait(120) != 0
    assert "server/nodes/port.pub" in started.said("impostor")
    # It passes over what its script says, and asks by Flower's own program.
    superlink = layout.read_about(folder).superlink
    node = ["--superlink", superlink, "--root-certificates", "ca.pem", "--auth-supernode-private-key", "node.key"]
    program = [str(BIN / "flower-supernode"), *node, "--port", str(free_port())]
    assert started.begin("by-itself", program, folder).wait(120) != 0
    assert "Failed to activate SuperNode" in started.said("by-itself")
    fingerprint = door.fingerprint(_pem(folder / "node.key"))
    [counted] = [one for one in started.refused() if one.key == fingerprint]
    assert (counted.reason, counted.address) == (door.NOT_REGISTERED, "127.0.0.1")
    assert counted.times >= 3


def _pem(file: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    public = load_ssh_private_key(file.read_bytes(), None).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_server_with_an_expired_certificate_is_refused_and_told(started, tmp_path):
    place = started.folder / "authority"
    authority = keys.Pair((place / "ca.key").read_bytes(), (place / "ca.pem").read_bytes())
    pair = keys.new_server(authority, ("localhost",), datetime.now(UTC) - timedelta(days=400))
    files = (tmp_path / "server.pem", tmp_path / "server.key")
    for file, content in zip(files, (pair.public, pair.private), strict=True):
        file.write_bytes(content)
    folder = Path(shutil.copytree(started.folder / "node-clinic", started.folder / "astray"))
    with listening(files) as port:
        for name in ("deployment.toml", "start.sh"):
            text = (folder / name).read_text()
            own = f"localhost:{layout.read_about(started.folder / 'server').port}"
            (folder / name).write_text(text.replace(own, f"localhost:{port}"))
        assert started.check("astray")["astray", "SuperLink"].startswith("the server's certificate expired on")
        assert started.start("astray").wait(120) != 0
    told = started.said("astray").splitlines()
    assert len(told) == 1
    assert "the server's certificate expired on" in told[0]


def test_a_run_of_four_ends_in_the_local_runtimes_adapter_and_says_who_was_refused(started, tmp_path):
    school = _one_that_takes_the_name_of("port", started, tmp_path / "made")
    begun = started.start("operator", *RUN)
    said = "a node was refused: its key is school's, and it calls itself port: start it with --name school"
    eventually(lambda: said in started.said("operator"), "a name that is not the key's refused")
    started.end("node-school")
    started.start("node-port")
    folder = _impostor(started, "impostor-in-a-run")
    [run] = eventually(lambda: list(started.folder.glob("server/runs/*/events.jsonl")), "a run")
    assert started.check(folder.name)[folder.name, "key"].startswith("this node's key is not registered")
    assert begun.wait(600) == 0, started.said("operator")
    told = [json.loads(line) for line in run.read_text().splitlines()]
    kinds = [event["type"] for event in told]
    assert [event["orgs"] for event in told if event["type"] == "round_finished"] == [list(NODES)] * 3
    assert not {"train_step", "warning"} & set(kinds)
    assert kinds[-1] == "run_finished"
    refused = {event["key"]: event for event in told if event["type"] == "node_refused"}
    of_school, fingerprint = (door.fingerprint(_pem(place / "node.key")) for place in (school, folder))
    assert set(refused) == {of_school, fingerprint}
    assert (refused[fingerprint]["reason"], refused[fingerprint]["times"]) == (door.NOT_REGISTERED, 1)
    assert (refused[of_school]["reason"], refused[of_school]["address"]) == (said.partition(": ")[2], "")
    assert [event["insecure"] for event in told if event["type"] == "deployed"] == [""]
    assert "crane" not in run.read_text()
    local = _local_run(started, tmp_path)
    ours, theirs = (checkpoint.read(one, 3) for one in (run.parent, local))
    assert ours.state["eval_loss"] == pytest.approx(theirs.state["eval_loss"], rel=1e-5)
    found = ours.adapter.tensors()
    for name, tensor in theirs.adapter.tensors().items():
        assert torch.linalg.norm(found[name] - tensor) <= 1e-5 * torch.linalg.norm(tensor), name


def _one_that_takes_the_name_of(name: str, started, made: Path) -> Path:
    """Let an organization in whose node calls itself another, before the other is there; give its folder.

    It is started a moment before the server has its key, and waits for that.
    """
    shutil.copytree(started.folder, made, ignore=shutil.ignore_patterns("superlink.*", "flower", "runs", "journal"))
    assert started.ask("deploy", "add", str(made), "school").returncode == 0
    started.end(f"node-{name}")
    folder = Path(shutil.move(made / "node-school", started.folder))
    (folder / "data" / "notes.txt").write_text(text_of(name))
    # Where its folder knew for whom its key was made, the node itself would refuse to start.
    about = replace(layout.read_about(folder), key="")
    (folder / layout.ABOUT).write_text(layout.to_toml(about))
    started.start("node-school", "--name", name)
    own = door.fingerprint(_pem(folder / "node.key"))
    eventually(lambda: own in {one.key for one in started.refused()}, "a node whose key is not there yet")
    shutil.copy(made / "server" / "nodes" / "school.pub", started.folder / "server" / "nodes")
    return folder


def _local_run(started, folder: Path) -> Path:
    """The folder of the same run by the local runtime."""
    for name in NODES:
        (folder / "texts" / name).mkdir(parents=True)
        (folder / "texts" / name / "notes.txt").write_text(text_of(name))
    data = ["--set", "data.source=folder", "--set", f"data.path={folder / 'texts'}", "--set", "model.device=cpu"]
    said = started.ask("run", *RUN, *data, "--runs-dir", str(folder / "runs"), cwd=folder)
    assert said.returncode == 0, said.stderr
    [run] = (folder / "runs").iterdir()
    return run


def test_who_is_taken_out_of_the_folder_is_let_in_no_more_not_with_the_same_key(started):
    public = started.folder / "server" / "nodes" / "clinic.pub"
    line = public.read_bytes()
    public.unlink()
    public.with_name("school.pub").unlink()
    found = eventually(lambda: started.check("node-clinic"), "a node that is let in no more")
    assert ("node-clinic", "key") in found
    known = door.fingerprint(_pem(started.folder / "node-clinic" / "node.key"))
    eventually(lambda: (known, "clinic") in {(one.key, one.whose) for one in started.refused()}, "whose key it was")
    assert "3 of 3: bank, mill, port" in started.ask("deploy", "check", str(started.folder / "server")).stdout
    public.write_bytes(line)
    found = eventually(lambda: started.check("server"), "a key that is not taken back")
    assert found["server", "nodes/clinic.pub"].startswith("it is not registered at the SuperLink")
