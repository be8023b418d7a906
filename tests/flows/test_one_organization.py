"""One organization opened: what is told of it, going from one to the next, panes that come and go with the size."""

from __future__ import annotations

import pytest

from fedlora_tui.console.screens.organization import OneOrganization
from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import Opened, opened
from tests.flows.scripted_run import SHOWN_AT

NORMAL = (120, 40)
PHARMACY = ["down"] * 5


def rows(console: Opened, pane: str) -> list[str]:
    return console.text(pane).splitlines()


async def test_its_losses_data_rounds_ledger_modules_and_adapter_are_shown() -> None:
    async with opened(size=NORMAL) as console:
        await console.press(*PHARMACY, "enter")
        assert console.text("run-line").endswith("‹ organizations   pharmacy-1   6 of 12")
        assert "▞ train 2.600   ● hold-out 2.671   ○ all organizations" in rows(console, "own-loss")[0]
        data = console.text("its-data")
        for words in (
            *("documents    1,204    dropped 3 (empty)", "tokens       122k     longest 412"),
            *("hold-out     12.1k    9%", "98% full, 256 tokens", "weight       8.3%  █", "skew         0.29  ███"),
            *("vocabulary   6.1k of 50.3k tokens seen", "epochs       6.4 through its data so far"),
        ):
            assert words in data
        assert rows(console, "own-rounds")[2].split() == ["7", "▸", "training", "2.600", *"–" * 4, "5.5", "–"]
        assert rows(console, "own-rounds")[3].split()[:6] == ["6", "✓", "done", "2.630", "2.671", "+0.681"]
        left = console.text("what-left")
        assert "adapters   6 × 24 tensors       3.4 MiB" in left
        assert "text       0                        0 B" in left
        assert "came to it: adapters 7 ×        3.9 MiB" in left
        assert rows(console, "own-modules")[1].split()[0] == "h.5.attn.c_attn"
        assert rows(console, "own-modules")[-1].split()[1:3] == ["more", "████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░"]
        own = console.text("own-adapter")
        assert "its own    –       only fedsa measures it" in own
        assert "common     2.671" in own
        assert "rounds     ✓✓✓✓✓✓▸┈" in own


async def test_up_and_down_go_to_the_others_and_the_overview_keeps_the_last_one() -> None:
    async with opened(size=NORMAL) as console:
        await console.press("enter", "down", "down", "up")
        assert "city-permits   2 of 12" in console.text("run-line")
        await console.press("G")
        assert "telecom-support   12 of 12" in console.text("run-line")
        await console.press("escape")
        assert "› telecom-support" in console.text("table")


async def test_what_went_wrong_stands_round_by_round() -> None:
    async with opened(size=NORMAL, troubled=True) as console:
        await console.press(*["down"] * 7, "enter")
        own = console.text("own-adapter")
        assert "faults     2 refused, 1 in quarantine" in own
        assert "rounds     ✓✓✓!!⊘⊘┈" in own
        assert "refused    2 replies" in console.text("what-left")
        states = [row.split()[2] for row in rows(console, "own-rounds")[2:7]]
        assert states == ["fault", "fault", "done", "done", "done"]
        await console.press("up")
        assert "rounds     ✓✓✓✓✓~~┈" in console.text("own-adapter")


async def test_keys_act_on_the_organization_that_is_open() -> None:
    async with opened(size=NORMAL) as console:
        await console.press("down", "enter", "d")
        assert console.run.sent == [cmd.DropOrganization("city-permits")]
        assert "− city-permits" in console.text("last-rows")
        await console.press("x")
        assert console.said == "city-permits leaves already"


async def test_a_pane_that_fell_away_comes_by_tab_and_a_new_size_keeps_the_organization() -> None:
    async with opened() as console:
        await console.press(*PHARMACY, "enter")
        assert not console.app.page.query_one("#what-left").display
        await console.press("tab", "tab", "tab")
        assert rows(console, "what-left")[0].startswith("━ 4 what left it")
        assert not console.app.page.query_one("#own-rounds").display
        await console.pilot.resize_terminal(200, 60)
        await console.pilot.pause()
        assert all(console.app.page.query_one(f"#{pane}").display for pane in ("own-rounds", "own-adapter"))
        assert rows(console, "what-left")[0].startswith("━ 4 what left it")
        assert "pharmacy-1   6 of 12" in console.text("run-line")


async def test_rounds_scroll_and_a_pane_that_does_not_says_so() -> None:
    async with opened(size=(80, 24), at=SHOWN_AT + 300) as console:
        await console.press("enter", "pagedown")
        assert console.said == "nothing scrolls here: tab goes to rounds and modules"
        await console.press("tab", "tab")
        assert rows(console, "own-rounds")[2].split()[0] == "20"
        await console.press("pagedown")
        assert rows(console, "own-rounds")[2].split()[0] == "15"
        await console.press(*["pagedown"] * 9)
        assert rows(console, "own-rounds")[-1].split()[0] == "1"


async def test_another_run_of_a_race_shows_the_same_organization() -> None:
    async with opened(size=NORMAL, race={"rank 2": 0.7, "rank 4": 1.0}) as console:
        await console.press(*PHARMACY, "enter")
        first = console.text("own-figures")
        await console.press("greater_than_sign")
        assert isinstance(console.app.page, OneOrganization)
        assert "pharmacy-1   6 of 12" in console.text("run-line")
        assert console.text("own-figures") != first


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_an_organization_that_has_told_nothing_has_dashes(size: tuple[int, int]) -> None:
    async with opened(size=size) as console:
        await console.press("a", "G", "enter", "tab")
        assert "clinic-9   13 of 13" in console.text("run-line")
        data = console.text("its-data")
        assert "documents    –        dropped –" in data
        assert "epochs       – through its data so far" in data
