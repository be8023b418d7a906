"""The console on a run of another process: leaving it running, and who of several consoles steers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

import pytest
from textual.pilot import Pilot

from fedlora_tui.console.screens.overview import Overview
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.lines import Lines
from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol.events import Record, RunPaused, Unknown
from tests.flows.opened import ScriptedWheel, console_on, opened
from tests.flows.scripted_run import HandClock, ScriptedRun

THEIRS = {"may_steer": False, "holder": "ada@pts/3", "alone": False}


async def test_d_leaves_the_run_going() -> None:
    async with opened(wheel=ScriptedWheel()) as console:
        await console.press("q")
        assert "d  detach" in console.text("dialog")
        assert "fedlora-tui attach 1122-1402" in console.text("dialog")
        await console.press("d")
        await console.until(lambda: console.app.return_value == "detached")
        assert console.run.sent == []
        assert not console.run.over


async def test_a_run_that_is_paused_stays_so_when_it_is_detached() -> None:
    async with opened(size=(120, 40), wheel=ScriptedWheel()) as console:
        await console.press("space")
        await console.until(lambda: "pausing" in console.text("run-line"))
        await console.press("q")
        assert "it stays paused; fedlora-tui attach" in console.text("dialog")
        assert "goes on" not in console.text("dialog")


async def test_a_run_of_this_process_offers_no_detaching() -> None:
    async with opened() as console:
        await console.press("q", "d")
        assert "detach" not in console.text("dialog")
        assert console.app.is_running


async def test_who_watches_changes_nothing_and_is_told_who_steers() -> None:
    async with opened(size=(120, 40), wheel=ScriptedWheel(**THEIRS)) as console:
        assert "watching: ada@pts/3 steers, w takes the wheel" in console.text("run-line")
        for key in ("space", "a", "d", "right_square_bracket", "plus", "e", "f"):
            await console.press(key)
            assert console.said == "ada@pts/3 steers: w takes the wheel", key
        assert console.run.sent == []


async def test_who_watches_leaves_at_once() -> None:
    async with opened(wheel=ScriptedWheel(**THEIRS)) as console:
        await console.press("q")
        await console.until(lambda: console.app.return_value == "detached")


async def test_the_wheel_is_asked_for_and_comes() -> None:
    wheel = ScriptedWheel(**THEIRS)
    async with opened(size=(120, 40), wheel=wheel) as console:
        await console.press("w")
        assert wheel.words == ["ask"]
        assert console.said == "asked ada@pts/3 for the wheel"
        wheel.asked_by, wheel.seconds_to_refuse = "you@pts/4", 4.2
        await console.until(lambda: "asked for the wheel: 4 s" in console.text("run-line"))
        wheel.asked_by, wheel.may_steer, wheel.holder = "", True, "you@pts/4"
        await console.until(lambda: "left" in console.text("run-line"))
        assert console.said == "you steer now"
        await console.press("space")
        assert console.run.sent == [cmd.Pause()]


async def test_the_wheel_is_asked_for_and_is_kept() -> None:
    wheel = ScriptedWheel(**THEIRS)
    async with opened(size=(120, 40), wheel=wheel) as console:
        await console.press("w")
        wheel.asked_by, wheel.asks, wheel.seconds_to_refuse = "you@pts/4", True, 4.2
        await console.until(lambda: "asked for the wheel: 4 s" in console.text("run-line"))
        wheel.asked_by, wheel.asks = "", False
        await console.until(lambda: "w takes the wheel" in console.text("run-line"))
        assert console.said == "ada@pts/3 keeps the wheel"


async def test_who_steers_is_asked_and_keeps_the_wheel() -> None:
    wheel = ScriptedWheel(alone=False)
    async with opened(size=(120, 40), wheel=wheel) as console:
        await console.press("w")
        assert console.said == "you steer"
        wheel.asked_by, wheel.seconds_to_refuse = "ada@pts/3", 5.0
        await console.until(lambda: "ada@pts/3 asks for the wheel: w keeps it (5 s)" in console.text("run-line"))
        await console.press("w")
        assert wheel.words == ["keep"]
        assert console.said == "you keep the wheel"


async def test_who_is_asked_keeps_the_wheel_over_a_dialog_and_a_field_takes_the_letter() -> None:
    wheel = ScriptedWheel(alone=False, asked_by="ada@pts/3", seconds_to_refuse=5.0)
    async with opened(size=(120, 40), wheel=wheel) as console:
        await console.until(lambda: "w keeps it (5 s)" in console.text("run-line"))
        await console.press("colon", "w")
        assert (wheel.words, ": w" in console.text("dialog")) == ([], True)
        await console.press("escape", "comma", "w")
        assert (wheel.words, console.said) == (["keep"], "you keep the wheel")
        assert "tune" in console.text("dialog")


async def test_who_steers_and_does_not_refuse_is_told_who_has_the_wheel() -> None:
    wheel = ScriptedWheel(alone=False)
    async with opened(size=(120, 40), wheel=wheel) as console:
        wheel.asked_by, wheel.seconds_to_refuse = "ada@pts/3", 5.0
        await console.until(lambda: "asks for the wheel" in console.text("run-line"))
        wheel.asked_by, wheel.may_steer, wheel.holder = "", False, "ada@pts/3"
        await console.until(lambda: "watching" in console.text("run-line"))
        assert console.said == "ada@pts/3 steers now: w takes the wheel"


class Attached(ScriptedRun):
    """A run under way, whose history comes in pieces, each as soon as it is in `told`."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        before = ScriptedRun(clock)
        before.start()
        self.history = list(before.drain())
        self.awaited = self.history[-1].seq
        self.told: list[Sequence[Record]] = []

    def drain(self) -> Sequence[Record]:
        return self.told.pop(0) if self.told else []


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str | None, str]]:
    """What each paint of the overview shows, by the part's id, from the first one on."""
    frames: list[dict[str | None, str]] = []
    shown = Overview.paint

    def paint(page: Overview, view: View) -> None:
        shown(page, view)
        if parts := page.query(Lines):
            frames.append({part.id: part.text for part in parts if part.display})

    monkeypatch.setattr(Overview, "paint", paint)
    return frames


async def test_a_run_under_way_is_shown_by_the_first_frame_or_what_of_its_history_is_here(painted) -> None:
    clock = HandClock()
    run = Attached(clock)
    app, whole = console_on(run, clock=clock, wheel=ScriptedWheel()), len(run.history)
    async with app.run_test(size=(120, 40)) as pilot:
        assert painted[0]["run-line"].startswith(f" ◌ attaching history 0/{whole} events")
        words = f"history            told so far ░░░░░░░░░░░░░░░░ 0/{whole} events"
        assert words in painted[0]["starting"]
        # Half of it ends long ago: that is no silence.
        clock.now += 60
        run.told.append(run.history[: whole // 2])
        await until(lambda: f"attaching history {whole // 2}/{whole}" in painted[-1]["run-line"], pilot)
        clock.now -= 60
        run.told.append(run.history[whole // 2 :])
        await until(lambda: painted[-1]["run-line"].startswith(" ● running   round 7/20"), pilot)
    assert not any("starting" in frame["run-line"] or "stale" in frame["run-line"] for frame in painted)
    painted.clear()
    run = Attached(clock)
    run.told.append(run.history)
    app = console_on(run, clock=clock, wheel=ScriptedWheel())
    async with app.run_test(size=(120, 40)):
        assert painted[0]["run-line"].startswith(" ● running   round 7/20")


async def test_a_history_that_ends_in_a_long_pause_is_said_to_be_all_there(painted) -> None:
    clock = HandClock()
    run = Attached(clock)
    last = run.history[-1]
    run.awaited += 2
    run.told.append([*run.history, Record(last.seq + 1, last.t, RunPaused(7, 40))])
    app = console_on(run, clock=clock, wheel=ScriptedWheel())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "attaching" in painted[-1]["run-line"], pilot)
        app._pace._rest_since = -1e9
        run.told.append([Record(last.seq + 2, last.t, Unknown("measured", {}))])
        await until(lambda: painted[-1]["run-line"].startswith(" ‖ paused"), pilot)


async def until(condition: Callable[[], bool], pilot: Pilot[str]) -> None:
    for _ in range(500):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("never")


async def test_a_readonly_console_never_asks() -> None:
    wheel = ScriptedWheel(**THEIRS, only_watches=True)
    async with opened(size=(120, 40), wheel=wheel) as console:
        assert "watching: ada@pts/3 steers" in console.text("run-line")
        await console.press("w")
        assert console.said == "this console only watches (--readonly)"
        await console.press("space")
        assert console.run.sent == []
        assert wheel.words == []


async def test_a_hang_up_leaves_the_run_going() -> None:
    async with opened(wheel=ScriptedWheel()) as console:
        before = signal.getsignal(signal.SIGHUP)
        console.app.hang_up()
        await console.until(lambda: console.app.return_value == "detached")
        assert console.run.sent == []
        assert signal.getsignal(signal.SIGHUP) == before


async def test_a_run_that_says_nothing_any_more_is_stale_with_its_process() -> None:
    async with opened(size=(120, 40), wheel=ScriptedWheel()) as console:
        assert "● running" in console.text("run-line")
        console.run.drain = list  # type: ignore[method-assign]
        console.clock.now += 14
        console.app.paint()
        assert "? stale 14s" in console.text("run-line")
        assert "no event since 14:03:09; process 4711 lives" in console.text("run-line")
