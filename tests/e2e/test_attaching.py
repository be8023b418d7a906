"""A run outlives its console: detached, hung up on, killed, watched by several, steered by one of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedlora_tui.engine.journal import read
from fedlora_tui.engine.lock import held
from fedlora_tui.protocol.control_place import found_socket
from tests.e2e.tmux import Terminal, terminal

pytestmark = pytest.mark.terminal
PATIENCE = 120.0
MANY = 4000
"""Rounds that no test waits for."""

WORDS = (sys.executable, "-m", "fedlora_tui")
SMALL = ("--orgs", "2", "--set", "federation.local_steps=2", "--set", "data.holdout_tokens=64")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def until(found: Callable[[], object], what: str) -> object:
    """Wait for something; no test depends on how soon it comes."""
    end = time.monotonic() + PATIENCE
    while not (it := found()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)
    return it


@pytest.fixture
def screens(tmp_path: Path) -> Iterator[Callable[[], Terminal]]:
    """Opens terminals; they, and all that was started in them, end with the test."""
    opened = []

    def another() -> Terminal:
        folder = tmp_path / f"terminal-{len(opened)}"
        folder.mkdir()
        context = terminal(folder)
        opened.append(context)
        return context.__enter__()

    yield another
    for context in opened:
        context.__exit__(None, None, None)


def console(screen: Terminal, tmp_path: Path, *words: str, width: int = 120, **environment: str) -> None:
    command = " ".join([*WORDS, *words, "--runs-dir", str(tmp_path / "runs")])
    screen.open(f"{command}; echo left-with-$?", width, 40, ENVIRONMENT | environment)


def run_of(tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    found = until(lambda: next(filter(found_socket, runs.glob("*")), None), "a run's socket")
    assert isinstance(found, Path)
    return found


def rounds_of(folder: Path) -> int:
    # The socket is there a moment before the journal's first line.
    if not (folder / "events.jsonl").exists():
        return 0
    return sum(record.event.type == "round_finished" for record in read(folder))


def engine_of(folder: Path) -> int:
    """The process behind a control socket."""
    path = found_socket(folder)
    assert path is not None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b'{"greeting":{"who":"test","steers":false}}\n')
        welcome = connection.recv(4096).split(b"\n")[0]
    return int(json.loads(welcome)["welcome"]["process"])


def alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"


def test_a_detached_run_gives_the_prompt_back_and_attach_shows_its_whole_history(screens, tmp_path: Path) -> None:
    screen = screens()
    console(screen, tmp_path, "--rounds", str(MANY), *SMALL)
    screen.wait_for("running")
    folder = run_of(tmp_path)
    until(lambda: rounds_of(folder) >= 3, "three rounds")
    screen.press("q")
    screen.wait_for(lambda shown: "leave?" in shown and "detach" in shown)
    screen.press("d")
    shown = screen.wait_for("left-with-0")
    assert f"fedlora-tui attach {folder}" in " ".join(shown.replace("\n", "").split())
    assert "goes on" in shown
    before = rounds_of(folder)
    until(lambda: rounds_of(folder) >= before + 3, "three more rounds")

    screen.press(
        f"clear; {sys.executable} -m fedlora_tui attach --runs-dir {folder.parent}; echo left-again-with-$?", "Enter"
    )
    screen.wait_for("running")
    rows = screen.wait_for(lambda shown: ("hold-out" in shown and "training" in shown) or "testing" in shown)
    assert "base" in rows
    screen.press("-")
    screen.wait_for("rounds")
    screen.press("q")
    screen.wait_for("leave?")
    screen.press("s")
    screen.wait_for("left-again-with-0")
    events = list(read(folder))
    assert events[-1].event.type == "run_stopped"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    until(lambda: found_socket(folder) is None, "the socket gone")


def test_a_terminal_that_hangs_up_takes_its_console_and_not_the_run(screens, tmp_path: Path) -> None:
    screen = screens()
    console(screen, tmp_path, "--rounds", str(MANY), *SMALL)
    screen.wait_for("running")
    folder = run_of(tmp_path)
    process = engine_of(folder)
    consoles = children_of_tmux(process)
    screen.close()
    until(lambda: not any(map(alive, consoles)), "the console gone")
    before = rounds_of(folder)
    until(lambda: rounds_of(folder) >= before + 2, "two more rounds")
    assert alive(process)
    again = screens()
    console(again, tmp_path, "attach", folder.name)
    again.wait_for("running")
    again.press("q")
    again.wait_for("leave?")
    again.press("f")
    again.wait_for("left-with-0")
    assert next(reversed(list(read(folder)))).event.type == "run_finished"
    until(lambda: not alive(process), "the engine's process gone")


def children_of_tmux(engine: int) -> list[int]:
    """The process that forked an engine: its console."""
    return [int(Path(f"/proc/{engine}/stat").read_text().rpartition(")")[2].split()[1])]


def test_a_console_that_is_killed_takes_nothing_with_it(screens, tmp_path: Path) -> None:
    screen = screens()
    console(screen, tmp_path, "--rounds", str(MANY), *SMALL)
    screen.wait_for("running")
    folder = run_of(tmp_path)
    process = engine_of(folder)
    (console_process,) = children_of_tmux(process)
    os.kill(console_process, signal.SIGKILL)
    before = rounds_of(folder)
    until(lambda: rounds_of(folder) >= before + 2, "two more rounds")
    os.kill(process, signal.SIGTERM)
    until(lambda: not alive(process), "the engine's process gone")
    assert list(read(folder))[-1].event.reason == "terminated"  # type: ignore[attr-defined]
    assert found_socket(folder) is None


def test_an_engine_that_is_killed_is_told_on_the_screen_with_what_goes_on(screens, tmp_path: Path) -> None:
    screen = screens()
    console(screen, tmp_path, "--rounds", str(MANY), *SMALL)
    screen.wait_for("running")
    folder = run_of(tmp_path)
    os.kill(engine_of(folder), signal.SIGKILL)
    shown = screen.wait_for("SIGKILL")
    assert "failed" in shown
    screen.press("q")
    shown = screen.wait_for("left-with-1")
    assert f"fedlora-tuiresume{folder}" in "".join(shown.split())


def test_a_run_whose_engine_was_killed_goes_on_by_space_in_the_same_terminal(screens, tmp_path: Path) -> None:
    screen = screens()
    console(screen, tmp_path, "--rounds", str(MANY), *SMALL)
    screen.wait_for("running")
    folder = run_of(tmp_path)
    until(lambda: rounds_of(folder) >= 2, "two rounds")
    killed = engine_of(folder)
    os.kill(killed, signal.SIGKILL)
    screen.wait_for(lambda shown: "SIGKILL" in shown and "resume in a new process" in shown)
    screen.press("Space")
    screen.wait_for("running")
    before = rounds_of(folder)
    until(lambda: rounds_of(folder) >= before + 2, "two more rounds")
    assert engine_of(folder) != killed
    assert sum(record.event.type == "run_continued" for record in read(folder)) == 1
    screen.press("q")
    screen.wait_for("leave?")
    screen.press("s")
    screen.wait_for("left-with-0")


def test_a_stopped_run_that_another_console_shows_goes_on_by_space(screens, tmp_path: Path) -> None:
    first, second = screens(), screens()
    console(first, tmp_path, "--rounds", str(MANY), *SMALL)
    first.wait_for("running")
    folder = run_of(tmp_path)
    until(lambda: rounds_of(folder) >= 1, "a round")
    console(second, tmp_path, "attach", folder.name)
    second.wait_for("w takes the wheel")
    first.press("q")
    first.wait_for("leave?")
    first.press("s")
    first.wait_for("left-with-0")
    third = screens()
    console(third, tmp_path, "attach", folder.name, "--readonly")
    third.wait_for("stopped")
    second.wait_for("stopped")
    second.press("Space")
    second.wait_for("running")
    before = rounds_of(folder)
    until(lambda: rounds_of(folder) >= before + 1, "one more round")
    assert sum(record.event.type == "run_continued" for record in read(folder)) == 1
    third.wait_for("stopped")


def test_f_forks_a_paused_run_and_the_fork_goes_on_beside_it(screens, tmp_path: Path) -> None:
    screen = screens()
    console(screen, tmp_path, "--rounds", str(MANY), *SMALL)
    screen.wait_for("running")
    folder = run_of(tmp_path)
    until(lambda: rounds_of(folder) >= 2, "two rounds")
    screen.press("Space")
    screen.wait_for("paused")
    screen.press("f")
    screen.wait_for("A run of its own beside this one")
    screen.press("1", "Tab", "lora.rank=2 federation.local_steps=1", "Enter")
    shown = screen.wait_for(lambda shown: "forked: " in shown or "no fork" in shown)
    assert "goes on beside" in shown
    (beside,) = (other for other in folder.parent.iterdir() if other != folder)
    assert f"forked: {beside.name} goes on beside; fedlora-tui attach" in shown
    until(lambda: rounds_of(beside) >= 1, "a round of the fork")
    started = next(iter(read(beside))).event
    assert (started.parent, started.parent_round, started.rank) == (folder.name, 1, 2)  # type: ignore[attr-defined]
    assert engine_of(beside) != engine_of(folder)
    assert list(read(folder))[-1].event.type == "run_paused"
    screen.press("f")
    screen.wait_for("A run of its own beside this one")
    screen.press("lora.rnk=2", "Enter")
    screen.wait_for("no fork: ")
    assert len(list(folder.parent.iterdir())) == 2


def test_resume_detached_goes_on_without_a_terminal_and_prints_the_run(tmp_path: Path) -> None:
    def ask(*given: str) -> subprocess.CompletedProcess[str]:
        words = [*WORDS, *given, "--runs-dir", str(tmp_path / "runs")]
        return subprocess.run(words, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True)

    run = ask("run", "--detach", "--rounds", str(MANY), *SMALL).stdout.strip()
    folder = tmp_path / "runs" / run
    until(lambda: rounds_of(folder) >= 1, "a round")
    killed = engine_of(folder)
    os.kill(killed, signal.SIGKILL)
    until(lambda: not alive(killed), "the engine's process gone")
    resumed = ask("resume", run, "--detach")
    try:
        assert (resumed.returncode, resumed.stdout.strip()) == (0, run), resumed.stderr
        before = rounds_of(folder)
        until(lambda: rounds_of(folder) >= before + 1, "one more round")
    finally:
        os.kill(engine_of(folder), signal.SIGKILL)
    both = ask("resume", run, "--detach", "--console")
    assert both.returncode == 2
    assert "--detach, --console: one of them" in both.stderr


def test_an_attached_console_that_is_terminated_leaves_and_the_run_goes_on(screens, tmp_path: Path) -> None:
    first, second = screens(), screens()
    console(first, tmp_path, "--rounds", str(MANY), *SMALL)
    first.wait_for("running")
    folder = run_of(tmp_path)
    first.press("q")
    first.wait_for("leave?")
    first.press("d")
    first.wait_for("left-with-0")
    console(second, tmp_path, "attach", folder.name)
    second.wait_for("running")
    subprocess.run(["pkill", "-TERM", "-f", f"^[^ ]* -m fedlora_tui attach {folder.name}"], check=True)
    shown = second.wait_for("left-with-143")
    assert "goes on" in shown
    before = rounds_of(folder)
    until(lambda: rounds_of(folder) >= before + 2, "two more rounds")
    assert not any(record.event.type == "command_acknowledged" for record in read(folder))


def patient_wheel(tmp_path: Path) -> str:
    """Give what PYTHONPATH is to be where who has the wheel may refuse it for as long as two key presses take here."""
    folder = tmp_path / "patient"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("from fedlora_tui.engine import wheel\nwheel.REFUSAL_SECONDS = 15.0\n")
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def test_one_of_two_consoles_steers_and_the_wheel_passes_or_is_kept(screens, tmp_path: Path) -> None:
    first, second = screens(), screens()
    console(first, tmp_path, "--rounds", str(MANY), *SMALL, PYTHONPATH=patient_wheel(tmp_path))
    first.wait_for("running")
    folder = run_of(tmp_path)
    console(second, tmp_path, "attach", folder.name)
    second.wait_for("w takes the wheel")
    second.press("Space")
    second.wait_for("steers: w takes the wheel")
    assert not any(record.event.type == "run_paused" for record in read(folder))
    second.press("w")
    first.wait_for("w keeps it")
    first.press("w")
    first.wait_for("you keep the wheel")
    second.wait_for(lambda shown: "asked for the wheel:" not in shown and "w takes the wheel" in shown)
    second.press("w")
    first.wait_for("w keeps it")
    second.wait_for(lambda shown: "w takes the wheel" not in shown and "asked for the wheel:" not in shown)
    first.wait_for("w takes the wheel")
    second.press("Space")
    second.wait_for("paused")
    first.wait_for("paused")
    first.press("q")
    first.wait_for("left-with-0")
    second.press("Space")
    second.wait_for("running")


def test_a_console_that_only_watches_changes_nothing(screens, tmp_path: Path) -> None:
    screen = screens()
    begun = subprocess.run(
        [
            sys.executable,
            "-m",
            "fedlora_tui",
            "run",
            "--detach",
            "--runs-dir",
            str(tmp_path / "runs"),
            "--rounds",
            str(MANY),
            *SMALL,
        ],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=True,
    )
    run = begun.stdout.strip()
    path = found_socket(tmp_path / "runs" / run)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    console(screen, tmp_path, "attach", run, "--readonly")
    screen.wait_for("running")
    screen.press("Space")
    screen.wait_for("only watches (--readonly)")
    screen.press("q")
    screen.wait_for("left-with-0")
    assert not any(record.event.type == "pause_requested" for record in read(tmp_path / "runs" / run))
    os.kill(engine_of(tmp_path / "runs" / run), signal.SIGKILL)


@pytest.mark.parametrize("reader", ["", " | cat"], ids=["terminal", "pipe"])
def test_a_run_whose_terminal_hangs_up_goes_on(screens, tmp_path: Path, reader: str) -> None:
    screen = screens()
    words = [*WORDS, "run", "--json", "--rounds", str(MANY), *SMALL, "--runs-dir", str(tmp_path / "runs")]
    screen.open(" ".join(words) + reader, 120, 40, ENVIRONMENT)
    folder = run_of(tmp_path)
    until(lambda: rounds_of(folder) >= 1, "a round")
    process = engine_of(folder)
    screen.close()
    before = rounds_of(folder)
    until(lambda: rounds_of(folder) >= before + 2, "two more rounds")
    os.kill(process, signal.SIGTERM)
    until(lambda: not alive(process), "the run's process gone")
    assert list(read(folder))[-1].event.reason == "terminated"  # type: ignore[attr-defined]


def test_attach_says_in_one_line_that_a_run_is_over(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*WORDS, "run", "--rounds", "1", *SMALL, "--runs-dir", str(tmp_path / "runs")],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert found_socket(folder) is None
    asked = subprocess.run(
        ["script", "-qec", f"{' '.join(WORDS)} attach --runs-dir {folder.parent}", "/dev/null"],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 2
    assert asked.stdout.strip().count("\n") == 0
    assert f"{folder.name}: no process runs it, for it is done; fedlora-tui replay {folder}" in asked.stdout


def test_an_engine_that_is_killed_leaves_nothing_in_the_folder_for_temporary_files(tmp_path: Path) -> None:
    for_a_while = tmp_path / "temporary"
    for_a_while.mkdir()
    detached = [*WORDS, "run", "--detach", "--rounds", str(MANY), *SMALL, "--runs-dir", str(tmp_path / "runs")]
    subprocess.run(detached, env=os.environ | ENVIRONMENT | {"TMPDIR": str(for_a_while)}, check=True)
    folder = run_of(tmp_path)
    os.kill(engine_of(folder), signal.SIGKILL)
    until(lambda: not held(folder), "its end")
    assert not list(for_a_while.glob("fedlora-tui-*/engine.log"))
    assert (folder / "engine.log").exists()
