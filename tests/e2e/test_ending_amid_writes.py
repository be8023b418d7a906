"""A termination while something is being written: it becomes whole, or it is said that it did not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedlora_tui.attached import Link, attach
from fedlora_tui.engine import checkpoint, ending, journal
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import Export
from fedlora_tui.protocol.events import Event
from tests.deployment import eventually
from tests.e2e.test_cli import ENVIRONMENT, GUARD
from tests.stalled import stalled
from tests.tiny_models import write_texts
from tests.tiny_runs import tiny_base

BUFFERED = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONUNBUFFERED"} | {"OMP_NUM_THREADS": "1"}
"""What is said goes through Python's buffers, as with who starts the program by hand."""

SLOW = """
import sys, time
from pathlib import Path
from fedlora_tui.cli import main
from fedlora_tui.engine import checkpoint, control, ending, exports

ending.LAST_WRITE_SECONDS = float(sys.argv.pop(1))

def slow(module, seconds, mark, holds):
    write = module.write

    def written(run, what, *others):
        if holds(what):
            Path(mark).touch()
            time.sleep(seconds)
        return write(run, what, *others)

    module.write = written

def told_late(face, *, tell=control._Face._send_words):
    if Path("saving").exists():
        time.sleep(0.05)  # as on a machine that has much to do
    tell(face)

control._Face._send_words = told_late
slow(exports, float(sys.argv.pop(1)), "exporting", lambda command: True)
slow(checkpoint, float(sys.argv.pop(1)), "saving", lambda kept: kept.round == 2)
sys.exit(main(sys.argv[1:]))
"""


def until(found: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + GUARD
    while not found():
        assert process.poll() is None, "it ended"
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path):
    """Start a run that is given so many seconds to end what it writes: its exports take `export`, round 2 `saving`."""
    started = []

    def start(
        given: float,
        export: float = 0.0,
        saving: float = 0.0,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> subprocess.Popen[bytes]:
        write_texts(tmp_path / "texts", ("alpha", "beta", "gamma"))
        values = {
            "model.base": tiny_base(),
            "model.max_length": 24,
            "data.source": "folder",
            "data.path": tmp_path / "texts",
            "federation.local_steps": 2,
            "federation.batch_size": 2,
            "federation.rounds": 100_000,
        }
        words = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        json_lines = [] if stdout is None else ["--json"]
        with (tmp_path / "said.txt").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-c", SLOW, str(given), str(export), str(saving), "run", *words, *json_lines],
                cwd=tmp_path,
                env=BUFFERED,
                stdout=said if stdout is None else stdout,
                stderr=said if stderr is None else stderr,
                stdin=subprocess.DEVNULL,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(GUARD)


@pytest.fixture
def unread() -> Iterator[int]:
    with stalled() as written:
        yield written


def told_by(folder: Path, *kinds: type[Event]) -> list[Event]:
    records = list(journal.read(folder))
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    return [record.event for record in records if isinstance(record.event, kinds)]


def export_begun(process: subprocess.Popen[bytes], home: Path) -> tuple[Path, Link]:
    """Ask the run for its latest adapter, and wait until that is being written."""
    until(lambda: list(home.glob("runs/*/checkpoints/round-0001")), process)
    (folder,) = (home / "runs").iterdir()
    link = attach(folder, steers=True)
    link.ask(0, Export())
    until((home / "exporting").exists, process)
    return folder, link


def test_an_export_that_was_taken_is_finished_before_a_terminated_process_ends(start, tmp_path: Path) -> None:
    process = start(60.0, export=3.0)
    folder, link = export_begun(process, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GUARD) == 143
    link.close()
    *_, exported = told_by(folder, ev.AdapterExported, ev.CommandRefused, ev.RunStopped)
    assert isinstance(exported, ev.AdapterExported)
    assert sum(file.stat().st_size for file in Path(tmp_path, exported.path).iterdir()) == exported.bytes


def test_a_termination_that_its_console_asks_for_once_more_does_not_cut_an_export_off(start, tmp_path: Path) -> None:
    process = start(60.0, export=3.0)
    folder, link = export_begun(process, tmp_path)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(ending.ASKED)
    assert process.wait(GUARD) == 143
    link.close()
    (exported,) = told_by(folder, ev.AdapterExported, ev.CommandRefused)
    assert isinstance(exported, ev.AdapterExported)


def test_an_export_that_takes_too_long_is_said_not_to_have_been_written(start, tmp_path: Path) -> None:
    process = start(3.0, export=600.0)
    folder, link = export_begun(process, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GUARD) == 143
    *_, refused = told_by(folder, ev.AdapterExported, ev.CommandRefused, ev.RunStopped)
    assert (refused.command, refused.reason) == ("export", "not written: terminated")
    assert "export: not written: terminated" in (tmp_path / "said.txt").read_text()
    heard: list[Event] = []
    eventually(lambda: heard.extend(one.event for one in link.runs[0].drain()) or refused in heard, "its refusal")
    link.close()


def test_a_checkpoint_that_is_being_written_becomes_whole_and_its_round_is_kept(start, tmp_path: Path) -> None:
    process = start(60.0, saving=4.0)
    until((tmp_path / "saving").exists, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GUARD) == 143
    (folder,) = (tmp_path / "runs").iterdir()
    assert checkpoint.rounds(folder) == [0, 1, 2]
    assert checkpoint.fault(folder, 2) is None
    finished = [event.round for event in told_by(folder, ev.RoundFinished)]
    assert finished == [1, 2]


def test_a_termination_behind_what_its_console_asks_for_ends_the_process_at_once(start, tmp_path: Path) -> None:
    process = start(10 * GUARD, saving=10 * GUARD)
    until((tmp_path / "saving").exists, process)
    # As a console does that is left without waiting; two of one kind would come as one.
    process.send_signal(ending.ASKED)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GUARD) == 143
    (folder,) = (tmp_path / "runs").iterdir()
    assert isinstance(told_by(folder, ev.RunStopped)[0], ev.RunStopped)


def test_who_watches_a_process_that_ends_amid_its_work_is_told_how_its_run_ended(start, tmp_path: Path) -> None:
    process = start(1.0, saving=600.0)
    until((tmp_path / "saving").exists, process)
    (folder,) = (tmp_path / "runs").iterdir()
    link = attach(folder, steers=True)
    until(lambda: link.runs[0].folder, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GUARD) == 143
    heard: list[Event] = []
    eventually(lambda: heard.extend(one.event for one in link.runs[0].drain()) or link.runs[0].over, "its end")
    heard.extend(one.event for one in link.runs[0].drain())
    assert [one for one in heard if isinstance(one, ev.RunStopped | ev.RunFailed)] == told_by(folder, ev.RunStopped)
    assert isinstance(heard[-1], ev.RunStopped)
    assert heard[-1].reason == "terminated"
    link.close()


def test_a_run_whose_narration_nobody_reads_any_more_ends_by_one_signal(start, unread: int, tmp_path: Path) -> None:
    process = start(60.0, stderr=unread)
    until(lambda: list(tmp_path.glob("runs/*/checkpoints/round-0003")), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GUARD) == 143
    (folder,) = (tmp_path / "runs").iterdir()
    *_, last = told_by(folder, Event)
    assert isinstance(last, ev.RunStopped)
    assert last.reason == "terminated"


def test_a_second_signal_waits_for_no_write_though_nobody_reads_the_narration(
    start, unread: int, tmp_path: Path
) -> None:
    process = start(100_000.0, saving=100_000.0, stderr=unread)
    until((tmp_path / "saving").exists, process)
    (folder,) = (tmp_path / "runs").iterdir()
    process.send_signal(signal.SIGINT)
    until(lambda: told_by(folder, ev.CommandAcknowledged), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GUARD) == 130
    *_, last = told_by(folder, Event)
    assert isinstance(last, ev.RunStopped)
    assert last.reason == "interrupted"


def test_a_run_whose_json_lines_nobody_reads_any_more_ends_by_one_signal(start, unread: int, tmp_path: Path) -> None:
    process = start(60.0, stdout=unread)
    until(lambda: list(tmp_path.glob("runs/*/checkpoints/round-0001")), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GUARD) == 143
    assert "Fatal Python error" not in (tmp_path / "said.txt").read_text()
