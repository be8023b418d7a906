"""Drift, cosines, norms and turned settings where the console shows them."""

from __future__ import annotations

import pytest

from fedlora_tui.console.screens.drift import short_names
from tests.flows.opened import Opened, opened
from tests.flows.scripted_run import SHOWN_AT


def dialog(console: Opened) -> list[str]:
    return console.text("dialog").splitlines()


def listed(console: Opened) -> list[str]:
    """The first words of the rows of the list that is shown."""
    rows = dialog(console)[5:-3]
    return [row.strip("│ ").split()[0] for row in rows if row.strip("│ ")]


async def test_the_table_shows_each_organizations_cosine_and_a_dash_where_none_is_known() -> None:
    async with opened(size=(120, 40)) as console:
        head, *rows = console.text("table").splitlines()[1:]
        end = head.index("cos") + 3
        shown = {row.split()[0 if row[1] != "›" else 1]: row[end - 5 : end].strip() for row in rows}
        assert shown["pharmacy-1"] == "0.79"
        assert shown["port-authority"] == "–"
        assert len(shown) == 12


async def test_a_wide_terminal_shows_how_drift_and_cosines_went_and_what_was_turned() -> None:
    async with opened(size=(200, 60)) as console:
        shown = console.text("rounds").splitlines()
        assert shown[1].split() == ["round", "train", "hold-out", "change", "drift", "cos", "↑↓", "MiB", "sec", "orgs"]
        assert shown[2].split() == ["7", "2.860", "–", "–", "–", "–", "–", "5.5", "12"]
        assert "  0.041  0.70  " in shown[3]
        lines = {line.split()[0]: line for line in shown[9:] if line.strip()}
        assert lines["drift"].endswith("  0.071 → 0.041 of the ideal update lost")
        assert lines["cos"].endswith("  0.57 → 0.70 organizations pull together")
        assert lines["knobs"] == "  knobs  ┊ round 4 lr 1e-3 → 5e-4"
        assert lines["drift"][9] == "█"
        assert lines["drift"][20] == "▁"


@pytest.mark.parametrize("size", [(120, 40), (200, 60), (100, 32)])
async def test_a_turned_rate_is_marked_on_the_loss_curve_at_its_round(size: tuple[int, int]) -> None:
    async with opened(size=size) as console:
        rows = console.text("loss").splitlines()[1:]
        assert "┊ lr 5e-4" in rows[0]
        column = rows[0].index("┊")
        assert abs(column - 7 - 3 / 20 * (len(rows[-1]) - 8)) < 1


async def test_what_is_turned_now_is_marked_once_it_acts() -> None:
    async with opened(size=(120, 40)) as console:
        await console.press("right_square_bracket", "plus")
        assert "rank 8" not in console.text("loss")
        await console.at(SHOWN_AT + 6)
        rows = console.text("loss").splitlines()
        assert "┊ lr 5e-4" in rows[1]
        assert any("┊ rank 8" in row for row in rows)
        assert any("┊ rounds 21" in row for row in rows)


async def test_modules_stand_with_the_largest_drift_first_and_equal_ones_in_the_models_order() -> None:
    async with opened() as console:
        await console.press("b")
        numbers = [11, 9, 7, 5, 3, 1, 0, 2, 4, 6, 8, 10]
        assert listed(console) == [f"h.{number}.attn.c_attn" for number in numbers]
        text = console.text("dialog")
        assert "round  ‹ 6 ›  the newest     drift 0.041     cos 0.70" in text
        assert "share of the ideal update lost; a whole bar is 0.104" in text
        assert "0.060" in dialog(console)[5]


async def test_an_older_round_is_shown_under_the_same_scale_and_stays_when_a_new_one_comes() -> None:
    async with opened() as console:
        await console.press("b", "left", "left")
        assert "‹ 4 ›  of 6     drift 0.047     cos 0.68" in console.text("dialog")
        assert "a whole bar is 0.104" in console.text("dialog")
        await console.at(SHOWN_AT + 6)
        assert "‹ 4 ›  of 7" in console.text("dialog")
        await console.press("right", "right", "right", "right")
        assert "‹ 7 ›  the newest" in console.text("dialog")
        await console.at(SHOWN_AT + 15)
        assert "‹ 8 ›  the newest" in console.text("dialog")
        await console.press(*["left"] * 12)
        assert "‹ 1 ›  of 8" in console.text("dialog")


async def test_tab_shows_organizations_and_who_pulls_least_with_the_others_comes_first() -> None:
    async with opened() as console:
        await console.press("b", "tab")
        names = listed(console)
        assert names[:2] == ["school", "law-firm"]
        assert names[-2:] == ["pharmacy-1", "port-authority"]
        last = next(line for line in dialog(console) if "port-authority" in line)
        assert last.strip("│ ").split() == ["port-authority", "–", "–"]
        await console.press("tab")
        assert "h.11.attn.c_attn" in console.text("dialog")


async def test_both_lists_stand_side_by_side_where_there_is_room() -> None:
    async with opened(size=(120, 40)) as console:
        await console.press("b")
        first = dialog(console)[5]
        assert "h.11.attn.c_attn" in first
        assert "school" in first
        assert {len(line) for line in dialog(console)} == {116}


async def test_many_modules_scroll() -> None:
    async with opened(modules=60) as console:
        await console.press("b")
        assert len(dialog(console)) == 24
        assert listed(console)[0] == "h.59.attn.c_attn"
        await console.press("down", "j")
        assert listed(console)[0] == "h.55.attn.c_attn"
        await console.press("G")
        assert listed(console)[-1] == "h.58.attn.c_attn"
        await console.press("pageup", "pageup", "pageup", "pageup")
        assert listed(console)[0] == "h.59.attn.c_attn"
        await console.press("space")
        assert listed(console)[0] != "h.59.attn.c_attn"
        await console.press("home", "up")
        assert listed(console)[0] == "h.59.attn.c_attn"


@pytest.mark.parametrize("key", ["escape", "b", "q", "enter"])
async def test_the_dialog_closes_and_leaves_the_console_open(key: str) -> None:
    async with opened() as console:
        await console.press("b", key)
        assert console.app.screen is console.app.overview
        assert console.app.is_running


@pytest.mark.parametrize("size", [(40, 10), (60, 14), (80, 24), (100, 32), (200, 60)])
async def test_the_dialog_fits_the_terminal_and_a_resize(size: tuple[int, int]) -> None:
    async with opened(size=(120, 40), modules=60) as console:
        await console.press("b", "G")
        await console.pilot.resize_terminal(*size)
        await console.pilot.pause(0.05)
        lines = dialog(console)
        assert len(lines) <= size[1]
        assert max(map(len, lines)) <= size[0]
        assert lines[-1].startswith("╰")


async def test_ascii_alone() -> None:
    async with opened(size=(120, 40), options={"ascii": True}) as console:
        await console.press("b")
        assert console.text("dialog").isascii()
        assert console.text("loss").isascii()
        await console.press("tab", "escape")


def test_names_of_modules_lose_the_part_that_all_share() -> None:
    assert short_names(["transformer.h.0.c_attn", "transformer.h.1.c_attn"]) == {
        "transformer.h.0.c_attn": "h.0.c_attn",
        "transformer.h.1.c_attn": "h.1.c_attn",
    }
    assert short_names(["q", "v"]) == {"q": "q", "v": "v"}
    assert short_names(["a.q", "b.q"]) == {"a.q": "a.q", "b.q": "b.q"}
    assert short_names([]) == {}
