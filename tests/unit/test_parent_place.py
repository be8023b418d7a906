"""Where a fork's parent is found."""

from __future__ import annotations

from fedlora_tui.engine.folder import parent_place, write_parent


def test_a_forks_parent_is_beside_it_or_where_its_folder_says(tmp_path):
    fork, near, far = tmp_path / "a" / "fork", tmp_path / "a" / "parent", tmp_path / "b" / "parent"
    fork.mkdir(parents=True)
    write_parent(fork, near)
    assert list(fork.iterdir()) == []
    assert parent_place(fork, "parent") == near
    write_parent(fork, far)
    assert parent_place(fork, "parent") == far
