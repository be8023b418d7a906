"""A journal in the console, by its keys: what they do in a replay, and what they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fedlora_tui.console.app import ConsoleApp
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.player import Replay
from fedlora_tui.console.screens.drift import DriftDialog
from fedlora_tui.console.screens.help import HelpDialog
from fedlora_tui.console.standing import title
from fedlora_tui.protocol.events import Record, RoundFinished
from fedlora_tui.protocol.state import RunState, fold
from tests.flows.opened import UTF8, Opened
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT, HandClock, ScriptedRun


def journal_until(t: float, **script: Any) -> list[Record]:
    """What the scripted run had told by a moment."""
    run = ScriptedRun(HandClock(t), **script)
    run.start()
    return list(run.drain())


@asynccontextmanager
async def replayed(
    records: list[Record], place: int = 0, size: tuple[int, int] = (80, 24), **options: Any
) -> AsyncIterator[Opened]:
    """Open the console on a replay that stands still at a place, the beginning unless told otherwise."""
    clock = HandClock(0.0)
    replay = Replay(records, 1.0, clock)
    chosen = ConsoleOptions(bell=True, run="1122-1402", **options)
    app = ConsoleApp([replay], chosen, look=look_for(chosen, UTF8, "utf-8"))
    async with app.run_test(size=size) as pilot:
        console = Opened(app, pilot, replay, clock)  # type: ignore[arg-type]
        await console.until(lambda: replay.playing.plays or not app.is_running)
        replay.stop()
        app.session._go(place)  # type: ignore[attr-defined]
        app.paint()
        yield console


def rounds_end(records: list[Record], round: int) -> int:
    """The place where a round is over."""
    ends = [n for n, r in enumerate(records, 1) if isinstance(r.event, RoundFinished) and r.event.round == round]
    return ends[0]


async def watch(console: Opened, seconds: float) -> None:
    """Let time pass, half a second a look."""
    for _ in range(round(seconds * 2)):
        console.clock.now += 0.5
        console.app.runs.poll()
    console.app.paint()
    await console.pilot.pause()


async def test_it_plays_from_the_beginning_and_space_stops_and_goes_on() -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records) as console:
        await console.press("space")
        await watch(console, 25.0)
        assert console.app.session.state.round == 3
        assert "▷ replay ×1" in console.text("run-line")
        await console.press("space")
        assert "▷ replay stopped" in console.text("run-line")
        assert console.said.startswith("stopped at ")
        shown = console.app.session.state
        console.clock.now += 30.0
        await console.pilot.pause(0.3)
        assert console.app.session.state is shown
        await console.press("p")
        await watch(console, 5.0)
        assert console.app.session.state.round == 4


async def test_the_brackets_go_from_rounds_end_to_rounds_end() -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, rounds_end(records, 4)) as console:
        await console.press("right_square_bracket")
        assert console.app.session.state == fold(RunState(), records[: rounds_end(records, 5)])
        assert "round  5/20" in console.text("run-line") or "round 5/20" in console.text("run-line")
        assert console.said == "the end of round 5"
        await console.press("left_square_bracket", "left_square_bracket")
        assert console.app.session.state == fold(RunState(), records[: rounds_end(records, 3)])


async def test_plus_and_minus_change_the_speed_and_say_so() -> None:
    async with replayed(journal_until(SHOWN_AT)) as console:
        await console.press("plus", "plus")
        assert console.said == "speed ×4"
        await console.press("space")
        assert "▷ replay ×4" in console.text("run-line")
        await console.press("minus")
        assert "▷ replay ×2" in console.text("run-line")


async def test_times_on_the_screen_are_those_of_the_recording() -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, len(records), size=(200, 60)) as console:
        view = console.app.view()
        assert view.now == records[-1].t
        assert view.said is not None
        assert view.said.t == records[-1].t
        line = console.text("run-line")
        assert "recorded 14:03:" in line
        left, gone = view.state.seconds_left(SHOWN_AT), SHOWN_AT - BEGAN_AT
        assert left is not None
        assert "left" in line
        assert f"1m {gone - 60:02.0f}s gone" in line


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a", "a replay cannot be changed"),
        ("A", "a replay cannot be changed"),
        ("d", "a replay cannot be changed"),
        ("u", "a replay cannot be changed"),
        ("right_curly_bracket", "a replay cannot be changed"),
        ("comma", "a replay cannot be tuned"),
        ("e", "a replay has no adapter: fedlora-tui export RUN"),
        ("w", "nobody steers a replay"),
        ("c", "one run is replayed, with none beside it"),
        ("less_than_sign", "one run is replayed, with none beside it"),
    ],
)
async def test_what_would_change_the_run_is_refused(key: str, reason: str) -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, rounds_end(records, 4)) as console:
        before = console.app.session.state
        await console.press(key)
        assert console.said == reason
        assert reason in console.text("last-rows")
        assert console.app.session.state is before


async def test_what_went_before_the_journal_is_behind_the_run() -> None:
    records = journal_until(SHOWN_AT, prepare_seconds=1.0)
    joined = next(n for n, record in enumerate(records) if record.event.type == "run_started")
    async with replayed(records[joined:], 3) as console:
        assert [line.strip()[0] for line in console.text("starting").splitlines()[:5]] == ["✓", "✓", "✓", "✓", "·"]


async def test_looking_is_as_in_a_run() -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, rounds_end(records, 4)) as console:
        await console.press("j", "j")
        assert console.app.session.selected == "hospital-ward"
        await console.press("b")
        assert isinstance(console.app.screen, DriftDialog)
        await console.press("escape", "question_mark")
        assert isinstance(console.app.screen, HelpDialog)
        text = console.text("dialog")
        assert "play, stop" in text
        assert "a round back, on" in text
        assert "slower, faster" in text
        assert "add one" not in text


async def test_the_footer_has_the_keys_that_act_and_the_title_says_replay() -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, rounds_end(records, 4)) as console:
        footer = console.text("last-rows").splitlines()[-1]
        assert footer.split("  ")[:3] == [" space play", "[ ] round", "- + speed"]
        assert footer.rstrip().endswith("? help  q quit")
        assert "add" not in footer
        assert title(console.app.view()) == "▷ replay 4/20 2.989 fedlora"
        await console.press("space")
        assert console.text("last-rows").splitlines()[-1].startswith(" space stop")


async def test_it_stays_on_the_last_frame_and_rings_no_bell() -> None:
    records = journal_until(SHOWN_AT + 400)
    async with replayed(records, len(records) - 3) as console:
        rung: list[bool] = []
        console.app.bell = lambda: rung.append(True)  # type: ignore[method-assign]
        await console.press("space")
        await watch(console, 10.0)
        assert console.app.session.state.phase == "done"
        await console.pilot.pause(0.3)
        assert console.app.is_running
        assert rung == []
        assert "▷ replay at end" in console.text("run-line")
        assert "now good" not in console.text("last-rows")
        await console.press("space")
        assert console.said == "the recording ends here: [ goes a round back"
        await console.press("left_square_bracket")
        assert console.app.session.state.phase == "running"
        assert "▷ replay stopped" in console.text("run-line")


async def test_a_failed_run_offers_what_can_be_done_in_a_replay() -> None:
    records = journal_until(SHOWN_AT + 30, fail_at=(7, 20))
    async with replayed(records, len(records)) as console:
        box = console.text("failed")
        assert "gpu 0 is gone" in box
        assert "[  a round back" in box
        assert "export" not in box


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_leaving_asks_nothing(key: str) -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, rounds_end(records, 4)) as console:
        await console.press(key)
        await console.until(lambda: not console.app.is_running)
        assert console.app.return_value == "over"


async def test_the_box_of_commands_refuses_what_would_change_the_run_and_looks_otherwise() -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, rounds_end(records, 4)) as console:
        for line, reason in (
            ("rank 8", "a replay cannot be tuned"),
            ("steps 8", "a replay cannot be tuned"),
            ("add", "a replay cannot be changed"),
            ("export best", "a replay has no adapter: fedlora-tui export RUN"),
        ):
            await console.press("colon", *[{" ": "space"}.get(letter, letter) for letter in line], "enter")
            assert reason in console.text("dialog")
            await console.press("escape")
        await console.press("colon", *"theme", "space", *"light", "enter")
        assert console.said == "light colours"
