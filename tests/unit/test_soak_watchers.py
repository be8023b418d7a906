"""The consoles around a run that is soaked: what one of them writes is read by nobody but its own screen."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from fedlora_tui.benchmarks.screen import Screen

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import soak_watchers
from soak_watchers import Watcher

SPEAKS = "import sys; print('it', sys.argv[1], 'speaks'); sys.stdin.readline()"


@pytest.mark.terminal
def test_a_terminal_is_read_to_its_end_before_the_next_one_takes_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher, fed = Watcher(tmp_path), Screen.feed
    watcher.begin(["-c", SPEAKS, "first"])
    assert watcher.shows("it first speaks")
    terminal, first, reader = watcher._terminal, watcher._screen, watcher._reader
    assert terminal is not None
    assert reader is not None
    number = terminal._controller

    def slow(screen: Screen, piece: bytes) -> None:
        """Take in what came long after the program has ended, as happens where processors are busy."""
        terminal.process.wait()
        time.sleep(0.3)
        os.fstat(number)
        fed(screen, piece)

    monkeypatch.setattr(Screen, "feed", slow)
    watcher.press("last words")
    watcher.close()
    assert not reader.is_alive()
    assert any("last words" in row for row in first.rows())
    monkeypatch.setattr(Screen, "feed", fed)
    watcher.begin(["-c", SPEAKS, "second"])
    assert watcher.shows("it second speaks")
    watcher.close()


def test_who_waits_beside_other_programs_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for load, times in ((0.0, 1.0), (2.0, 1.0), (10.0, 5.0)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert soak_watchers.patience(30.0) == 30.0 * times
