"""The page of all rounds: newest first, a cursor that stays on its round, who was out, what was turned."""

from __future__ import annotations

from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import Opened, opened
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT


def rows(console: Opened) -> list[str]:
    return [row for row in console.text("rounds-list").splitlines()[2:] if row.strip()]


async def test_all_rounds_stand_newest_first_and_the_best_one_is_marked() -> None:
    async with opened() as console:
        await console.press("r")
        assert console.text("rounds-list").startswith("━ rounds ━")
        assert "6 of 20 finished   best round 6, hold-out 2.905" in console.text("rounds-list")
        assert [row.split()[0] for row in rows(console)[1:]] == list("6543210")
        assert rows(console)[0].split()[:3] == ["›", "7", "2.860"]
        assert [row.endswith("best") for row in rows(console)] == [row.split()[0] == "6" for row in rows(console)]


async def test_who_was_out_and_what_was_turned_stand_beside_their_rounds() -> None:
    async with opened(size=(120, 40), troubled=True) as console:
        await console.press("r")
        told = {row.removeprefix("›").split()[0]: row[81:].strip() for row in rows(console)}
        assert told["7"] == told["6"] == "~ pharmacy-2   ⊘ port-authority"
        assert told["4"] == "┊ lr 1e-3 → 5e-4   ! port-authority"
        assert told["3"] == ""
        assert told["0"] == "the base alone"
        await console.press("j", "j", "j")
        details = console.text("round-details").splitlines()
        assert details[0].startswith("─ round 4 ─")
        assert details[1].split() == ["out", "!", "port-authority"]
        assert details[2].split() == ["turned", "┊", "lr", "1e-3", "→", "5e-4"]
        assert details[3].split()[:3] == ["saved", "1.9", "MiB"]


async def test_the_cursor_stays_on_its_round_and_on_the_newest_it_goes_along() -> None:
    async with opened() as console:
        await console.press("r", "j", "j")
        assert next(row for row in rows(console) if row.startswith("›")).split()[1] == "5"
        await console.at(SHOWN_AT + 20)
        assert next(row for row in rows(console) if row.startswith("›")).split()[1] == "5"
        await console.press("g")
        await console.at(SHOWN_AT + 40)
        assert next(row for row in rows(console) if row.startswith("›")).split()[1] == str(
            console.app.session.state.round
        )
        await console.press("G")
        assert rows(console)[-1].startswith("›     0 ")


async def test_enter_gives_the_lines_below_to_the_table_and_back() -> None:
    async with opened() as console:
        await console.press("r", "enter")
        assert not console.app.page.query_one("#round-details").display
        await console.press("enter")
        assert console.app.page.query_one("#round-details").display


async def test_of_a_round_under_way_nobody_has_replied_yet_and_its_seconds_stand_still_while_it_is_paused() -> None:
    async with opened(size=(120, 40)) as console:
        await console.press("r")
        assert "nobody so far: 12 take part" in console.text("round-details")
        await console.press("j")
        assert "nobody: 12 replied" in console.text("round-details")
        await console.press("g", "space")
        await console.at(SHOWN_AT + 1)
        assert "‖ paused" in console.text("run-line")
        seconds = rows(console)[0].split()[8]
        assert float(seconds) > 0
        console.clock.now += 500
        await console.press("k")
        assert rows(console)[0].split()[8] == seconds


async def test_the_name_of_a_page_never_touches_what_the_run_is_doing() -> None:
    for width in range(58, 66):
        async with opened(size=(width, 24)) as console:
            await console.press("space", "r")
            await console.at(SHOWN_AT + 1)
            line = console.text("run-line")
            assert "‹" not in line or "  ‹ rounds" in line, width


async def test_where_it_is_low_there_is_no_more_about_a_round_and_the_key_says_so() -> None:
    async with opened(size=(80, 12)) as console:
        await console.press("r", "enter", "enter")
        assert console.said == "too low here for more about a round"


async def test_before_the_first_round_there_is_none() -> None:
    async with opened(at=BEGAN_AT + 0.5, prepare_seconds=1.0) as console:
        await console.press("r", "j")
        assert console.text("round-details").startswith("─ no round yet")


async def test_enter_is_named_by_what_it_does_on_each_page() -> None:
    async with opened(size=(120, 40)) as console:
        await console.press("r")
        assert "enter more" in console.text("last-rows")
        await console.press("l")
        assert "enter whole" in console.text("last-rows")
        await console.press("escape", "escape")
        assert "enter open" in console.text("last-rows")


async def test_who_was_in_quarantine_stands_beside_those_rounds_once_it_is_released_too() -> None:
    async with opened(size=(120, 40), troubled=True) as console:
        console.run.send(cmd.Release("port-authority"))
        await console.at(SHOWN_AT + 20)
        await console.press("r")
        organizations = console.app.session.state.organizations
        assert organizations["port-authority"].state != "quarantine"
        told = {row.removeprefix("›").split()[0]: row[81:].strip() for row in rows(console)}
        assert [number for number, words in told.items() if "⊘ port-authority" in words] == ["7", "6"]
        assert told["8"] == ""
