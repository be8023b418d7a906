"""The console in a real terminal: it paints before torch is imported, answers while it trains, and leaves it clean."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fedlora_tui.engine.journal import read
from tests.e2e.tmux import PATIENCE, Terminal, terminal

pytestmark = pytest.mark.terminal

HOLD_TORCH_BACK = '''
"""Lets `import torch` wait until a file appears, so that what happens before it can be looked at."""
import os, sys, time
from importlib.abc import MetaPathFinder

class Gate(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch" and not os.path.exists(os.environ["TORCH_MAY_COME"]):
            open(os.environ["TORCH_MAY_COME"] + ".asked", "w").close()
            while not os.path.exists(os.environ["TORCH_MAY_COME"]):
                time.sleep(0.02)
        return None

sys.meta_path.insert(0, Gate())
'''

SIGNAL_AT_A_MOMENT = '''
"""Sends its own process a signal while a module is being imported, or as soon as it has forked."""
import os, signal, sys
from importlib.abc import MetaPathFinder

def send(own=os.getpid()):
    if os.getpid() == own:
        os.kill(own, getattr(signal, os.environ["SENT"]))

class AtImport(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == os.environ["AT"]:
            send()
        return None

def forked(fork=os.fork):
    child = fork()
    if child:
        send()
    return child

sys.meta_path.insert(0, AtImport())
if os.environ["AT"] == "fork":
    os.fork = forked
'''


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path) as one:
        yield one


def start(screen: Terminal, tmp_path: Path, *options: str, width: int = 120, height: int = 40, **more: str) -> Path:
    runs = tmp_path / "runs"
    environment = {"OMP_NUM_THREADS": "1", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **more}
    words = ["-m", "fedlora_tui", "--runs-dir", str(runs), "--orgs", "3", *options]
    screen.open(f"{sys.executable} {' '.join(words)}; echo left-with-$?", width, height, environment)
    return runs


def in_round(least: int) -> Callable[[str], bool]:
    """Whether a screen shows this round or a later one; a short round may end between two looks."""
    return lambda shown: any(int(number) >= least for number in re.findall(r"round (\d+)/400", shown))


def journal_of(runs: Path) -> list[str]:
    (folder,) = runs.iterdir()
    return [record.event.type for record in read(folder)]


def test_the_first_frame_and_the_first_answer_come_before_torch(screen: Terminal, tmp_path: Path) -> None:
    held, gate = tmp_path / "held", tmp_path / "torch-may-come"
    held.mkdir()
    (held / "sitecustomize.py").write_text(HOLD_TORCH_BACK)
    start(screen, tmp_path, "--rounds", "2", PYTHONPATH=str(held), TORCH_MAY_COME=str(gate))
    screen.wait_for("starting")
    screen.wait_for(lambda shown: Path(f"{gate}.asked").exists())
    screen.press("?")
    screen.wait_for("keys on this screen")
    screen.press("Escape")
    assert not gate.exists()
    gate.touch()
    screen.wait_for("running")


def signalled(tmp_path: Path, at: str, sent: str) -> dict[str, str]:
    """Give the environment of a process that is sent a signal at a moment of its start."""
    held = tmp_path / "held"
    held.mkdir()
    (held / "sitecustomize.py").write_text(SIGNAL_AT_A_MOMENT)
    path = os.pathsep.join(filter(None, (str(held), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "AT": at, "SENT": sent}


@pytest.mark.parametrize("at", ["fork", "fedlora_tui.console.app"])
@pytest.mark.parametrize(("sent", "status", "how"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
def test_a_signal_before_the_console_stands_leaves_no_run_behind_that_nobody_has_seen(
    screen: Terminal, tmp_path: Path, at: str, sent: str, status: int, how: str
) -> None:
    runs = start(screen, tmp_path, "--rounds", "400", **signalled(tmp_path, at, sent))
    shown = screen.wait_for(f"left-with-{status}")
    assert f"{how}: what was started is ended" in shown.replace("\n", " ")
    assert "Traceback" not in shown
    check_gone(runs)
    assert all([*read(folder)][-1].event.type == "run_stopped" for folder in runs.glob("*"))


@pytest.mark.parametrize("at", ["fork", "fedlora_tui.console.app"])
def test_a_hang_up_before_the_console_stands_leaves_the_run_going_and_no_file_behind(
    screen: Terminal, tmp_path: Path, at: str
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    runs = start(screen, tmp_path, "--rounds", "2", TMPDIR=str(scratch), **signalled(tmp_path, at, "SIGHUP"))
    screen.wait_for("left-with-0")
    # Where a path is short the run's own socket is in a folder there.
    assert {folder.name for folder in scratch.glob("fedlora-tui-*")} <= {f"fedlora-tui-{os.getuid()}"}
    until = time.monotonic() + PATIENCE
    while not any("run_finished" in journal.read_text() for journal in runs.glob("*/events.jsonl")):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_an_interrupt_while_the_program_is_being_loaded_ends_it_without_a_traceback(tmp_path: Path) -> None:
    environment = os.environ | signalled(tmp_path, "fedlora_tui.config", "SIGINT")
    words = [sys.executable, "-m", "fedlora_tui", "runs"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(("sent", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_run_whose_detaching_is_interrupted_is_not_left_behind(tmp_path: Path, sent: str, status: int) -> None:
    words = ["run", "--detach", "--orgs", "2", "--rounds", "400", "--runs-dir", str(tmp_path / "runs")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | signalled(tmp_path, "fork", sent)
    begun = subprocess.run(
        [sys.executable, "-m", "fedlora_tui", *words], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (begun.returncode, begun.stdout, begun.stderr) == (status, "", "")
    check_gone(tmp_path / "runs")
    assert all([*read(folder)][-1].event.type == "run_stopped" for folder in (tmp_path / "runs").glob("*"))


def check_gone(runs: Path) -> None:
    """Wait until no process of these runs is there; the shell that began one is none."""
    words = f"fedlora_tui.*--runs-dir {runs}"
    found = subprocess.run(["pgrep", "-f", words], capture_output=True, text=True).stdout.split()
    for number in found:
        with suppress(psutil.NoSuchProcess):
            if "left-with" not in words_of(number):
                psutil.Process(int(number)).wait(PATIENCE)


def words_of(process: str) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "left-with: it is gone"


def test_a_run_is_paused_steered_resumed_and_left_from_the_keyboard(screen: Terminal, tmp_path: Path) -> None:
    runs = start(screen, tmp_path, "--rounds", "400")
    screen.wait_for(in_round(1))
    screen.press("Space")
    screen.wait_for("paused")
    screen.press("a")
    screen.wait_for("next round")
    screen.press("Space")
    screen.wait_for("running")
    screen.wait_for(in_round(2))
    screen.press("q")
    screen.wait_for("leave?")
    screen.press("s")
    shown = screen.wait_for("left-with-0")
    assert "is stopped" in shown
    assert str(runs) in shown
    kinds = journal_of(runs)
    assert kinds.index("run_paused") < kinds.index("run_resumed") < kinds.index("run_stopped") == len(kinds) - 1
    assert kinds.count("org_joined") == 4


def test_the_selection_and_the_run_survive_a_resize(screen: Terminal, tmp_path: Path) -> None:
    start(screen, tmp_path, "--rounds", "400")
    screen.wait_for(in_round(1))
    screen.press("j")
    screen.wait_for("› hospital-ward")
    screen.resize(80, 24)
    screen.wait_for(lambda shown: "› hospital-ward" in shown and "3 machine" not in shown)
    screen.resize(120, 40)
    screen.wait_for(lambda shown: "› hospital-ward" in shown and "3 machine" in shown)


def test_a_race_is_compared_and_its_table_stands_on_the_ordinary_screen(screen: Terminal, tmp_path: Path) -> None:
    runs = start(screen, tmp_path, "--race", "lora.rank=2,4", "--rounds", "2")
    screen.wait_for("rank 2 · 1 of 2")
    screen.press("c")
    shown = screen.wait_for("compare   2 runs")
    assert "rank 2" in shown
    assert "rank 4" in shown
    screen.wait_for(lambda now: "2 · 2 done" in now and "at round 2" in now)
    screen.press("j", "Enter")
    screen.wait_for("rank 4 is shown, 2 of 2")
    screen.press("q")
    shown = screen.wait_for("left-with-0")
    assert re.search(r"setting +hold-out +gain", shown)
    assert len(re.findall(r"^(?:✓ )? *rank [24] +\d\.\d+", shown, flags=re.M)) == 2
    assert shown.count("is done: round 2/2") == 2
    assert [[*read(folder)][-1].event.type for folder in runs.iterdir()] == ["run_finished"] * 2


def test_bad_data_gives_the_terminal_back_with_one_line(screen: Terminal, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    runs = start(screen, tmp_path, "--set", "data.source=folder", "--set", f"data.path={empty}")
    shown = screen.wait_for("left-with-2")
    assert "put one in for each organization" in shown.replace("\n", " ")
    assert "Traceback" not in shown
    assert not list(runs.iterdir())


def test_a_termination_signal_gives_the_terminal_back_and_a_whole_journal(screen: Terminal, tmp_path: Path) -> None:
    runs = start(screen, tmp_path, "--rounds", "400", COLUMNS="80", LINES="24")
    screen.wait_for(lambda shown: in_round(1)(shown) and "3 machine" in shown)
    subprocess.run(["pkill", "-TERM", "-f", f"fedlora_tui --runs-dir {runs}"], check=True)
    shown = screen.wait_for("left-with-143")
    assert "─ 4 log" not in shown
    assert str(runs) in shown
    assert "is stopped (terminated)" in shown
    # The signal came to both processes: what the console asks for then may come after the end, and be refused.
    assert [kind for kind in journal_of(runs) if kind != "command_refused"][-1] == "run_stopped"
