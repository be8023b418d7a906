"""A run whose process is killed at random moments, and resumed, ends with the bytes of one that never was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlora_tui.cli import main
from fedlora_tui.engine import journal, lock
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import from_json
from tests.e2e.test_cli import ENVIRONMENT, GUARD, PROGRAM
from tests.tiny_models import write_texts
from tests.tiny_runs import tiny_base

KILLS = int(os.environ.get("FEDLORA_TUI_KILLS", "5"))
"""How many kills a test makes; `make soak` makes more."""

SEED = int(os.environ.get("FEDLORA_TUI_SEED", "6"))
ROUNDS = max(20, KILLS)
"""So many that none of the moments looked for is past before a busy machine lets this process look."""


def words(home: Path) -> list[str]:
    """The words of a run of three organizations that turn their factors, with a server that remembers."""
    write_texts(home / "texts", ("alpha", "beta", "gamma"))
    values = {
        "model.base": tiny_base(),
        "model.max_length": 24,
        "data.source": "folder",
        "data.path": home / "texts",
        "federation.local_steps": 2,
        "federation.batch_size": 2,
        "federation.rounds": ROUNDS,
        "federation.aggregation": "rolora",
        "federation.server_optimizer": "fedadam",
        "federation.server_learning_rate": 0.01,
    }
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


class Started:
    """A process of the program, and what it leaves in its runs folder."""

    def __init__(self, home: Path, *given: str) -> None:
        self.said = (home / "said.txt").open("ab")
        self.process = subprocess.Popen(
            [*PROGRAM, *given],
            cwd=home,
            env={**ENVIRONMENT, "OMP_NUM_THREADS": "1"},
            stdout=self.said,
            stderr=self.said,
            stdin=subprocess.DEVNULL,
        )

    def kill_when(self, moment) -> bool:
        """Kill it as soon as a moment has come; False where it ended before."""
        until = time.monotonic() + GUARD
        while self.process.poll() is None and time.monotonic() < until:
            if moment():
                self.process.send_signal(signal.SIGKILL)
                self.process.wait(GUARD)
                return True
            time.sleep(0.001)
        self.process.wait(GUARD)
        return False

    def end(self) -> int:
        """Wait for its end."""
        status = self.process.wait(GUARD)
        self.said.close()
        return status


def run_folder(runs: Path) -> Path | None:
    return next((entry.parent for entry in runs.glob(f"*/{journal.NAME}")), None)


def size(runs: Path) -> int:
    folder = run_folder(runs)
    return (folder / journal.NAME).stat().st_size if folder else 0


def writing(runs: Path) -> bool:
    """Tell whether a checkpoint is being written now."""
    return any(runs.glob("*/checkpoints/.round-*.part"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nobody kills."""
    home = tmp_path_factory.mktemp("whole")
    assert Started(home, "run", *words(home)).end() == 0
    return run_folder(home / "runs")


def adapters(folder: Path, round: int) -> dict[str, bytes]:
    home = folder / "checkpoints" / f"round-{round:04d}"
    return {file.name: file.read_bytes() for file in home.glob("*.safetensors")}


def check_whole(folder: Path, whole: Path) -> None:
    """The journal has every round's end once in what counts, seq has no holes, and the bytes are the same."""
    records = list(journal.read(folder))
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    ended: list[int] = []
    for record in records:
        if isinstance(record.event, ev.RunContinued):
            ended = [round for round in ended if round <= record.event.round]
        elif isinstance(record.event, ev.RoundFinished):
            ended.append(record.event.round)
    assert ended == list(range(1, ROUNDS + 1))
    assert isinstance(records[-1].event, ev.RunFinished)
    for round in range(1, ROUNDS + 1):
        theirs = adapters(whole, round)
        assert adapters(folder, round).items() <= theirs.items() or round < ROUNDS
        assert adapters(folder, round)["adapter.safetensors"] == theirs["adapter.safetensors"]
    assert adapters(folder, ROUNDS) == adapters(whole, ROUNDS)
    assert not list((folder / "checkpoints").glob(".*"))


def test_killed_again_and_again_it_ends_with_the_same_bytes(whole, tmp_path):
    draw = random.Random(SEED)
    runs = tmp_path / "runs"
    last = (whole / journal.NAME).stat().st_size
    process = Started(tmp_path, "run", *words(tmp_path))
    kills = within = 0
    while kills < KILLS:
        if kills % 2:  # inside a checkpoint's own writes
            seen = size(runs)
            came = process.kill_when(lambda seen=seen: size(runs) > seen and writing(runs))
        else:
            mark = size(runs) + draw.randrange(1, 2 * last // ROUNDS)
            came = process.kill_when(lambda mark=mark: size(runs) > mark)
        folder = run_folder(runs)
        assert folder is not None
        if not came:
            break
        kills += 1
        within += writing(runs)
        assert not lock.held(folder)
        process = Started(tmp_path, "resume", "--runs-dir", str(runs))
    assert process.end() == 0, (tmp_path / "said.txt").read_text()
    print(f"{kills} kills, {within} of them while a checkpoint was being written")
    assert kills >= min(3, KILLS)
    check_whole(folder, whole)
    assert "Traceback" not in (tmp_path / "said.txt").read_text()


def test_a_run_that_is_done_says_so_and_one_that_is_alive_names_its_holder(whole, tmp_path, capsys):
    assert main(["resume", str(whole)]) == 0
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"run {whole.name} is done: round {ROUNDS} of {ROUNDS}" in err
    process = Started(tmp_path, "run", *words(tmp_path), "--rounds", "100000")
    try:
        until = time.monotonic() + GUARD
        while size(tmp_path / "runs") == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert main(["resume", "--runs-dir", str(tmp_path / "runs")]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert f"is being written by pid {process.process.pid} on " in err
        assert "fedlora-tui attach" in err
    finally:
        process.process.kill()
        process.end()


def trains(runs: Path) -> bool:
    return any("train_step" in journal.read_text() for journal in runs.glob("*/events.jsonl"))


def test_what_stands_on_the_screen_of_a_stopped_run_says_how_it_goes_on(tmp_path):
    done = subprocess.Popen(
        [*PROGRAM, "run", *words(tmp_path), "--rounds", "100000"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    until = time.monotonic() + GUARD
    # Until it trains: a start that takes long is broken off without a word of what comes after.
    while not trains(tmp_path / "runs") and time.monotonic() < until:
        time.sleep(0.01)
    done.send_signal(signal.SIGINT)
    _, said = done.communicate(timeout=GUARD)
    folder = run_folder(tmp_path / "runs")
    assert done.returncode == 130
    assert f"fedlora-tui resume {folder.name}" in said


def test_resume_with_json_tells_what_comes_from_then_on_and_nothing_twice(tmp_path):
    runs = tmp_path / "runs"
    process = Started(tmp_path, "run", *words(tmp_path))
    assert process.kill_when(lambda: any(runs.glob("*/checkpoints/round-0002")))
    process.end()
    folder = run_folder(runs)
    before = [record.seq for record in journal.read(folder)]
    done = subprocess.run(
        [*PROGRAM, "resume", str(folder), "--json"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [from_json(line) for line in done.stdout.splitlines()]
    assert told == list(journal.read(folder))[len(before) :]
    assert any(isinstance(record.event, ev.RunContinued) for record in told[:3])
    assert "its process ended without a word; it goes on after round" in done.stderr
    assert f"{folder.name} is done: round {ROUNDS}/{ROUNDS}" in done.stderr


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
