"""Pictures of the console at its drawn sizes, in each state of a run and with each dialog."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from tests.flows.opened import console_on
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT, HandClock, ScriptedRun

SIZES = {"compact": (80, 24), "normal": (120, 40), "wide": (200, 60)}
SCENES: dict[str, dict[str, Any]] = {
    "starting": {"at": BEGAN_AT + 3.5, "prepare_seconds": 1.2},
    "running": {"keys": ["down", "down", "a"]},
    "paused": {"keys": ["space"], "then": SHOWN_AT + 1},
    "failed": {"fail_at": (7, 20)},
    "done": {"at": SHOWN_AT + 400},
    "help": {"keys": ["question_mark"]},
    "export": {"keys": ["e", "tab"]},
    "leave": {"keys": ["q"]},
    "drift": {"keys": ["b", "left"]},
}
WIDE = ("running", "drift")
"""Scenes that are drawn on a wide terminal, too."""


@pytest.mark.parametrize(
    ("scene", "size"),
    [
        *((scene, size) for scene in SCENES for size in ("compact", "normal")),
        *((scene, "wide") for scene in WIDE),
    ],
)
def test_scene(snap_compare: Any, scene: str, size: str) -> None:
    script = dict(SCENES[scene])
    clock = HandClock(script.pop("at", SHOWN_AT))
    keys, then = script.pop("keys", []), script.pop("then", None)
    run = ScriptedRun(clock, **script)
    app = console_on(run, clock=clock)

    async def play(pilot: Pilot[str]) -> None:
        while app.session.state.seq == 0:
            await pilot.pause(0.02)
        await pilot.press(*keys)
        await pilot.pause(0.1)
        if then is not None:
            clock.now = then
        app.session.poll()
        app.paint()
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=SIZES[size], run_before=play)


def test_no_gpu(snap_compare: Any) -> None:
    clock = HandClock()
    app = console_on(ScriptedRun(clock, gpu=False), clock=clock)

    async def play(pilot: Pilot[str]) -> None:
        while app.session.state.seq == 0:
            await pilot.pause(0.02)
        app.paint()
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=(120, 40), run_before=play)
