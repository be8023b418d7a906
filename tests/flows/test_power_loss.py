"""What a power loss leaves of a run, at any moment: whatever of it is there is whole, and it goes on with that.

A disk is played that keeps no more than it must: a file has the bytes of its last fsync, none where there was no such,
and a folder the names of its own. What was removed since may be gone already or be there still.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from fedlora_tui.engine import checkpoint, journal
from fedlora_tui.engine.past import look_back
from fedlora_tui.export_command import export
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings

ROUNDS = 3


class Disk:
    """What has reached the disk of all below a folder, by inodes, looked at whenever something is synced or moved."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}

    def synced(self, descriptor: int) -> None:
        found, path = os.fstat(descriptor), Path(f"/proc/self/fd/{descriptor}")
        if stat.S_ISDIR(found.st_mode):
            self._names[found.st_ino] = {entry.name: entry.stat().st_ino for entry in path.iterdir()}
        else:
            self._bytes[found.st_ino] = path.read_bytes()

    def lay_out(self, place: Path, *, removed: bool) -> None:
        """Put what a power loss leaves in another place; `removed`: without what was removed since."""
        place.mkdir()
        self._lay_out(self.top, place, self.top.stat().st_ino, removed)

    def _lay_out(self, source: Path, place: Path, inode: int, removed: bool) -> None:
        for name, below in self._names.get(inode, {}).items():
            if removed and not (source / name).exists():
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
