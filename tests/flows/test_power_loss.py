"""What a power loss leaves of a run, at any moment: whatever of it is there is whole, and it goes on with that.

A disk is played that keeps no more than it must: a file has the bytes of its last fsync, none where there was no such,
and a folder the names of its own. What was removed since may be gone already or be there still; what was moved stands
in the one place or in the other.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from fedlora_tui.engine import checkpoint, journal
from fedlora_tui.engine.past import look_back
from fedlora_tui.engine.whole_folder import end_what_was_cut_off
from fedlora_tui.export_command import export
from fedlora_tui.lora.export import CARD
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings

ROUNDS = 3


class Disk:
    """What has reached the disk of all below a folder, by inodes, looked at whenever something is synced or moved."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        # Held open: the number of what was removed goes to nothing new.
        self._known: dict[int, int] = {}

    def close(self) -> None:
        for descriptor in self._known.values():
            os.close(descriptor)

    def synced(self, descriptor: int) -> None:
        found, path = os.fstat(descriptor), Path(f"/proc/self/fd/{descriptor}")
        if stat.S_ISDIR(found.st_mode):
            self._names[found.st_ino] = {entry.name: self._hold(entry) for entry in path.iterdir()}
        else:
            self._bytes[found.st_ino] = path.read_bytes()

    def sync(self, *paths: Path) -> None:
        """Take what is there as what was written long ago."""
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            self.synced(descriptor)
            os.close(descriptor)

    def _hold(self, path: Path) -> int:
        descriptor = os.open(path, os.O_PATH)
        number = os.fstat(descriptor).st_ino
        if self._known.setdefault(number, descriptor) != descriptor:
            os.close(descriptor)
        return number

    def _is_gone(self, path: Path, inode: int) -> bool:
        return not path.exists() and os.fstat(self._known[inode]).st_nlink == 0

    def lay_out(self, place: Path, *, removed: bool) -> None:
        """Put what a power loss leaves in another place; `removed`: without what was removed since."""
        place.mkdir()
        self._lay_out(self.top, place, self.top.stat().st_ino, removed)

    def _lay_out(self, source: Path, place: Path, inode: int, removed: bool) -> None:
        for name, below in self._names.get(inode, {}).items():
            if removed and self._is_gone(source / name, below):
                continue
            if below in self._names or (source / name).is_dir():
                (place / name).mkdir()
                self._lay_out(source / name, place / name, below, removed)
            else:
                (place / name).write_bytes(self._bytes.get(below, b""))


def test_a_power_loss_at_any_moment_leaves_a_run_that_goes_on_after_its_last_checkpoint(tmp_path, monkeypatch):
    settings = small_settings(tmp_path) | {"federation.rounds": ROUNDS, "runs.keep_full": 1}
    settings |= {"federation.server_optimizer": "fedadam", "federation.server_learning_rate": 0.01}
    watched = WatchedRun(configured(settings))
    disk, newest, looks = Disk(tmp_path / "runs"), [-1], []
    sync, rename, unlink = os.fsync, Path.rename, Path.unlink

    def look() -> None:
        for removed in (False, True):
            left = tmp_path / "left"
            disk.lay_out(left, removed=removed)
            looks.extend(check_goes_on(run, watched.folder, newest[0]) for run in left.iterdir())
            shutil.rmtree(left)

    def at(action):
        def watched_action(*arguments, **more):
            done = action(*arguments, **more)
            if action is sync:
                disk.synced(arguments[0])
            if "left" not in Path(str(arguments[0])).parts:
                monkeypatch.undo()
                look()
                patch()
            return done

        return watched_action

    def patch() -> None:
        monkeypatch.setattr(os, "fsync", at(sync))
        monkeypatch.setattr(Path, "rename", at(rename))
        monkeypatch.setattr(Path, "unlink", at(unlink))

    def written(event: ev.Event) -> bool:
        if isinstance(event, ev.CheckpointWritten):
            newest[0] = event.round
        return False

    watched.when(written, lambda: None)
    patch()
    watched.go()
    monkeypatch.undo()
    assert watched.run.state.phase == "done", watched.run.state.reason
    look()
    disk.close()
    assert set(looks) == {None, *range(ROUNDS + 1)}


def check_goes_on(left: Path, run: Path, newest: int) -> int | None:
    """Give the round after which what is left goes on, None where the run had no checkpoint yet to go on from."""
    whole = [round for round in checkpoint.rounds(left) if checkpoint.fault(left, round) is None]
    assert whole == checkpoint.rounds(left), "a checkpoint is there and not whole"
    if not whole:
        assert newest < 0, "a checkpoint that was told is gone"
        return None
    past = look_back(left)
    assert past.round == whole[-1] >= newest
    assert past.warnings == ()
    assert (left / "config.toml").read_bytes() == (run / "config.toml").read_bytes()
    told = [record.seq for record in journal.read(left)]
    assert told == list(range(1, len(told) + 1))
    assert told[-1] >= checkpoint.read_state(left, past.round)["seq"], "a checkpoint knows more than the journal"
    return past.round


def test_an_export_that_is_told_outlasts_a_power_loss_with_all_its_bytes(tmp_path, monkeypatch):
    disk, sync = Disk(tmp_path / "runs"), os.fsync

    def synced(descriptor: int) -> None:
        sync(descriptor)
        disk.synced(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    watched = WatchedRun(configured(small_settings(tmp_path) | {"federation.rounds": 1})).go()
    written = export(tmp_path / "runs", watched.folder.name, "latest", None, merged=False, out="")
    disk.lay_out(tmp_path / "left", removed=False)
    left = tmp_path / "left" / written.relative_to(tmp_path / "runs")
    assert {file.name for file in written.iterdir()} >= {"adapter_model.safetensors", "adapter_config.json"}
    for file in written.iterdir():
        assert (left / file.name).read_bytes() == file.read_bytes(), file.name
    disk.close()


@pytest.mark.parametrize("others", [(), ("notes.txt",)])
def test_a_power_loss_while_an_export_replaces_another_costs_neither(tmp_path, monkeypatch, others):
    watched = WatchedRun(configured(small_settings(tmp_path))).go()
    home, looks = tmp_path / "home", []
    place, disk = home / "adapter", Disk(home)

    def take_home(round: str) -> dict[str, bytes]:
        export(tmp_path / "runs", watched.folder.name, round, None, merged=False, out=str(place))
        return contents(place)

    def look() -> None:
        for removed in (False, True):
            disk.lay_out(tmp_path / "left", removed=removed)
            # What the next export in this folder does first.
            end_what_was_cut_off(tmp_path / "left", CARD)
            looks.append(contents(tmp_path / "left" / "adapter"))
            shutil.rmtree(tmp_path / "left")

    def patch() -> None:
        for where, name in ((os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "unlink")):
            monkeypatch.setattr(where, name, watched_action(getattr(where, name)))

    def watched_action(action):
        def act(*arguments, **more):
            done = action(*arguments, **more)
            monkeypatch.undo()
            if isinstance(arguments[0], int):
                disk.synced(arguments[0])
            look()
            patch()
            return done

        return act

    earlier = take_home("1") | dict.fromkeys(others, b"mine")
    for name in others:
        (place / name).write_text("mine")
    disk.sync(*place.iterdir(), place, home)
    patch()
    later = take_home("2")
    monkeypatch.undo()
    look()
    disk.close()
    assert earlier != later
    assert all(left in (earlier, later) for left in looks)
    assert looks[0] == earlier
    assert looks[-1] == later


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}
