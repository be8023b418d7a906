"""From the list of runs one terminal goes to another run: watches it, resumes it; the one that was shown goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlora_tui.engine.lock import held
from tests.e2e.test_attaching import (
    MANY,
    SMALL,
    alive,
    console,
    engine_of,
    rounds_of,
    run_of,
    screens,
    until,
)
from tests.e2e.tmux import Terminal

pytestmark = pytest.mark.terminal
__all__ = ["screens"]


def test_the_terminal_goes_to_a_run_that_goes_on_and_to_one_that_lost_its_process(
    screens: Callable[[], Terminal], tmp_path: Path
) -> None:
    screen = screens()
    console(screen, tmp_path, "--rounds", str(MANY), *SMALL)
    first = run_of(tmp_path)
    beside = screens()
    console(beside, tmp_path, "run", "--detach", "--rounds", str(MANY), *SMALL)
    beside.wait_for("left-with-0")
    (second,) = (folder for folder in first.parent.iterdir() if folder != first)
    until(lambda: rounds_of(second) > 1, "a round of the second run")
    screen.wait_for("round")
    screen.press("o")
    screen.wait_for(second.name)
    screen.press("g")
    screen.wait_for(f"watches it here; {first.name} goes on without it")
    screen.press("Enter")
    screen.wait_for(lambda shown: second.name in shown.splitlines()[0])
    assert alive(engine_of(first))
    so_far = rounds_of(first)
    until(lambda: rounds_of(first) > so_far, "a further round of the run that was left")

    os.kill(engine_of(second), signal.SIGKILL)
    until(lambda: not held(second), "the end of the second run's process")
    screen.wait_for("failed")
    screen.press("o")
    screen.wait_for("stale")
    screen.press("g")
    screen.wait_for(f"resumes it from its checkpoint, here; {second.name} is over")
    screen.press("Space")
    until(lambda: held(second), "the second run's new process")
    screen.wait_for(lambda shown: "running" in shown and second.name in shown.splitlines()[0])
    screen.press("q")
    screen.wait_for("leave?")
    screen.press("s")
    until(lambda: not held(second), "the end of the second run")
