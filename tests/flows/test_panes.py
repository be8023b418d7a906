"""Panes by their numbers: the focus, one of them alone, all back; what the x-axis of a chart goes by."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.opened import opened
from tests.flows.scripted_run import SHOWN_AT
from tests.flows.test_overview import lines
from tests.flows.test_replaying import journal_until, replayed

NORMAL, WIDE = (120, 40), (200, 60)
RACE: dict[str, Any] = {"rank 2": 0.7, "rank 4": {"rounds": 8}, "rank 8": 1.2}


async def test_a_number_puts_the_focus_in_its_pane_and_again_shows_it_alone() -> None:
    async with opened(size=WIDE) as console:
        for number, name in (("1", "loss"), ("3", "machine"), ("4", "log"), ("5", "rounds"), ("2", "table")):
            await console.press(number)
            assert console.text(name).startswith(f"━ {number} ")
            assert console.said == f"pane {number}: {number} again shows it alone"
        await console.press("5", "5")
        shown = lines(console)
        assert shown[2].startswith("━ 5 rounds ━")
        assert shown[2].endswith(" newest first ━")
        assert "round 7/20" in shown[0]
        assert "quit" in shown[-1]
        assert not any("2 organizations" in line for line in shown)
        await console.press("3")
        assert lines(console)[2].startswith("━ 3 machine ━")
        await console.press("escape")
        assert console.said == "all panes are back"
        assert console.text("rounds").startswith("━ 5 rounds")


@pytest.mark.parametrize("size", [(80, 24), NORMAL, WIDE, (66, 17), (40, 10)])
@pytest.mark.parametrize(("number", "head"), [("1", "1 loss"), ("3", "3 machine"), ("4", "4 log"), ("5", "5 rounds")])
async def test_every_pane_fills_every_size_alone(size: tuple[int, int], number: str, head: str) -> None:
    async with opened(size=size) as console:
        await console.press(number, number)
        shown = lines(console)
        assert shown[2].startswith(f"━ {head}")
        assert len(shown[2]) == size[0]
        assert "quit" in shown[-1]
        await console.press("0")
        assert "bank-" in console.text("table")
        assert any("2 organizations" in line for line in lines(console))


async def test_a_pane_that_has_no_place_is_shown_alone_at_once() -> None:
    async with opened() as console:
        await console.press("1")
        assert console.said == "pane 1 alone: 0 brings all panes back"
        assert "●" in console.text("loss")
        await console.press("1")
        assert console.said == "it is alone already: 0 brings all panes back"
        await console.press("j")
        assert console.said == "there are no rows to move in: 0 brings all panes back"
        await console.press("tab")
        assert console.said == "this pane is alone: 0 brings all back"
        await console.press("2", "j")
        assert console.app.session.selected == "city-permits"
        assert len(console.text("table").splitlines()) == 2 + 12


async def test_what_is_not_there_is_said() -> None:
    async with opened(race={"rank 2": 0.7, "rank 4": 1.0}) as console:
        await console.press("c", "3")
        assert console.said == "there is no pane 3 here: 1 to 2"
        await console.press("0")
        assert console.said == "all panes are here: a pane's key twice shows it alone"


async def test_the_focus_comes_back_with_the_pane_that_lost_its_place() -> None:
    async with opened(size=NORMAL) as console:
        await console.press("1")
        await console.pilot.resize_terminal(80, 24)
        await console.pilot.pause(0.1)
        assert console.app.overview.focused_pane == "table"
        await console.pilot.resize_terminal(*NORMAL)
        await console.pilot.pause(0.1)
        assert console.app.overview.focused_pane == "loss"
        await console.press("1")
        await console.pilot.resize_terminal(80, 24)
        await console.pilot.pause(0.1)
        assert lines(console)[2].startswith("━ 1 loss")


async def test_a_failure_keeps_its_box_beside_a_pane_that_is_alone() -> None:
    async with opened(fail_at=(7, 50)) as console:
        await console.press("4", "4")
        await console.at(SHOWN_AT + 3)
        shown = "\n".join(lines(console))
        assert "GPU_IS_LOST" in shown
        assert "━ 4 log" in shown


async def test_the_x_axis_goes_by_the_plan_by_what_is_behind_and_by_the_last_rounds() -> None:
    async with opened(size=NORMAL) as console:
        assert console.text("loss").splitlines()[-1].endswith("20")
        await console.press("z")
        assert console.said == "x-axis: so far"
        assert console.text("loss").startswith("─ 1 loss, so far ─")
        assert console.text("loss").splitlines()[-1].endswith("7")
        await console.press("z")
        assert console.said == "x-axis: the last 20 rounds"
        await console.press("z")
        assert console.text("loss").startswith("─ 1 loss ─")
    async with opened(size=NORMAL, at=SHOWN_AT + 300, rounds=60) as console:
        await console.press("z", "z")
        round = console.app.session.state.round
        assert round > 25
        axis = console.text("loss").splitlines()[-1]
        assert axis.endswith(str(round))
        assert "└0" not in axis


async def test_runs_are_compared_by_rounds_tokens_and_seconds() -> None:
    async with opened(size=NORMAL, race=RACE) as console:
        await console.press("c")
        assert console.text("compare-chart").startswith("─ 1 hold-out loss by round ─")
        await console.press("z")
        assert console.said == "x-axis: tokens"
        assert console.text("compare-chart").startswith("─ 1 hold-out loss by thousands of tokens ─")
        assert all(sign in console.text("compare-chart") for sign in "●○◆")
        await console.press("z")
        assert console.text("compare-chart").startswith("─ 1 hold-out loss by seconds ─")
        await console.press("z")
        assert console.text("compare-chart").startswith("─ 1 hold-out loss by round ─")


async def test_the_comparisons_panes_have_numbers_too() -> None:
    async with opened(size=NORMAL, race=RACE) as console:
        await console.press("c", "1")
        assert console.text("compare-chart").startswith("━ 1 hold-out")
        assert console.text("run-table").startswith("─ 2 runs")
        await console.press("1")
        shown = lines(console)
        assert shown[2].startswith("━ 1 hold-out")
        assert not any("2 runs" in line for line in shown)
        await console.press("2")
        assert lines(console)[2].startswith("━ 2 runs")
        await console.press("escape")
        assert console.said == "all panes are back"
        await console.press("3")
        assert console.said == "there is no pane 3 here: 1 to 2"
        await console.press("escape")
        assert console.app.screen is console.app.overview


async def test_a_replay_has_its_panes_and_its_axis() -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, len(records), size=NORMAL) as console:
        await console.press("1", "1", "z")
        assert console.text("loss").startswith("━ 1 loss, so far ━")
        await console.press("0")
        assert console.said == "all panes are back"


async def test_what_waits_for_the_next_round_stands_with_its_costs_beside_the_log() -> None:
    async with opened(size=(200, 60)) as console:
        title, *before = console.text("waits").splitlines()
        assert title.startswith("─ 6 waits for round 8 ─")
        assert before[1].endswith("12 of 12 train, 64 steps each")
        assert "13.5 MiB, 9.0 s" in before[3]
        await console.press("right_square_bracket", "plus", "a", "j", "d")
        shown = console.text("waits")
        for words in (
            "rank 8         147k → 295k trainable, a round 13.5 → 27.0 MiB",
            "Exact: every product B·A stays as it is",
            "+ clinic-9     starts with the adapter of round 7",
            "− city-permits 11 stay",
        ):
            assert words in shown, shown
    async with opened() as console:
        await console.press("6")
        assert console.said == "pane 6 alone: 0 brings all panes back"
        assert "nothing waits" in console.text("waits")
