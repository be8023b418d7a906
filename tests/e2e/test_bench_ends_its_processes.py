"""A benchmark that is ended by a signal, as a supervisor or a timeout does it: nothing that it started goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from fedlora_tui.config import to_toml
from tests.stalled import stalled
from tests.tiny_runs import configured, small_settings

GUARD = 240
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
ONE_RUN = ("rounds", "--ranks", "none", "--cohorts", "none")


@pytest.fixture(autouse=True)
def _a_hangup_ends_what_knows_nothing_of_it():
    """Where the tests themselves run under nohup, a benchmark would inherit that a hangup is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@contextmanager
def started(tmp_path, *words):
    """A benchmark of a run that would go on for hours, with its folders below the test's own."""
    config = configured(small_settings(tmp_path), federation__rounds=100_000)
    (tmp_path / "config.toml").write_text(to_toml(config))
    (tmp_path / "temporary").mkdir()
    with (
        (tmp_path / "said").open("w") as said,
        subprocess.Popen(
            [sys.executable, "-m", "fedlora_tui", "bench", *words],
            cwd=tmp_path,
            env={**ENVIRONMENT, "TMPDIR": str(tmp_path / "temporary")},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        ) as process,
    ):
        try:
            yield process
        finally:
            below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for each in (*below, process):
                each.kill()


def reached(process, there):
    """Wait until something is there, or the benchmark is over."""
    until = time.monotonic() + GUARD
    while not there() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None
    assert there()


def at_work(process, tmp_path):
    """Wait until a run below the benchmark trains; give all processes there."""

    def trains():
        try:
            return any('"train_step"' in file.read_text() for file in (tmp_path / "temporary").rglob("events.jsonl"))
        except FileNotFoundError:
            # A checkpoint was given its name while the folders were gone through.
            return False

    reached(process, trains)
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("words", [("console", "--repeats", "1"), ONE_RUN], ids=["console", "rounds"])
def test_a_signal_to_a_benchmark_alone_ends_what_it_started(tmp_path, words, sent):
    with started(tmp_path, *words, "--organizations", "3") as process:
        below = at_work(process, tmp_path)
        process.send_signal(sent)
        process.wait(GUARD)
        assert below
        left = psutil.wait_procs(below, GUARD)[1]
        for each in left:
            each.kill()
    assert process.returncode == 128 + sent
    assert not left
    assert "Traceback" not in (tmp_path / "said").read_text()
    # Runs whose own path is too long for a socket have it in a folder of the user's that stays.
    assert {entry.name for entry in (tmp_path / "temporary").iterdir()} <= {f"fedlora-tui-{os.geteuid()}"}


def test_a_benchmark_that_trains_in_its_own_process_ends_by_a_signal(tmp_path):
    with started(tmp_path, "quality", "--seeds", "1", "--partitions", "natural", "--orgs", "3") as process:
        reached(process, lambda: "learning rate" in (tmp_path / "said").read_text())
        process.send_signal(signal.SIGTERM)
        process.wait(GUARD)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in (tmp_path / "said").read_text()


def test_a_hangup_that_was_ignored_ends_no_benchmark(tmp_path):
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with started(tmp_path, *ONE_RUN, "--organizations", "3") as process:
            below = at_work(process, tmp_path)
            process.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2)
            assert all(each.is_running() for each in below)
    finally:
        signal.signal(signal.SIGHUP, ignored)


WRITES = """
import sys
from fedlora_tui.benchmarks.ending import ended_by_signals

with ended_by_signals():
    print("begun", flush=True)
    sys.stderr.write("a finding\\n")
"""


def test_a_benchmark_whose_findings_nobody_reads_ends_by_a_second_signal():
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", WRITES]
    with (
        stalled() as unread,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=unread) as process,
    ):
        try:
            assert process.stdout.readline() == b"begun\n"
            until = time.monotonic() + GUARD
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.5)
                process.send_signal(signal.SIGTERM)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM
