"""The console with other keys: they act, the old ones say that they do nothing, and every screen names the new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlora_tui.console.screens.faults import FaultsDialog
from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import opened

KEYS = {"pause": "f2", "more_rounds": "f3 f4", "undo": "ctrl+x", "faults": "F", "help": "f1", "compare": "f5"}


async def test_new_keys_act_and_old_ones_do_nothing() -> None:
    async with opened((120, 40), options={"keys": KEYS}) as console:
        await console.press("f4", "f4", "f3")
        assert console.run.sent == [cmd.Rounds(21), cmd.Rounds(22), cmd.Rounds(21)]
        assert "ctrl+x takes back" in console.text("last-rows")
        await console.press("u")
        assert console.said == "u does nothing here: f1 lists the keys"
        await console.press("ctrl+x", "f2")
        assert console.run.sent[3:] == [cmd.Undo(), cmd.Pause()]
        assert console.text("last-rows").splitlines()[-1].startswith(" f2 resume") or "f2 pause" in console.text(
            "last-rows"
        )


async def test_help_and_dialogs_name_them() -> None:
    async with opened((120, 40), options={"keys": KEYS}) as console:
        await console.press("f1")
        assert "f2      pause, resume" in console.text("dialog")
        assert "f3 f4   a round less, more" in console.text("dialog")
        await console.press("escape", "F")
        assert isinstance(console.app.screen, FaultsDialog)
        assert console.text("dialog").splitlines()[0].endswith(" F ─╮")


async def test_the_new_key_that_copies_does_so_in_a_dialog_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(options={"keys": {"copy": "f7 f8"}}) as console:
        await console.press("question_mark", "y")
        assert list(tmp_path.iterdir()) == []
        await console.press("f7", "f8")
        assert sorted(path.suffix for path in tmp_path.iterdir()) == [".svg", ".txt"]


async def test_pages_over_the_overview_have_them_too() -> None:
    async with opened((120, 40), options={"keys": KEYS}, race={"rank 2": 0.7, "rank 4": 1.0}) as console:
        await console.press("f5")
        assert console.app.page.NAME == "compare"
        await console.press("c")
        assert console.said == "c does nothing here: f1 lists the keys"
        await console.press("f2")
        assert console.run.sent == [cmd.Pause()]


async def test_equals_acts_as_plus() -> None:
    async with opened() as console:
        await console.press("equals_sign")
        assert console.run.sent == [cmd.Rounds(21)]
        assert "next round   rounds 21" in console.text("last-rows")


async def test_everything_that_is_queued_is_seen_in_the_next_round() -> None:
    async with opened((120, 40)) as console:
        await console.press("right_square_bracket", "plus", "j", "right_curly_bracket", "a", "d")
        row = console.text("last-rows").splitlines()[0]
        assert row.startswith(" next round   rank 8   rounds 21   city-permits rank 16   + clinic-9   − city-permits")
