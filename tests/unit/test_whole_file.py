"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedlora_tui.whole_file import replace_file, written_aside


def test_a_file_takes_the_place_of_another_and_has_its_mode_before_its_first_byte(tmp_path: Path) -> None:
    key = tmp_path / "node.key"
    key.write_text("old")
    key.chmod(0o644)
    with written_aside(key, b"new", 0o600) as aside:
        assert (aside.stat().st_mode & 0o777, aside.read_bytes(), key.read_text()) == (0o600, b"new", "old")
    assert os.listdir(tmp_path) == ["node.key"]
    replace_file(key, b"new", 0o600)
    assert (key.stat().st_mode & 0o777, key.read_bytes()) == (0o600, b"new")
    assert os.listdir(tmp_path) == ["node.key"]


def test_what_cannot_be_put_in_place_leaves_nothing_and_what_one_that_was_killed_left_is_in_nobodys_way(
    tmp_path: Path,
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(taken, b"key")
    assert os.listdir(tmp_path) == ["taken"]
    left = tmp_path / f".key.{os.getpid()}"
    left.write_text("half")
    left.chmod(0o644)
    replace_file(tmp_path / "key", b"whole", 0o600)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["key", "taken"]
