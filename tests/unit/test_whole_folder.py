"""A folder written aside: there whole or not at all, whenever its writer ends, and by one writer at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedlora_tui.engine import whole_folder
from fedlora_tui.engine.lock import Lock
from fedlora_tui.engine.whole_folder import Kind, end_what_was_cut_off, written_whole
from fedlora_tui.errors import UserError
from tests.tiny_runs import GUARD

KIND = Kind(owns=lambda name: name.startswith("own-"), last="own-card")
FILES = ("own-a", "own-b", "own-card")

WRITE = """
import os, shutil, signal, sys
from pathlib import Path
from fedlora_tui.engine.whole_folder import Kind, written_whole

KIND = Kind(owns=lambda name: name.startswith("own-"), last="own-card")

def write(place, text):
    with written_whole(place, KIND) as new:
        for name in ("own-a", "own-b", "own-card"):
            (new / name).write_text(text)
"""

WRITE_ONCE = WRITE + "write(Path(sys.argv[1]), sys.argv[2])"

KILLED_AT_EACH_MOMENT = (
    WRITE
    + """
def write_until(left, place):
    def count(event, arguments):
        nonlocal left
        left -= event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "open")
        if left < 0 and event != "os.kill":
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    write(place, "new")
    os._exit(0)

before, after = map(Path, sys.argv[1:])
moment, killed = 0, True
while killed:
    home = after / str(moment)
    shutil.copytree(before, home)
    writer = os.fork()
    if not writer:
        write_until(moment, home / "place")
    killed = os.WIFSIGNALED(os.waitpid(writer, 0)[1])
    moment += 1
"""
)


def write(place: Path, text: str, names: tuple[str, ...] = FILES) -> None:
    with written_whole(place, KIND) as new:
        for name in names:
            (new / name).write_text(text)


def write_elsewhere(place: Path, text: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITE_ONCE, str(place), text])


def killed_at_each_moment(before: Path) -> list[Path]:
    """Kill a process that writes `place` at each change of a file, over what was there before; give what it left."""
    after = before.with_name("after")
    words = [sys.executable, "-c", KILLED_AT_EACH_MOMENT, str(before), str(after)]
    subprocess.run(words, timeout=GUARD, check=True)
    homes = sorted(after.iterdir(), key=lambda home: int(home.name))
    assert len(homes) > 10
    return homes


def shown(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


def contents(place: Path) -> dict[str, str]:
    return {entry.name: entry.read_text() for entry in place.iterdir() if entry.is_file()}


def whole(text: str) -> dict[str, str]:
    return dict.fromkeys(FILES, text)


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """What is there before somebody is killed."""
    (tmp_path / "before").mkdir()
    return tmp_path / "before"


def test_a_writer_that_is_killed_at_any_moment_leaves_the_whole_new_folder_or_none(before: Path) -> None:
    found = []
    for home in killed_at_each_moment(before):
        found.append(shown(home))
        if shown(home):
            assert contents(home / "place") == whole("new")
        write(home / "place", "later")
        assert [entry.name for entry in home.iterdir()] == ["place"]
        assert contents(home / "place") == whole("later")
    assert [] in found
    assert found[-1] == ["place"]


def test_a_replacement_that_is_killed_at_any_moment_leaves_the_one_folder_or_the_other(before: Path) -> None:
    write(before / "place", "old", (*FILES, "own-stale"))
    old = contents(before / "place")
    found = []
    for home in killed_at_each_moment(before):
        # It may be amid the two renames: who writes next to it puts the new one there, which is whole by then.
        found.append(shown(home) == ["place"])
        if not found[-1]:
            end_what_was_cut_off(home, KIND.last)
        assert contents(home / "place") in (old, whole("new"))
        end_what_was_cut_off(home, KIND.last)
        assert [entry.name for entry in home.iterdir()] == ["place"]
        assert contents(home / "place") in (old, whole("new"))
    assert 1 <= found.count(False) <= 2
    assert contents(home / "place") == whole("new")


def test_a_folder_that_holds_other_things_keeps_them_and_is_made_whole_by_the_next_writer(before: Path) -> None:
    write(before / "place", "old", (*FILES, "own-stale"))
    (before / "place" / "notes").write_text("mine")
    (before / "place" / ".git").mkdir()
    old, new = contents(before / "place"), whole("new") | {"notes": "mine"}
    torn = 0
    for home in killed_at_each_moment(before):
        left = contents(home / "place")
        if left not in (old, new):
            assert "own-card" not in left, "it says that it is whole, and is not"
            torn += 1
        end_what_was_cut_off(home, KIND.last)
        assert contents(home / "place") in (old, new)
        assert (home / "place" / ".git").is_dir()
        assert [entry.name for entry in home.iterdir()] == ["place"]
    assert torn
    assert contents(home / "place") == new


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "place", "old")
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "place", "new", ("own-a", "none/own-b"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["place"]
    assert contents(tmp_path / "place") == whole("old")


def test_who_comes_while_another_process_writes_has_the_turn_after_it(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with written_whole(place, KIND) as new:
        second = write_elsewhere(place, "second")
        for name in ("own-a", "own-b", "own-card", "own-first"):
            (new / name).write_text("first")
        assert second.poll() is None
    assert second.wait(GUARD) == 0
    assert contents(place) == whole("second")
    assert [entry.name for entry in tmp_path.iterdir()] == ["place"]


def test_many_writers_at_once_leave_the_folder_of_one_of_them(tmp_path: Path) -> None:
    place = tmp_path / "place"
    writers = [write_elsewhere(place, str(number)) for number in range(4)]
    assert [writer.wait(GUARD) for writer in writers] == [0] * 4
    assert contents(place) in [whole(str(number)) for number in range(4)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["place"]


def test_a_writer_that_never_ends_is_named_in_one_line_to_who_waits(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / ".place.part").mkdir()
    other = Lock(tmp_path / ".place.part")
    monkeypatch.setattr(whole_folder, "TURN_SECONDS", 0.0)
    with pytest.raises(UserError) as refused:
        write(tmp_path / "place", "new")
    other.close()
    assert f"{tmp_path / 'place'}: is being written by pid {os.getpid()} on" in str(refused.value)
    assert str(refused.value).endswith("try again when that is done, or name another folder with --out")
    write(tmp_path / "place", "new")
    assert contents(tmp_path / "place") == whole("new")


def test_what_a_living_process_writes_is_left_to_it(tmp_path: Path) -> None:
    with written_whole(tmp_path / "place", KIND) as new:
        (new / "own-a").write_text("new")
        end_what_was_cut_off(tmp_path, KIND.last)
        assert (new / "own-a").read_text() == "new"
    assert contents(tmp_path / "place") == {"own-a": "new"}


def test_the_folder_that_one_stands_in_stays_the_same_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("first", "second"):
        write(Path("."), text)
        assert contents(Path(".")) == whole(text)


def test_a_link_to_a_folder_stays_a_link_and_modes_stay(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("there")
    for text in ("first", "second"):
        write(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert contents(tmp_path / "there") == whole(text)
        assert (tmp_path / "there").stat().st_mode & 0o777 == 0o700


def test_a_folder_on_a_disk_of_its_own_is_written_though_it_cannot_be_moved(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        for text in ("first", "second"):
            write(place, text)
            assert contents(place) == whole(text)
            assert sorted(entry.name for entry in place.iterdir()) == sorted(whole(text))
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
