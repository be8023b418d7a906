"""A replay in a real terminal: the recording that comes along, a journal that a run wrote, what is refused."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedlora_tui.engine.journal import NAME
from fedlora_tui.replay_command import demo_folder
from tests.e2e.tmux import Terminal, terminal

HEAVY = ("torch", "flwr", "transformers", "peft", "ray", "safetensors", "numpy")
ALONE = (
    "import os, sys; open(os.environ['PROCESS'], 'w').write(str(os.getpid())); "
    f"heavy = {HEAVY!r}; sys.modules.update(dict.fromkeys(heavy)); from fedlora_tui.cli import main; "
    "left = main(sys.argv[1:]); loaded = [name for name in heavy if sys.modules[name]]; "
    "print(f'left-with-{left}-{loaded}')"
)
"""Runs the command where nothing that trains can be imported, and says how it ended."""


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path) as one:
        yield one


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PROCESS": str(tmp_path / "process")}


def replay(*words: str) -> str:
    return shlex.join([sys.executable, "-c", ALONE, "replay", *words])


@pytest.mark.terminal
def test_the_demo_plays_goes_on_a_round_and_leaves_at_once_with_nothing_that_trains(
    screen: Terminal, environment: dict[str, str]
) -> None:
    screen.open(replay("demo", "--speed", "0.25"), 80, 24, environment)
    screen.wait_for("▷ replay ×1/4")
    screen.press("Space")
    screen.wait_for("▷ replay stopped")
    screen.press("]", "]")
    screen.wait_for("the end of round 1")
    screen.press("]")
    shown = screen.wait_for("the end of round 2")
    assert "round  2/12" in shown or "round 2/12" in shown
    assert "hospital-ward" in shown
    screen.press("[")
    screen.wait_for("the end of round 1")
    screen.press("a")
    screen.wait_for("a replay cannot be changed")
    screen.press("q")
    screen.wait_for("left-with-0-[]")


@pytest.mark.terminal
def test_as_fast_as_it_goes_it_stays_on_the_last_frame(screen: Terminal, environment: dict[str, str]) -> None:
    screen.open(replay("demo", "--speed", "max", "--ascii"), 120, 40, environment)
    shown = screen.wait_for("> replay at end")
    assert "round 12/12" in shown
    assert shown.isascii()
    screen.press("q")
    screen.wait_for("left-with-0-[]")


@pytest.mark.terminal
@pytest.mark.parametrize("named", ["newest", "id", "journal"])
def test_a_journal_that_is_still_written_shows_what_is_there(
    screen: Terminal, environment: dict[str, str], tmp_path: Path, named: str
) -> None:
    folder = tmp_path / "runs" / "1122-1402-abc"
    folder.mkdir(parents=True)
    runs = ["--runs-dir", str(folder.parent)]
    newest = {"newest": runs, "id": [folder.name, *runs], "journal": [str(folder / NAME)]}[named]
    lines = (demo_folder() / NAME).read_text().splitlines(keepends=True)
    (folder / NAME).write_text("".join(lines[:200]) + lines[200][:20])
    screen.open(replay("--speed", "max", *newest), 80, 24, environment)
    screen.wait_for("the recording ends here, the run may have gone on")
    assert len((folder / NAME).read_text().splitlines()) == 201
    screen.press("C-c")
    screen.wait_for("left-with-0-[]")


@pytest.mark.terminal
def test_from_the_list_of_runs_the_terminal_goes_to_another_one(
    screen: Terminal, environment: dict[str, str], tmp_path: Path
) -> None:
    lines = (demo_folder() / NAME).read_text().splitlines(keepends=True)
    for name in ("1122-1402-abc", "1122-1403-def"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / NAME).write_text("".join(lines))
    screen.open(replay("1122-1402-abc", "--speed", "max", "--runs-dir", str(tmp_path / "runs")), 100, 32, environment)
    screen.wait_for("▷ replay at end")
    screen.press("o")
    screen.wait_for("1122-1403-def")
    screen.press("G")
    screen.wait_for("replays its journal here; this replay ends")
    screen.press("Enter")
    screen.wait_for("▷ replay ×1")
    screen.press("q")
    assert "left-with-0" not in screen.wait_for(lambda shown: "▷ replay" not in shown)


@pytest.mark.terminal
def test_a_termination_signal_gives_the_terminal_back(
    screen: Terminal, environment: dict[str, str], tmp_path: Path
) -> None:
    screen.open(replay("demo"), 80, 24, environment)
    screen.wait_for("▷ replay ×1")
    os.kill(int((tmp_path / "process").read_text()), signal.SIGTERM)
    assert "organizations" not in screen.wait_for("left-with-143-[]")


def refused(*words: str) -> str:
    command = [sys.executable, "-m", "fedlora_tui", "replay", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_that_is_none_is_refused(speed: str) -> None:
    assert "allowed is a number above 0, like 4, or max" in refused("demo", f"--speed={speed}")


def test_without_a_terminal_it_says_so() -> None:
    assert "no terminal here" in refused("demo")


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "holds no event yet"), ("hello\n", "not a journal"), ('{"v":2,"seq":1,"t":1.0,"type":"x"}\n', "version 2")],
)
def test_a_journal_that_cannot_be_replayed_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / NAME).write_text(text)
    assert said in refused(str(tmp_path), "--runs-dir", str(tmp_path))
