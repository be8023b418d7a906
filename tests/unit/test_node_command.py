"""`fedlora-tui node` before it starts anything: one line a mistake, no training library, a policy to begin with."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedlora_tui import node_command
from fedlora_tui.cli import main
from fedlora_tui.deployment.keys import new_node
from fedlora_tui.engine.lock import held
from fedlora_tui.node import events as ev
from fedlora_tui.node import supernode
from fedlora_tui.node.journal import NodeJournal
from fedlora_tui.node_policy import EVERYTHING, load_policy

GOOD = ["node", "--superlink", "127.0.0.1:9", "--data", "clinic", "--insecure"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supernode.SuperNode, "start", lambda self: pytest.fail("started"))
    (tmp_path / "clinic").mkdir()
    (tmp_path / "clinic" / "notes.txt").write_text("a note")
    (tmp_path / "key").write_bytes(new_node("clinic").private)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.toml").write_text("[training]\nmax_rank = 0\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["node"], "node: --superlink HOST:PORT is missing"),
        (["node", "--superlink", "a:1"], "node: --data FOLDER is missing"),
        ([*GOOD, "--superlink", "somewhere"], "--superlink somewhere: allowed is HOST:PORT, like"),
        ([*GOOD, "--superlink", "a:99999"], "--superlink a:99999: allowed is HOST:PORT"),
        ([*GOOD, "--data", "nowhere"], "--data nowhere: is not here; name the folder or the file"),
        ([*GOOD, "--data", "empty"], "--data empty: the folder is empty"),
        ([*GOOD, "--folder", "clinic/node"], "--folder clinic/node: lies in --data"),
        ([*GOOD, "--name", "a/b"], "--name a/b: allowed is one line of at most 64 characters"),
        ([*GOOD, "--policy", "broken.toml"], "broken.toml:2: training.max_rank = 0: allowed is a whole number from 1"),
        ([*GOOD, "--key", "key"], "--insecure, --key: one of them"),
        (GOOD[:-1], "node: --key FILE is missing, the private key by which the SuperLink knows this node"),
        ([*GOOD[:-1], "--key", "none"], "none: cannot be read: No such file or directory"),
        ([*GOOD[:-1], "--key", "key", "--root-certificates", "ca"], "ca: cannot be read: No such file or directory"),
        (
            [*GOOD[:-1], "--key", "clinic/notes.txt"],
            "notes.txt: no private key in OpenSSH's format without a passphrase;",
        ),
        ([*GOOD[:-1], "--key", "key", "--root-certificates", "key"], "key: no certificate in PEM; fedlora-tui deploy"),
        ([*GOOD, "--json"], "--json is for --history"),
        (["node", "--history"], "node --history: whose?"),
        (["node", "--history", "--name", "nobody"], "nodes/nobody: no ledger of a node is here"),
        (["node", "--write-policy", "broken.toml"], "broken.toml: is there already, and stays as it is"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_started(words: list[str], said: str, capsys, home: Path) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not (home / "nodes").exists()


def test_a_key_that_was_made_for_one_is_not_taken_under_the_name_of_another(home: Path, capsys) -> None:
    assert main(["deploy", "init", "fed", "--organizations", "mill,port", "--host", "localhost"]) == 0
    key = home / "fed" / "node-mill" / "node.key"
    words = ["node", "--superlink", "127.0.0.1:9", "--data", "clinic", "--key", str(key)]
    capsys.readouterr()
    assert main([*words, "--name", "port"]) == 2
    told = capsys.readouterr().err
    assert f"--name port: {key} was made for mill, and a run refuses it under another name; start it with" in told
    assert told.count("\n") == 1
    with pytest.raises(pytest.fail.Exception, match="started"):
        main([*words, "--name", "mill"])
    key.write_bytes((home / "key").read_bytes())
    with pytest.raises(pytest.fail.Exception, match="started"):
        main([*words, "--name", "port"])


def test_a_policy_to_begin_with_allows_everything_until_it_is_changed(home: Path, capsys) -> None:
    assert main(["node", "--write-policy", "policy.toml"]) == 0
    assert capsys.readouterr().out == "policy.toml\n"
    assert load_policy(home / "policy.toml") == EVERYTHING


def test_a_folder_that_a_node_has_is_not_anothers(home: Path, capsys) -> None:
    folder = home / "nodes" / "clinic"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        assert main(GOOD) == 2
    assert "nodes/clinic: another node runs here (pid 4711)" in capsys.readouterr().err


def test_who_asks_whether_a_node_runs_is_no_node_for_another_that_asks_nor_for_one_that_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "nodes" / "clinic"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    with (folder / "lock").open("rb") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert not held(folder)
        monkeypatch.setattr(node_command.time, "sleep", lambda seconds: asking.close())
        own = node_command._locked(folder)
    assert held(folder)
    assert int((folder / "lock").read_text()) == os.getpid()
    os.close(own)
    assert not held(folder)


def test_the_history_is_the_whole_ledger_as_a_table_or_as_it_is_written(home: Path, capsys) -> None:
    folder = home / "nodes" / "clinic"
    folder.mkdir(parents=True)
    journal = NodeJournal(folder)
    journal.append(ev.NodeStarted("clinic", "127.0.0.1:9", True, "0.1.0"))
    for round in range(1, 301):
        journal.append(ev.MessageReceived("7", ev.TRAIN, round, 2, 1000))
        journal.append(ev.MessageAnswered("7", ev.TRAIN, round, 2, 4, 1000, {"A": 1000, "numbers": 32}))
    assert main(["node", "--history", "--name", "clinic"]) == 0
    told = capsys.readouterr().out
    assert "sent      309,600 B in 300 messages: A 300,000 B, numbers 9,600 B" in told
    assert len([line for line in told.splitlines() if "  train  " in line]) == 300
    assert main(["node", "--history", "--folder", "nodes/clinic", "--json"]) == 0
    assert capsys.readouterr().out == (folder / "ledger.jsonl").read_text()


def test_the_face_of_a_node_loads_no_training_library() -> None:
    heavy = ("torch", "flwr", "transformers", "peft", "numpy")
    code = (
        "import sys, fedlora_tui.node_command, fedlora_tui.node.supernode\n"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("certificate verify failed: Hostname mismatch, certificate is not valid for 'a'", "is for another name"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired", "has expired"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get issuer", "is not signed by"),
        ("[Errno 111] Connection refused", "nobody listens there"),
        ("[code: 2004] Failed to activate SuperNode. The SuperNode could", "has to register this node's key there"),
        ("Server disconnected without sending a response.", "--insecure does not go"),
        ("[Errno -2] Name or service not known", "there is no machine of this name"),
        (
            "Exit Code: 305 Failed to initialize the connection to the SuperLink. Odd. For more information, visit",
            "Odd.",
        ),
    ],
)
def test_why_a_link_is_down_is_said_in_words_that_help(said: str, meant: str) -> None:
    assert meant in supernode.in_words(said)
