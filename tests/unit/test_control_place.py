"""Where a run's control socket stands."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fedlora_tui.protocol.control_place import ELSEWHERE, LONGEST, found_socket, socket_place, write_place


def bound(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    return listening


def test_a_short_path_is_in_the_runs_own_folder(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    place = socket_place(Path("runs/a"))
    assert place == folder / "control.sock"
    write_place(Path("runs/a"), place)
    assert not (folder / ELSEWHERE).exists()
    assert found_socket(folder) is None
    with bound(place):
        assert found_socket(folder) == place


@pytest.mark.parametrize("runtime", ["here", ""])
def test_a_long_path_stands_elsewhere_and_the_run_says_where(tmp_path, monkeypatch, runtime: str) -> None:
    home = Path("/tmp") / f"r{os.getpid()}"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home) if runtime else "")
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    place = socket_place(folder)
    assert len(os.fsencode(place)) <= LONGEST
    assert place.parent != folder
    assert place.parent.stat().st_mode & 0o777 == 0o700
    other = tmp_path / "b" / folder.name
    other.mkdir(parents=True)
    assert socket_place(other) != place
    write_place(folder, place)
    with bound(place):
        assert found_socket(folder) == place
    place.unlink()
    if runtime:
        place.parent.rmdir()
    home.rmdir()


def test_a_long_folder_for_temporary_files_is_not_used(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / ("long" * 30)))
    assert socket_place(tmp_path / ("long" * 30)).parent == Path(f"/tmp/fedlora-tui-{os.geteuid()}")


def test_a_folder_that_others_can_enter_is_not_used(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    home = Path("/tmp") / f"o{os.getpid()}"
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(home))
    own = home / f"fedlora-tui-{os.geteuid()}"
    own.mkdir(parents=True)
    own.chmod(0o755)
    with pytest.raises(PermissionError):
        socket_place(tmp_path / ("long" * 30))
    own.rmdir()
    home.rmdir()
