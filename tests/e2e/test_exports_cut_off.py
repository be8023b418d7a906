"""Exports whose process is killed amid writing, and two at once: what is there is whole, the next one is written."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlora_tui.cli import main
from fedlora_tui.lora.export import ADAPTER_FILES
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.e2e.test_cli import ENVIRONMENT
from tests.tiny_runs import GUARD, WatchedRun, configured, small_settings

AMID = """
import os, signal, sys, time
from pathlib import Path
from fedlora_tui.cli import main

amid, go_on = Path(sys.argv.pop(1)), Path(sys.argv.pop(1))


def hold(event, arguments):
    if event == "open" and str(arguments[0]).endswith("README.md") and arguments[1] == "w" and not amid.exists():
        amid.touch()
        while not go_on.exists():
            time.sleep(0.01)


sys.addaudithook(hold)
sys.exit(main(sys.argv[1:]))
"""
"""The program, which says when it has written an adapter and not its card yet, and goes on when it may."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two rounds in `runs`."""
    return tmp_path_factory.mktemp("cut")


@pytest.fixture(scope="module")
def watched(home: Path) -> WatchedRun:
    return WatchedRun(configured(small_settings(home))).go()


class Held:
    """An export in a process of its own, which is held amid writing."""

    def __init__(self, place: Path, watched: WatchedRun, *words: str) -> None:
        self._go_on = place / "go-on"
        amid = place / "amid"
        run = (str(watched.folder), "--runs-dir", str(watched.folder.parent))
        self.process = subprocess.Popen(
            [sys.executable, "-c", AMID, str(amid), str(self._go_on), "export", *run, *words],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
        )
        until = time.monotonic() + GUARD
        while not amid.exists():
            assert self.process.poll() is None, "it ended"
            assert time.monotonic() < until, "it never came to write"
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=GUARD)

    def end(self) -> str:
        """Let it go on; give the folder that it says it has written."""
        self._go_on.touch()
        said, _ = self.process.communicate(timeout=GUARD)
        assert self.process.returncode == 0
        return said.decode().strip()


def export(watched: WatchedRun, *words: str) -> int:
    return main(["export", str(watched.folder), "--runs-dir", str(watched.folder.parent), *words])


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_after_an_export_that_was_killed_nothing_is_shown_and_the_next_one_is_written(
    watched: WatchedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exports = watched.folder / "exports"
    Held(tmp_path, watched, "--round", "1").kill()
    assert [entry.name for entry in exports.iterdir() if not entry.name.startswith(".")] == []
    assert main(["runs", "--json", "--runs-dir", str(watched.folder.parent)]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    # One of another round clears up behind it, too.
    assert export(watched, "--round", "2") == 0
    assert [entry.name for entry in exports.iterdir()] == ["round-0002"]
    assert export(watched, "--round", "1") == 0
    assert capsys.readouterr().out.split()[-1] == str(exports / "round-0001")
    assert sorted(entry.name for entry in exports.iterdir()) == ["round-0001", "round-0002"]
    assert set(contents(exports / "round-0001")) == set(ADAPTER_FILES)


def test_an_export_that_is_killed_over_an_earlier_one_leaves_that_as_it_was(
    watched: WatchedRun, tmp_path: Path
) -> None:
    place = tmp_path / "home" / "adapter"
    assert export(watched, "--round", "1", "--out", str(place)) == 0
    earlier = contents(place)
    Held(tmp_path, watched, "--round", "2", "--out", str(place)).kill()
    assert contents(place) == earlier
    assert export(watched, "--round", "2", "--out", str(place)) == 0
    assert [entry.name for entry in place.parent.iterdir()] == ["adapter"]
    assert set(contents(place)) == set(earlier)
    assert contents(place)["adapter_model.safetensors"] != earlier["adapter_model.safetensors"]


def test_a_merged_model_takes_the_place_of_an_adapter_and_nothing_of_that_stays(
    watched: WatchedRun, tmp_path: Path
) -> None:
    place = tmp_path / "model"
    assert export(watched, "--out", str(place)) == 0
    assert export(watched, "--merged", "--out", str(place)) == 0
    assert "model.safetensors" in contents(place)
    assert not any(name.startswith("adapter") for name in contents(place))
    # Nothing in it tells of where it was written.
    assert not any(b".part" in held for name, held in contents(place).items() if name.endswith((".json", ".md")))


def test_a_run_exports_to_a_folder_when_another_process_is_done_with_it(watched: WatchedRun, tmp_path: Path) -> None:
    for number in ("1", "2"):
        assert export(watched, "--round", number, "--out", str(tmp_path / number)) == 0
    place = tmp_path / "adapter"
    held = Held(tmp_path, watched, "--round", "1", "--out", str(place))
    watched.run.send(ask.Export("2", out=str(place)))
    assert watched.run.writing
    assert not place.exists()
    assert held.end() == str(place)
    watched.wait_for(lambda event: isinstance(event, ev.AdapterExported) and event.path == str(place))
    assert contents(place) == contents(tmp_path / "2")
    assert not list(tmp_path.glob(".*"))


def test_what_is_no_export_is_refused_and_left_as_it_is(
    watched: WatchedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "thesis"
    place.mkdir()
    (place / "README.md").write_text("A thesis.")
    assert export(watched, "--out", str(place)) == 2
    said = f"{place}: is not empty, and nothing there is overwritten; name a new folder with --out"
    assert said in capsys.readouterr().err
    assert contents(place) == {"README.md": b"A thesis."}
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis"]
