"""Pictures of the console at its drawn sizes, in each state of a run, with each dialog, and on a race."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from fedlora_tui.console.app import ConsoleApp
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.player import Replay
from fedlora_tui.protocol.events import NodeRefused, OrgQuarantined, Warned
from tests.flows.deployed_run import DeployedRun
from tests.flows.opened import UTF8, ScriptedFork, ScriptedRuns, console_on
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT, HandClock, ScriptedRace, ScriptedRun
from tests.flows.scripted_tries import ScriptedTries
from tests.one_audit import written

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
    "fork": {"keys": ["f", "tab", *"lora.rank=8 federation.learning_rate=5e-4"], "fork": ScriptedFork()},
    "drift": {"keys": ["b", "left"]},
    "tune": {"keys": ["comma", "right", "down", "plus", "1", "0", "down", "down", "left", "down"]},
    "add-by": {"keys": ["A", "right", "tab", *"~/texts/notes", "tab", *"clinic"]},
    "command": {"keys": ["colon", "r", "o"]},
    "command-values": {"keys": ["colon", *"fault", "space", *"port", "tab"]},
    "tune-why": {"keys": ["comma", "question_mark"]},
    "troubled": {"troubled": True, "keys": ["G", "k", "k", "k", "k"]},
    "faults": {"troubled": True, "keys": ["G", "k", "k", "k", "k", "x"]},
    "organization": {"keys": [*["down"] * 5, "enter"]},
    "organization-troubled": {"troubled": True, "keys": ["G", *["k"] * 4, "enter", *["tab"] * 5]},
    "rounds": {"troubled": True, "keys": ["r", "j", "j", "j"]},
    "log": {"troubled": True, "keys": ["l", "k", "slash", *"!checkpoint"]},
    "runs": {"keys": ["o", "j", "j"], "others": ScriptedRuns()},
    "audit": {"keys": ["v"], "options": {"runs_folder": str(written(Path(tempfile.mkdtemp())))}},
    "audit-none": {"keys": ["v"]},
    "log-failed": {"fail_at": (7, 20), "keys": ["l"]},
    "filtered": {"keys": ["m", *"ss", "slash", *"gain<0.6 !school"]},
    "alone": {"keys": ["1", "1", "1", "z"]},
}
WIDE = ("running", "drift", "troubled", "organization", "rounds", "log", "runs", "audit", "filtered", "alone")
"""Scenes that are drawn on a wide terminal, too."""


FOUR: dict[str, Any] = {"rank 2": 0.7, "rank 4": 1.0, "rank 8": 1.2, "rank 16": {"learns": 1.3, "fail_at": (7, 20)}}
SIXTEEN: dict[str, Any] = {
    f"rank {rank}, learning rate {rate}": 0.3 + 0.06 * place
    for place, (rank, rate) in enumerate(
        (rank, rate) for rank in (2, 4, 8, 16) for rate in ("1e-4", "3e-4", "1e-3", "3e-3")
    )
}
RACES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "compare": (FOUR, ["c", "j"]),
    "compare-sixteen": (SIXTEEN, ["c", "G", "k"]),
    "race": (FOUR, ["greater_than_sign"]),
}


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
    fork, others, options = script.pop("fork", None), script.pop("others", None), script.pop("options", {})
    run = ScriptedRun(clock, **script)
    app = console_on(run, clock=clock, fork=fork, others=others, **options)

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


MODES: dict[str, dict[str, Any]] = {
    "light": {"theme": "light"},
    "16-colours": {"terminal": {"LANG": "C.UTF-8", "TERM": "xterm"}},
    "no-colour": {"terminal": {**UTF8, "NO_COLOR": "1"}},
    "ascii": {"ascii": True},
}


@pytest.mark.parametrize("mode", MODES)
def test_mode(snap_compare: Any, mode: str) -> None:
    clock = HandClock()
    app = console_on(ScriptedRun(clock, troubled=True), clock=clock, **MODES[mode])

    async def play(pilot: Pilot[str]) -> None:
        while app.session.state.seq == 0:
            await pilot.pause(0.02)
        await pilot.press("m", "j", "m", "a")
        await pilot.pause(0.1)
        app.session.poll()
        app.paint()
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=SIZES["normal"], run_before=play)


def test_toasts(snap_compare: Any) -> None:
    clock = HandClock()
    run = ScriptedRun(clock)
    app = console_on(run, clock=clock)

    async def play(pilot: Pilot[str]) -> None:
        while app.session.state.seq == 0:
            await pilot.pause(0.02)
        for _ in range(3):
            run._tell(Warned("the checkpoint of round 7 cannot be written: No space left on device"), clock.now)
        run._tell(OrgQuarantined("port-authority", 7, "2 replies refused", 2), clock.now)
        while len(app.view().toasts) < 2:
            await pilot.pause(0.02)
        await pilot.pause(0.1)
        app.paint()
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=SIZES["normal"], run_before=play)


@pytest.mark.parametrize("size", SIZES)
def test_deployed_and_insecure(snap_compare: Any, size: str) -> None:
    """Machines of their own are in training: no step is told."""
    clock = HandClock()
    run = DeployedRun(clock, insecure="no TLS, any node is let in")
    app = console_on(run, clock=clock)

    async def play(pilot: Pilot[str]) -> None:
        while app.session.state.seq == 0:
            await pilot.pause(0.02)
        run._tell(
            NodeRefused("its clock differs from the server's by more than five minutes", "192.0.2.9", "", 2), clock.now
        )
        while not app.view().toasts:
            await pilot.pause(0.02)
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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scene", RACES)
def test_race(snap_compare: Any, scene: str, size: str) -> None:
    clock = HandClock()
    runs, keys = RACES[scene]
    app = console_on(*ScriptedRace(clock, runs).racers, clock=clock)

    async def play(pilot: Pilot[str]) -> None:
        while any(state.seq == 0 for state in app.runs.states):
            await pilot.pause(0.02)
        await pilot.press(*keys)
        await pilot.pause(0.2)
        app.paint()
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=SIZES[size], run_before=play)


@pytest.mark.parametrize("size", SIZES)
def test_try_it(snap_compare: Any, size: str) -> None:
    clock = HandClock()
    run, tries = ScriptedRun(clock), ScriptedTries()
    run.tries = tries
    app = console_on(run, clock=clock)

    async def play(pilot: Pilot[str]) -> None:
        while app.session.state.seq == 0:
            await pilot.pause(0.02)
        keys = ["space" if letter == " " else letter for letter in "The patient should take"]
        await pilot.press(*["down"] * 5, "t", *keys, "enter")
        tries.say(24)
        while app._asking.answer is None:
            await pilot.pause(0.02)
        app.paint()
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=SIZES[size], run_before=play)


@pytest.mark.parametrize("size", ["compact", "normal"])
@pytest.mark.parametrize("keys", [("space",), ("plus", "plus", "question_mark")], ids=("stopped", "help"))
def test_replay(snap_compare: Any, keys: tuple[str, ...], size: str) -> None:
    run = ScriptedRun(HandClock())
    run.start()
    clock = HandClock(0.0)
    replay = Replay(list(run.drain()), 4.0, clock)
    options = ConsoleOptions()
    app = ConsoleApp([replay], options, look=look_for(options, UTF8, "utf-8"))

    async def play(pilot: Pilot[str]) -> None:
        while not replay.playing.plays:
            await pilot.pause(0.02)
        app.session._go(replay.marks[-2])  # type: ignore[attr-defined]
        clock.now += 1.0
        while app.session.state.round_finished:
            await pilot.pause(0.02)
        await pilot.press(*keys)
        app.paint()
        await pilot.pause(0.1)

    assert snap_compare(app, terminal_size=SIZES[size], run_before=play)
