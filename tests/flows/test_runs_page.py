"""The page of all runs: the list comes from a thread, and the console leaves for another run or says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedlora_tui.console.screens.runs_list import RunsList
from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import LISTED, Opened, ScriptedRuns, opened
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT

NORMAL = (120, 40)


def rows(console: Opened) -> list[str]:
    return [row for row in console.text("run-list").splitlines()[2:] if row.strip()]


async def listed(console: Opened) -> None:
    """Open the page and wait for its list."""
    await console.press("o")
    await console.until(lambda: "1121-1750" in console.text("run-list"))


async def test_all_runs_stand_there_as_the_command_lists_them() -> None:
    async with opened(size=NORMAL, others=ScriptedRuns()) as console:
        await listed(console)
        assert (
            "6 · 1 running · 1 paused · 1 failed · 1 done · 1 stale · 1 unreadable   in runs   newest first"
            in (console.text("run-list").splitlines()[0])
        )
        shown = [row.removeprefix("›").split() for row in rows(console)]
        assert shown[0][:8] == ["●", "running", "1122-1402", "this", "one", "6/20", "2.905", "+0.507"]
        assert shown[2][:6] == ["✗", "failed", "1122-f3", "12/20", "2.712", "+0.700"]
        assert shown[2][-2:] == ["1122-1402", "3"]
        assert shown[5][:3] == ["!", "unreadable", "1120-0900"]


async def test_runs_of_a_race_look_different_on_80_columns() -> None:
    rates = ("5e-4", "1e-3", "0.01")
    found = [replace(LISTED[0], id=f"1122-1402-race-learning_rate-{rate}-rank-16") for rate in rates]
    async with opened(others=ScriptedRuns(found)) as console:
        await console.press("o")
        await console.until(lambda: "running" in console.text("run-list"))
        assert all(rate in console.text("run-list") for rate in rates)


async def test_a_run_that_starts_goes_on_without_a_console_that_leaves_it() -> None:
    async with opened(at=BEGAN_AT + 0.5, prepare_seconds=1.0, others=ScriptedRuns()) as console:
        await listed(console)
        await console.press("j", "j", "j")
        assert "replays its journal here; the run that starts goes on without it" in console.text("run-keys")


async def test_keys_are_answered_while_the_list_is_read() -> None:
    others = ScriptedRuns()
    others.may_answer.clear()
    async with opened(others=others) as console:
        await console.press("o", "enter")
        assert "reading…" in console.text("run-list")
        assert console.said == "no run is selected"
        others.may_answer.set()
        await console.until(lambda: "1121-1750" in console.text("run-list"))


@pytest.mark.parametrize(
    ("row", "goes"), [(1, ("attach", "1122-1355-k7")), (3, ("replay", "1121-1750")), (4, ("replay", "1121-1300"))]
)
async def test_enter_watches_what_goes_on_and_replays_what_is_over(row: int, goes: tuple[str, str]) -> None:
    async with opened(size=NORMAL, others=ScriptedRuns()) as console:
        await listed(console)
        await console.press(*["j"] * row)
        assert "1122-1402 goes on without it" in console.text("run-keys")
        await console.press("enter")
        await console.until(lambda: console.app.return_value == "other")
        assert console.app.goes_to == goes
        assert console.run.sent == []


@pytest.mark.parametrize(
    ("row", "key", "reason"),
    [
        (0, "enter", "this run is the one that is shown"),
        (0, "space", "1122-1402 is at work: enter watches it"),
        (3, "space", "1121-1750 is done: fedlora-tui fork 1121-1750 --round 20 goes on from there"),
        (5, "enter", "cannot be read: events.jsonl: a line is no event"),
        (5, "space", "1120-0900 cannot be read: events.jsonl: a line is no event"),
    ],
)
async def test_what_cannot_be_done_with_a_run_is_said(row: int, key: str, reason: str) -> None:
    async with opened(others=ScriptedRuns()) as console:
        await listed(console)
        await console.press(*["j"] * row, key)
        assert console.said == reason
        assert console.app.is_running


async def test_a_fork_is_suggested_where_the_run_lies(tmp_path: Path) -> None:
    async with opened(size=NORMAL, others=ScriptedRuns(), options={"runs_folder": str(tmp_path)}) as console:
        await listed(console)
        await console.press("j", "j", "j", "space")
        assert console.said.startswith(f"1121-1750 is done: fedlora-tui fork {tmp_path}/1121-1750 --round 20")


async def test_of_a_run_that_is_over_it_says_that() -> None:
    async with opened(size=NORMAL, at=SHOWN_AT + 400, others=ScriptedRuns()) as console:
        await listed(console)
        await console.press("j")
        assert "watches it here; 1122-1402 is over" in console.text("run-keys")


async def test_while_the_runs_are_being_ended_the_console_does_not_leave_them() -> None:
    async with opened(others=ScriptedRuns()) as console:
        await listed(console)
        console.app.runs.leave_by(cmd.Finish())
        await console.until(lambda: console.app.session.state.phase == "finishing")
        await console.press("j", "enter")
        await console.until(lambda: "being ended" in console.said)
        assert console.app.is_running


async def test_the_cursor_stays_on_its_run_when_another_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlora_tui.console.screens.runs_list.AGAIN_SECONDS", 0.05)
    others = ScriptedRuns(LISTED[1:])
    async with opened(others=others) as console:
        await listed(console)
        await console.press("j", "j")
        assert next(row for row in rows(console) if row.startswith("›")).split()[3] == "1121-1750"
        others.runs = LISTED
        await console.until(lambda: "1122-1402" in console.text("run-list"))
        assert next(row for row in rows(console) if row.startswith("›")).split()[3] == "1121-1750"


async def test_a_list_that_cannot_be_read_says_why() -> None:
    class Broken(ScriptedRuns):
        def __call__(self):
            raise OSError("the disk is gone")

    async with opened(others=Broken()) as console:
        await console.press("o")
        await console.until(lambda: "the runs cannot be listed: the disk is gone" in console.text("run-list"))


async def test_a_new_size_keeps_the_cursor() -> None:
    async with opened(others=ScriptedRuns()) as console:
        await listed(console)
        await console.press("G", "k")
        await console.pilot.resize_terminal(200, 60)
        await console.pilot.pause()
        assert isinstance(console.app.page, RunsList)
        assert next(row for row in rows(console) if row.startswith("›")).split()[3] == "1121-1300"
