"""What a console starts in processes of their own: the words of the command, and what comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fedlora_tui import console_run, other_processes
from fedlora_tui.engine.lock import Lock, held
from fedlora_tui.engine.race import Entry
from fedlora_tui.other_processes import ForkBeside, RunsBeside, go_to, resume_here
from fedlora_tui.protocol.handle import Forked
from tests.tiny_runs import configured, small_settings

HOLDS = "import sys, time; from fedlora_tui.engine.lock import Lock; from pathlib import Path; "
HOLDS += "held = Lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"


def test_a_fork_that_is_refused_gives_the_one_line_why(tmp_path: Path) -> None:
    answer = ForkBeside(tmp_path)("1122-1402", 3, ("lora.rank=8",))
    assert answer.run == ""
    assert "1122-1402: no such run in" in answer.refusal
    assert not answer.refusal.startswith("fedlora-tui")


def test_a_fork_for_which_no_process_can_be_made_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    assert ForkBeside(tmp_path)("1122-1402", 3, ()) == Forked(
        refusal="cannot start a process: No such file or directory"
    )


def test_a_change_that_looks_like_an_option_is_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def keep(words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        return subprocess.CompletedProcess(words, 0, "1122-1403-new\n", "a warning\n")

    monkeypatch.setattr(subprocess, "run", keep)
    assert ForkBeside(tmp_path)("1122-1402", 3, ("--round=9",)) == Forked(run="1122-1403-new")
    assert asked[0][-4:] == ["--round", "3", "--detach", "--set=--round=9"]


class Became(BaseException):
    """Stands for the process that this one would have become."""


@pytest.fixture
def becomes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of the commands that a process became."""
    words: list[list[str]] = []

    def become(program: str, given: list[str]) -> None:
        words.append(given)
        raise Became

    monkeypatch.setattr(os, "execv", become)
    return words


def test_resuming_becomes_the_command_that_resumes(tmp_path: Path, becomes: list[list[str]]) -> None:
    with pytest.raises(Became):
        resume_here(tmp_path / "a-run", 4711, ascii_only=True)
    resumed = ["resume", str(tmp_path / "a-run"), "--runs-dir", str(tmp_path), "--console", "--ascii"]
    assert becomes[0][3:] == resumed


@pytest.mark.parametrize("how", ["attach", "replay"])
def test_going_to_another_run_becomes_the_command_that_shows_it(
    tmp_path: Path, becomes: list[list[str]], how: str
) -> None:
    with pytest.raises(Became):
        go_to(how, tmp_path / "a-run", ascii_only=True)
    assert becomes[0][3:] == [how, str(tmp_path / "a-run"), "--runs-dir", str(tmp_path), "--ascii"]
    with pytest.raises(Became):
        go_to("resume", tmp_path / "a-run", ascii_only=False)
    assert becomes[1][3:] == ["resume", str(tmp_path / "a-run"), "--runs-dir", str(tmp_path), "--console"]


def test_runs_are_listed_for_a_console_as_they_are_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "0102-0304-abc").mkdir()
    (tmp_path / "0102-0304-abc" / "events.jsonl").write_text("no event\n")
    listing = RunsBeside(tmp_path)
    assert listing.place == str(tmp_path)
    (found,) = listing()
    assert (found.id, found.state) == ("0102-0304-abc", "unreadable")
    assert found.note


def test_the_process_of_an_ended_run_that_stays_for_other_consoles_is_asked_to_leave(
    tmp_path: Path, becomes: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_processes, "LEAVES_SECONDS", 0.2)
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE) as stays:
        assert stays.stdout is not None
        assert stays.stdout.readline() == b"held\n"
        with pytest.raises(Became):
            resume_here(tmp_path, stays.pid, ascii_only=False)
        assert stays.wait() == -signal.SIGTERM


def test_it_is_waited_for_where_it_needs_longer_to_end_than_to_leave_by_itself(
    tmp_path: Path, becomes: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_processes, "LEAVES_SECONDS", 0.2)
    slowly = "import signal; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(2), sys.exit())); "
    program = HOLDS.replace("held = ", f"{slowly}held = ")
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as stays:
        assert stays.stdout is not None
        assert stays.stdout.readline() == b"held\n"
        with pytest.raises(Became):
            resume_here(tmp_path, stays.pid, ascii_only=False)
        assert not held(tmp_path)
        stays.wait()


def test_a_process_that_is_not_the_one_watched_is_left_alone(
    tmp_path: Path, becomes: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_processes, "LEAVES_SECONDS", 0.05)
    ended: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process, number: ended.append(process))
    lock = Lock(tmp_path)
    with pytest.raises(Became):
        resume_here(tmp_path, os.getpid() + 1, ascii_only=False)
    lock.close()
    assert ended == []


def test_the_folder_of_runs_is_the_configurations_or_that_of_the_run_that_goes_on(tmp_path: Path) -> None:
    config = configured(small_settings(tmp_path))
    config = replace(config, runs=replace(config.runs, dir="elsewhere"))
    assert console_run.runs_of(Entry(config)) == Path("elsewhere")
    assert console_run.runs_of(Entry(config, continues=tmp_path / "moved" / "a-run")) == tmp_path / "moved"
