"""A race on the console: all runs side by side, each of them in front, and what concerns all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fedlora_tui.config import Setting, load
from fedlora_tui.console.app import ConsoleApp
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.screens.compare import Compare
from fedlora_tui.console.screens.export import ExportDialog
from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.console.standing import title
from fedlora_tui.console.widgets.lines import Lines
from fedlora_tui.engine.race import Race, entries
from fedlora_tui.engine.run import Manner
from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import UTF8, Opened, opened
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT
from tests.flows.test_overview import lines
from tests.tiny_runs import GUARD, small_settings

FOUR = {"rank 2": 0.7, "rank 4": 1.0, "rank 8": 1.2, "rank 16": 1.3}
SIXTEEN = {f"rank {rank}, learning rate {rate}": 0.3 + rank / 20 for rank in (2, 4, 8, 16) for rate in range(4)}
UNEQUAL: dict[str, Any] = {"rounds 7": {"rounds": 7}, "rounds 20": {"rounds": 20}}
NEXT, PREVIOUS = "greater_than_sign", "less_than_sign"


async def test_all_runs_stand_side_by_side() -> None:
    async with opened(race=FOUR) as console:
        await console.press("c")
        shown = lines(console)
        assert shown[0].endswith("‹ compare   4 runs ")
        assert "● rank 2" in shown[2]
        chart = "".join(shown[3:13])
        assert chart.count("●") == 7
        assert all(sign in chart for sign in "○◆◇")
        assert shown[14].endswith(" 4 · 4 running ━")
        assert shown[15].startswith("    run       differs in                 round hold-out   gain  ↑↓ MiB    time")
        assert shown[16].startswith("› ● …m-rank-2 rank 2                      7/20    3.057 +0.340    87.8  1m 02s")
        assert shown[19].startswith("  ◇ …-rank-16 rank 16                     7/20    2.753 +0.644    87.8  1m 02s")
        assert shown[20].rstrip() == "  at round 6   ● 3.057   ○ 2.905  −0.152   ◆ 2.804  −0.253   ◇ 2.753  −0.304"
        assert shown[23].rstrip().endswith("? help  esc back")


async def test_their_ids_show_where_they_differ_on_80_columns() -> None:
    async with opened((80, 24), race={"rank 2": 0.7, "rank 16": 1.0}) as console:
        await console.press("c")
        assert [line[4:13] for line in console.text("run-table").splitlines()[2:4]] == ["…m-rank-2", "…-rank-16"]


async def test_the_cursor_chooses_and_enter_shows_that_run() -> None:
    async with opened(size=(120, 40), race=FOUR) as console:
        await console.press("j", "j", "c", "G", "k")
        assert "◆ rank 8" in lines(console)[2]
        assert "at round 6   ◆ 2.804   ● 3.057  +0.253" in console.text("at-round")
        await console.press("enter")
        assert console.app.screen is console.app.overview
        assert "rank 8 · 3 of 4" in lines(console)[0]
        assert console.app.session.selected == "hospital-ward"
        assert "hold-out 2.804" in console.text("loss")


async def test_escape_leaves_the_run_in_front_that_was() -> None:
    async with opened(race=FOUR) as console:
        await console.press(NEXT, "c", "G", "escape")
        assert console.app.session.label == "rank 4"
        await console.press("escape")
        assert console.said == "nothing to leave here: q leaves the console"


async def test_each_run_can_be_put_in_front_on_the_overview() -> None:
    async with opened(size=(120, 40), race=FOUR) as console:
        await console.press("j")
        seen = []
        for _ in FOUR:
            seen.append(console.text("run-line").split("left")[1].split("·")[0].strip())
            assert "› city-permits" in console.text("table")
            await console.press(NEXT)
        assert seen == list(FOUR)
        await console.press(PREVIOUS)
        assert "rank 16 · 4 of 4" in console.text("run-line")


async def test_other_runs_lie_quietly_behind_the_one_that_is_shown() -> None:
    async with opened(size=(120, 40), race=FOUR) as console:
        loss = console.text("loss")
        assert "○ other runs" in loss
        assert loss.partition("\n")[2].count("○") >= 2
    async with opened(size=(120, 40)) as console:
        assert "○" not in console.text("loss")


async def test_what_is_asked_of_one_is_asked_of_all_but_exports() -> None:
    async with opened(race=FOUR) as console:
        await console.press("c", "j", "space")
        assert [racer.sent for racer in console.racers] == [[cmd.Pause()]] * 4
        await console.at(SHOWN_AT + 1)
        assert "4 · 4 paused" in console.text("run-table")
        assert console.said == "paused at step 41, nothing lost"
        await console.press("e")
        assert isinstance(console.app.screen, ExportDialog)
        assert "runs/1122-1402-k7m-rank-4/exports/round-0006" in console.text("dialog")
        await console.press("enter")
        assert [len(racer.sent) for racer in console.racers] == [1, 2, 1, 1]
        assert console.said.startswith("written: runs/1122-1402-k7m-rank-4/exports/round-0006")


async def test_keys_of_organizations_and_panes_say_why_they_do_nothing_here() -> None:
    async with opened(race=FOUR) as console:
        await console.press("c", "d")
        assert console.said == "no organization is selected"
        await console.press("tab")
        assert console.said == "the runs are the only rows here"
        await console.press("n")
        assert console.said == "n does nothing here: ? lists the keys"
        assert console.racers[0].sent == []


async def test_the_comparison_lives() -> None:
    async with opened(race=FOUR) as console:
        await console.press("c")
        console.clock.now = SHOWN_AT + 6
        await console.until(lambda: "at round 7" in console.text("at-round"))
        await console.until(lambda: "8/20" in console.text("run-table"))
        assert console.text("compare-chart").count("●") == 8 + 1


async def test_runs_that_end_sooner_say_so_and_the_console_waits_for_the_last() -> None:
    async with opened(at=SHOWN_AT + 30, race=UNEQUAL) as console:
        assert console.app.session.state.phase == "done"
        await console.press("c")
        assert "rounds 7   ✓ done" in console.text("run-table")
        assert "2 · 1 running · 1 done" in console.text("run-table")
        assert title(console.app.view()).startswith("● 10/20 ")
        await console.press("q")
        assert isinstance(console.app.screen, LeaveDialog)
        assert "Round 10/20 is running" in console.text("dialog")
        assert "1 of 2 runs go on, and end together." in console.text("dialog")
        await console.press("s")
        console.clock.now += 1
        await console.until(lambda: console.app.return_value == "stop")
        assert [state.phase for state in console.app.runs.states] == ["done", "stopped"]


async def test_how_runs_ended_stands_in_one_column() -> None:
    labels = {"rank 2, rate 5e-4": {"rounds": 7}, "rank 16": {"rounds": 6}, "rank 4": {"rounds": 20}}
    async with opened((120, 40), at=SHOWN_AT + 30, race=labels) as console:
        await console.press("c")
        done = [row for row in console.text("run-table").splitlines() if "✓ done" in row]
        assert len({row.index("✓ done") for row in done}) == 1
        assert len(done) == 2


async def test_when_all_have_ended_the_console_is_left_at_once() -> None:
    async with opened(at=SHOWN_AT + 400, race=UNEQUAL) as console:
        await console.press("q")
        await console.until(lambda: console.app.return_value == "over")
        assert [racer.sent for racer in console.racers] == [[], []]


async def test_one_run_that_cannot_begin_ends_the_console() -> None:
    async with opened(race={"rank 2": 1.0, "rank 4": {"refusal": "rank 4 is too much"}}) as console:
        await console.until(lambda: console.app.return_value == "refused")
        assert console.app.runs.refusal == "rank 4 is too much"


async def test_a_run_that_fails_behind_the_one_in_front_is_told() -> None:
    async with opened(race={"rank 2": 1.0, "rank 4": {"fail_at": (7, 50)}}) as console:
        await console.at(SHOWN_AT + 3)
        assert console.said.startswith("rank 4: the run failed")
        await console.press("c")
        assert "rank 4  ✗ failed" in console.text("run-table")
        await console.press("j", "enter")
        assert "GPU_IS_LOST" in console.text("failed")


async def test_the_bell_rings_for_a_failure_and_for_the_end_of_all_not_of_one() -> None:
    race = {**UNEQUAL, "rank 9": {"fail_at": (8, 10)}}
    async with opened(race=race, options={"bell": True}) as console:
        rung: list[float] = []
        console.app.bell = lambda: rung.append(console.clock.now)  # type: ignore[method-assign]
        await console.at(SHOWN_AT + 4)
        assert console.app.session.state.phase == "done"
        assert rung == []
        for later in (20, 30, 400, 410):
            await console.at(SHOWN_AT + later)
        assert rung == [SHOWN_AT + 20, SHOWN_AT + 400]


async def test_the_title_names_the_best_run() -> None:
    async with opened(race=FOUR) as console:
        assert title(console.app.view()) == "● 7/20 2.753 rank 16 fedlora"
    async with opened() as console:
        assert title(console.app.view()) == "● 7/20 2.905 fedlora"


@pytest.mark.parametrize("race", [FOUR, SIXTEEN], ids=["four", "sixteen"])
@pytest.mark.parametrize("size", [(200, 60), (200, 24), (120, 40), (100, 60), (80, 24), (66, 17), (40, 10)])
async def test_every_size_shows_the_run_in_front_and_fills_the_terminal(
    size: tuple[int, int], race: dict[str, float]
) -> None:
    async with opened(size=size, race=race) as console:
        await console.press("c", "G")
        shown = lines(console)
        assert "running" in shown[0]
        assert shown[-1].rstrip().endswith("esc back")
        (row,) = (line for line in shown if line.startswith("› "))
        assert row[2] == console.app.look.glyphs.series(len(race) - 1)
        assert "rank 16" in row


async def test_a_terminal_that_is_too_small_gets_one_line_and_grows_back() -> None:
    async with opened(size=(70, 8), race=FOUR) as console:
        await console.press("c")
        assert lines(console)[0].startswith("● running rank 2 round 7/20 hold-out 3.057 (terminal too small)")
        await console.pilot.resize_terminal(120, 40)
        await console.until(lambda: "1 hold-out loss by round" in lines(console)[2])
        await console.press("escape")
        assert "1 loss" in lines(console)[6]
        assert all(line.strip() for line in lines(console)[-1:])


async def test_wheel_and_click_choose_a_run() -> None:
    from textual.events import MouseScrollDown

    async with opened(race=FOUR) as console:
        await console.press("c")
        await console.pilot.click("#run-table", offset=(5, 4))
        assert console.app.session.label == "rank 8"
        await console.pilot._post_mouse_events([MouseScrollDown], "#run-table", offset=(5, 4))
        await console.pilot.pause()
        assert console.app.session.label == "rank 16"


async def test_it_can_be_opened_while_the_runs_start() -> None:
    async with opened(at=BEGAN_AT + 0.5, prepare_seconds=1.0, race=FOUR) as console:
        await console.press("c")
        assert "4 · 4 starting" in console.text("run-table")
        assert console.text("at-round") == ""
        await console.at(SHOWN_AT)
        assert "4 · 4 running" in console.text("run-table")


async def test_ascii_alone() -> None:
    async with opened(size=(120, 40), options={"ascii": True}, race=SIXTEEN) as console:
        await console.press("c")
        assert "".join(lines(console)).isascii()


async def test_keys_typed_ahead_reach_the_comparison() -> None:
    from textual import events

    async with opened(race=FOUR) as console:
        for key in ("c", "j", "j", "enter"):
            console.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await console.until(lambda: console.said == "rank 8 is shown, 3 of 4")


async def test_a_real_race_is_compared_and_left(tmp_path: Path) -> None:
    laid = [Setting(name, str(value), name) for name, value in small_settings(tmp_path).items()]
    race = Race(entries(["lora.rank=1,2"], lambda raced: load(None, [*laid, *raced])), Manner(patient=True))
    options = ConsoleOptions(bell=False)
    app = ConsoleApp(race.racers, options, look=look_for(options, UTF8, "utf-8"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("c")
        assert isinstance(app.screen, Compare)
        for _ in range(int(GUARD / 0.05)):
            if app.runs.ended and app.screen.query_one("#run-table", Lines).text.count("✓ done") == 2:
                break
            await asyncio.sleep(0.05)
        console = Opened(app, pilot, None, None)  # type: ignore[arg-type]
        table = console.text("run-table")
        for place, label in enumerate(("rank 1", "rank 2")):
            state = race.runs[place].state
            (row,) = (line for line in table.splitlines() if f"{label}  ✓ done" in line)
            assert f"2/2     {state.eval_loss:.3f}" in row
        assert "at round 2" in console.text("at-round")
        await pilot.press("q")
        await console.until(lambda: app.return_value == "over")
    assert [state.phase for state in app.runs.states] == ["done", "done"]
    race.close()
