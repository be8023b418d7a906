"""`fedlora-tui node` in a real terminal: its table, its link, a size that changes, what stands there afterwards."""

from __future__ import annotations

import contextlib
import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedlora_tui.node import events as ev
from fedlora_tui.node.journal import NodeJournal, read_ledger
from tests.deployment import PATIENCE, eventually, free_port
from tests.e2e.tmux import Terminal, terminal
from tests.stalled import stalled

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
HEAD = "INSECURE: no TLS, no key\nnode      clinic   SuperLink 127.0.0.1:"


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path) as one:
        yield one


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Give the words that start a node that has a ledger already, at a port where nobody listens."""
    (tmp_path / "clinic.txt").write_text("a note")
    folder = tmp_path / "nodes" / "clinic"
    folder.mkdir(parents=True)
    before = NodeJournal(folder)
    for round in range(1, 41):
        before.append(ev.MessageReceived("7", ev.TRAIN, round, 2, 1000))
        before.append(ev.MessageAnswered("7", ev.TRAIN, round, 2, 4, 1000, {"A": 400, "B": 600, "numbers": 32}))
    before.close()
    words = ["node", "--superlink", f"127.0.0.1:{free_port()}", "--insecure", "--data", "clinic.txt"]
    return [sys.executable, "-m", "fedlora_tui", *words]


@pytest.fixture
def typed(command: list[str], tmp_path: Path) -> str:
    """Give what is typed to start it."""
    return f"cd {shlex.quote(str(tmp_path))}; {shlex.join(command)}; echo left-with-$?"


@pytest.mark.terminal
def test_the_table_shows_link_sums_and_the_last_messages_and_leaves_the_head_behind(
    screen: Terminal, typed: str
) -> None:
    screen.open(typed, 80, 20, ENVIRONMENT)
    shown = screen.wait_for("nobody listens there")
    assert shown.startswith(HEAD)
    assert "sent      41,280 B in 40 messages: A 16,000 B, B 24,000 B, numbers 1,280 B" in shown
    rows = [line.split()[2] for line in shown.splitlines() if "  train  " in line]
    assert rows == [str(round) for round in range(41 - len(rows), 41)]
    assert len(rows) >= 8
    screen.resize(60, 14)
    screen.wait_for(lambda text: text.startswith(HEAD) and 0 < text.count("  train  ") < len(rows))
    screen.press("C-c")
    shown = screen.wait_for("left-with-130")
    assert "link      ended (SIGINT)" in shown
    assert "  train  " not in shown


@pytest.mark.terminal
def test_a_node_goes_on_when_its_terminal_hangs_up_and_ends_by_a_signal(
    screen: Terminal, typed: str, tmp_path: Path
) -> None:
    screen.open(typed, 80, 20, ENVIRONMENT)
    screen.wait_for("nobody listens there")
    folder = tmp_path / "nodes" / "clinic"
    process = int((folder / "lock").read_text())
    screen.close()
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        os.kill(process, signal.SIGTERM)
    eventually(lambda: isinstance(read_ledger(folder)[-1].event, ev.NodeEnded), "the node's end")
    assert read_ledger(folder)[-1].event == ev.NodeEnded("SIGTERM")


def test_a_node_whose_terminal_goes_at_the_moment_at_which_it_is_ended_ends_as_it_should(
    command: list[str], tmp_path: Path
) -> None:
    screen, own = pty.openpty()
    node = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **ENVIRONMENT}, stdin=own, stdout=own, stderr=subprocess.PIPE
    )
    os.close(own)
    shown = b""
    while b"SuperLink" not in shown:
        shown += os.read(screen, 4096)
    # It finds both signals, and the terminal gone, when it goes on.
    os.kill(node.pid, signal.SIGSTOP)
    os.close(screen)
    for kind in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
        os.kill(node.pid, kind)
    _, told = node.communicate(timeout=PATIENCE)
    assert (node.returncode, told) == (128 + signal.SIGTERM, b"")
    assert read_ledger(tmp_path / "nodes" / "clinic")[-1].event == ev.NodeEnded("SIGTERM")


def test_a_node_of_which_nobody_reads_what_it_prints_ends_all_the_same(command: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "nodes" / "clinic"
    with stalled() as unread:
        node = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **ENVIRONMENT}, stdout=unread)
        try:
            eventually(lambda: isinstance(read_ledger(folder)[-1].event, ev.NodeStarted), "the node's beginning")
            node.terminate()
            assert node.wait(PATIENCE) == 128 + signal.SIGTERM
            assert read_ledger(folder)[-1].event == ev.NodeEnded("SIGTERM")
        finally:
            node.kill()
