"""`fedlora-tui init` in a real terminal: a file is written and a run takes it; leaving and overwriting."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedlora_tui.config import load
from tests.e2e.tmux import Terminal, terminal
from tests.tiny_models import write_texts

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "fedlora_tui"]


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path) as one:
        yield one


def init(folder: Path, *words: str) -> str:
    return f"cd {shlex.quote(str(folder))}; {shlex.join([*PROGRAM, 'init', *words])}; echo left-with-$?"


ENVIRONMENT = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}


@pytest.mark.terminal
def test_what_is_chosen_is_written_and_a_run_takes_it(screen: Terminal, tmp_path: Path) -> None:
    screen.open(init(tmp_path), 80, 24, ENVIRONMENT)
    screen.wait_for("◌ setup     writes config.toml, starts nothing")
    screen.press("Down", "Down", "3", "Down", "Left")
    screen.wait_for("› rank           2▏")
    shown = screen.wait_for(lambda text: "rounds of" in text and "beside the start" in text)
    assert "1.9M parameters" not in shown, "of the field under the cursor alone"
    assert "adapters of 5,120 numbers" in shown
    screen.resize(120, 40)
    screen.wait_for("what config.toml would hold")
    screen.press("Enter")
    assert "config.toml is written; fedlora-tui starts a run with it" in screen.wait_for("left-with-0")
    config = load(tmp_path / "config.toml")
    assert (config.organizations, config.lora.rank) == (3, 2)
    done = subprocess.run(
        [*PROGRAM, "run", "--rounds", "1", "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**ENVIRONMENT, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert '"type":"run_finished"' in done.stdout
    assert '"rank":2' in done.stdout


@pytest.mark.terminal
def test_a_folder_of_texts_is_counted_before_it_is_written_down(screen: Terminal, tmp_path: Path) -> None:
    write_texts(tmp_path / "texts", ("north", "south"))
    screen.open(init(tmp_path, "--ascii", "--out", "mine.toml"), 120, 40, ENVIRONMENT)
    screen.wait_for("setup     writes mine.toml")
    screen.press("Down", "Right")
    screen.press("-l", "./nowhere")
    screen.wait_for("no such folder")
    screen.press("C-u")
    screen.press("-l", "texts")
    assert screen.wait_for("2 organizations, 80 documents").isascii()
    screen.press("Enter")
    screen.wait_for("left-with-0")
    config = load(tmp_path / "mine.toml")
    assert (config.data.source, config.data.path, config.organizations) == ("folder", "texts", None)


@pytest.mark.terminal
def test_leaving_writes_nothing_and_a_file_that_is_there_stays(screen: Terminal, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    screen.open(init(tmp_path), 80, 24, ENVIRONMENT)
    screen.wait_for("◌ setup")
    screen.press("Enter")
    screen.wait_for("config.toml is there already")
    screen.press("Enter")
    screen.wait_for("config.toml stays as it was")
    screen.press("Escape")
    shown = screen.wait_for("left-with-1")
    assert "◌ setup" not in shown
    assert "nothing was written" in shown
    assert (tmp_path / "config.toml").read_text() == "# mine\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml"]


def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "init"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "fedlora-tui init --defaults" in done.stderr
    assert list(tmp_path.iterdir()) == []
