"""Disks that are full, folders that are removed, clocks that jump: the run waits or fails, and loses nothing."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from fedlora_tui.cli import main
from fedlora_tui.config import load
from fedlora_tui.engine import checkpoint, journal
from fedlora_tui.engine.listing import summary
from fedlora_tui.engine.run import Run, Start
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.state import RunState, apply
from fedlora_tui.resume_command import forked
from tests.flows.test_going_on import GoneOn, at, check_same, files
from tests.tiny_runs import GUARD, WatchedRun, configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run to which nothing happens."""
    return WatchedRun(configured(small_settings(tmp_path_factory.mktemp("whole")))).go()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a mebibyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here; the limit on a file's size stands in for it elsewhere")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Leave no room on a disk."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass
    return filler


def is_paused(event):
    return isinstance(event, ev.RunPaused)


def refusals(watched):
    return [event.reason for event in watched.told(ev.CommandRefused)]


def test_a_journal_that_takes_no_more_pauses_the_run_until_it_does(settings, whole):
    watched, listed = WatchedRun(configured(settings)), []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit():
        size = (watched.folder / journal.NAME).stat().st_size
        # Room for half a line: what was written of it is taken back.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))

    watched.when(at(ev.TrainStep, 1), limit)
    try:
        watched.run.start()
        paused = watched.wait_for(is_paused)
        assert paused.reason.startswith("the journal cannot be written: ")
        assert (watched.folder / journal.NAME).read_bytes().endswith(b"\n")
        watched.run.send(ask.Resume())
        assert "put it right first" in refusals(watched)[0]
        assert summary(watched.folder).state == "paused"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    watched.when(at(ev.TrainStep, 2), lambda: listed.append(summary(watched.folder).state))
    watched.run.send(ask.Resume())
    check_same(whole, watched.end(), 2)
    assert listed == ["running"]
    assert [record.seq for record in watched.journal()] == [r.seq for r in watched.records if r.seq]


def test_no_round_is_trained_before_its_charge_to_a_privacy_budget_can_be_written(settings):
    private = {"privacy.mechanism": "gaussian", "privacy.noise_multiplier": 2.0, "privacy.target_epsilon": 0.0}
    watched = WatchedRun(configured(settings | private | {"federation.rounds": 1}))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit():
        size = (watched.folder / journal.NAME).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))

    watched.when(at(ev.RoundStarted, 1), limit)
    try:
        watched.run.start()
        assert watched.wait_for(is_paused).reason.startswith("the journal cannot be written: ")
        assert not watched.told(ev.TrainStep)
        assert not [record for record in watched.journal() if isinstance(record.event, ev.PrivacySpent)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    watched.run.send(ask.Resume())
    watched.end()
    assert watched.run.state.phase == "done", watched.run.state.reason
    assert len([record for record in watched.journal() if isinstance(record.event, ev.PrivacySpent)]) == 1


def test_a_run_that_nobody_steers_fails_on_a_full_journal_and_goes_on_later(settings, whole):
    watched = WatchedRun(configured(settings), patient=False)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit():
        size = (watched.folder / journal.NAME).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    watched.when(at(ev.TrainStep, 2), limit)
    try:
        watched.go()
        watched.run.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert watched.run.state.phase == "failed"
    assert "the journal cannot be written: File too large" in watched.run.state.reason
    check_same(whole, GoneOn(watched.folder).go(), 2)


def test_a_checkpoint_that_finds_no_room_pauses_the_run_and_is_written_later(settings, whole, small_disk):
    watched = WatchedRun(configured(settings | {"runs.dir": str(small_disk / "runs")}))
    fillers = []
    watched.when(at(ev.OrgEvaluated, 1), lambda: fillers.append(fill(small_disk)))
    watched.run.start()
    paused = watched.wait_for(is_paused)
    assert "No space left on device" in paused.reason
    fillers[0].unlink()
    watched.run.send(ask.Resume())
    check_same(whole, watched.end(), 2)
    watched.run.close()


def test_a_checkpoint_alone_that_finds_no_room_pauses_the_run(settings, whole):
    watched = WatchedRun(configured(settings))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    watched.run._stream.sync = lambda: None  # the journal is larger than the adapter: only the checkpoint may fail

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))

    original = watched.run._stream._try_to_write
    watched.when(at(ev.RoundAggregated, 1), lambda: setattr(watched.run._stream, "_try_to_write", lambda: True))
    watched.when(at(ev.RoundAggregated, 1), limit)
    try:
        watched.run.start()
        paused = watched.wait_for(is_paused)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert paused.reason.startswith("checkpoint of round 1 cannot be written: File too large")
    assert checkpoint.rounds(watched.folder) == [0]
    watched.run._stream._try_to_write = original
    watched.run.send(ask.Resume())
    check_same(whole, watched.end(), 2)


def test_no_room_for_the_configuration_refuses_the_run_and_leaves_nothing(settings, small_disk):
    (small_disk / "runs").mkdir()
    fill(small_disk)
    watched = WatchedRun(configured(settings | {"runs.dir": str(small_disk / "runs")})).go()
    assert "No space left on device" in watched.run.refusal
    assert list((small_disk / "runs").iterdir()) == []


@pytest.mark.parametrize("patient", [True, False])
def test_a_folder_that_is_removed_is_told_and_a_stop_ends_the_run(settings, patient, capfd):
    watched = WatchedRun(configured(settings), patient=patient)
    watched.when(at(ev.TrainStep, 1), lambda: shutil.rmtree(watched.folder))
    watched.run.start()
    if patient:
        paused = watched.wait_for(is_paused)
        assert "the journal cannot be written: the file was removed while the run went on" in paused.reason
        watched.run.send(ask.Resume())
        assert "put it right first" in refusals(watched)[0]
        watched.run.send(ask.Stop("stopped by the operator"))
    watched.end()
    watched.run.close()
    assert watched.run.state.phase == ("stopped" if patient else "failed")
    assert not watched.folder.exists()
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_run_whose_file_system_is_read_only_is_refused_in_one_line(settings, small_disk):
    watched = WatchedRun(configured(settings | {"runs.dir": str(small_disk / "runs")}))
    watched.when(at(ev.TrainStep, 2), lambda: watched.run.send(ask.Stop("stopped by the operator")))
    watched.go()
    watched.run.close()
    before = (watched.folder / journal.NAME).read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    gone_on = Run(load(watched.folder / "config.toml"), start=Start(continues=watched.folder))
    gone_on.start()
    assert gone_on.wait(GUARD)
    assert "Read-only file system" in gone_on.refusal
    assert "\n" not in gone_on.refusal
    assert (watched.folder / journal.NAME).read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what nobody may")
def test_a_journal_that_may_not_be_written_is_refused_in_one_line(settings):
    watched = WatchedRun(configured(settings))
    watched.when(at(ev.TrainStep, 2), lambda: watched.run.send(ask.Stop("stopped by the operator")))
    watched.go()
    watched.run.close()
    (watched.folder / journal.NAME).chmod(0o444)
    gone_on = GoneOn(watched.folder).go()
    assert "Permission denied" in gone_on.run.refusal


def test_a_clock_that_jumps_back_shows_no_negative_time_and_changes_no_number(settings, whole):
    now = [1_790_000_000.0]

    def backwards():
        now[0] -= 60.0
        return now[0]

    watched = WatchedRun(configured(settings))
    watched.run = Run(configured(settings), clock=backwards)
    watched.run.subscribe(watched._hear)
    watched.go()
    assert files(watched.folder, 2) == files(whole.folder, 2)
    state = RunState()
    for record in watched.journal():
        state = apply(state, record)
        assert (state.seconds_left(record.t) or 0.0) >= 0
        assert (state.speed or 0.0) >= 0
        assert all((row.seconds or 0.0) >= 0 for row in state.history)
    assert all(event.seconds >= 0 for event in watched.told(ev.RoundFinished))


def test_a_journal_of_a_newer_version_is_refused_by_its_version(settings, capsys):
    watched = WatchedRun(configured(settings)).go()
    watched.run.close()
    with (watched.folder / journal.NAME).open("a") as lines:
        lines.write('{"v":2,"seq":1,"t":0,"type":"something"}\n')
    number = len((watched.folder / journal.NAME).read_text().splitlines())
    gone_on = Run(load(watched.folder / "config.toml"), start=Start(continues=watched.folder))
    gone_on.start()
    assert gone_on.wait(GUARD)
    place = watched.folder / journal.NAME
    expected = f"{place}:{number}: event version 2, this program reads up to 1; upgrade fedlora-tui to read this run"
    assert gone_on.refusal == expected
    with pytest.raises(UserError, match="event version 2, this program reads up to 1; upgrade fedlora-tui"):
        forked(watched.folder.parent, str(watched.folder), 1, [])
    assert main(["runs", "--runs-dir", str(watched.folder.parent)]) == 0
    assert "unreadable" in capsys.readouterr().out


def test_a_broken_checkpoint_is_not_exported_and_the_others_are(settings, tmp_path, capsys):
    watched = WatchedRun(configured(settings)).go()
    watched.run.close()
    kept = watched.folder / "checkpoints" / "round-0002" / "adapter.safetensors"
    data = kept.read_bytes()
    kept.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    words = ["export", str(watched.folder), "--out", str(tmp_path / "home")]
    assert main([*words, "--round", "2"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    told = "round 2 of {} cannot be exported: round-0002/adapter.safetensors is not what was written; name another"
    assert told.format(watched.folder.name) in err.splitlines()[-1]
    assert not (tmp_path / "home").exists()
    assert main([*words, "--round", "1"]) == 0
