"""Dialogs on small terminals: their corners and their line of keys stay, other things fall away in an order."""

from __future__ import annotations

import pytest

from fedlora_tui.console.screens.dialog import Dialog
from tests.flows.opened import ScriptedFork, ScriptedWheel, opened

OPENED_BY = {
    "help": "question_mark",
    "leave": "q",
    "tune": "comma",
    "export": "e",
    "add_by": "A",
    "faults": "x",
    "drift": "b",
    "fork": "f",
    "command": "colon",
}


@pytest.mark.parametrize("size", [(58, 24), (46, 16), (40, 10)])
async def test_corners_and_keys_stay(size: tuple[int, int]) -> None:
    async with opened(size, wheel=ScriptedWheel(), fork=ScriptedFork()) as console:
        for name, key in OPENED_BY.items():
            await console.press(key)
            assert isinstance(console.app.screen, Dialog), name
            first, *inside, last = console.text("dialog").splitlines()
            assert (first[:3], first[-1]) == ("╭─ ", "╮"), name
            assert (last[0], last[-1]) == ("╰", "╯"), name
            assert all(line.startswith("│") and line.endswith("│") for line in inside), name
            assert len(inside) + 2 <= size[1], name
            assert any(f"esc {does}" in inside[-1] for does in ("leave", "closes")) or name == "leave", name
            assert name != "leave" or any("esc cancel" in line for line in inside)
            await console.press("escape")


async def test_what_is_turned_and_what_is_refused_stay_when_lines_fall_away() -> None:
    async with opened((40, 10)) as console:
        await console.press("comma", "up", "z")
        shown = console.text("dialog")
        assert "› method" in shown
        assert "z does nothing here" in shown
        assert "enter apply   esc leave it" in shown
        assert "(estimates)" not in shown


async def test_the_keys_of_help_stay_in_sight_while_it_scrolls() -> None:
    async with opened((58, 16)) as console:
        await console.press("question_mark")
        before = console.text("dialog").splitlines()
        await console.press("G")
        after = console.text("dialog").splitlines()
        assert before[-2] == after[-2]
        assert "esc closes" in after[-2]
        assert before[1:-2] != after[1:-2]
        assert "text sent must read 0 B" in console.app.screen.words  # type: ignore[attr-defined]
