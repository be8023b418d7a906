"""The console with other keys: they act, the old ones say that they do nothing, and every screen names the new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlora_tui.console.screens.dialog import Dialog
from fedlora_tui.console.screens.faults import FaultsDialog
from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import ScriptedWheel, opened
from tests.flows.scripted_run import SHOWN_AT

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


OTHERS = {"wheel": "W", "back": "f9", "layout": "f10", "pane": "f1 f2 f3 f4 f5 f6", "help": "H", "leave": "Q"}
OTHERS |= {"move": "I K home end pageup pagedown", "filter": "F", "open": "O", "undo": "U", "panes": "f7 f8"}
OTHERS |= {"follow": "L", "faults": "X", "export": "E", "log": "i", "try": "T", "rank": "< >", "flip": "ctrl+a ctrl+b"}


async def test_what_is_said_names_the_keys_that_are_in_force() -> None:
    async with opened((120, 40), options={"keys": OTHERS}, troubled=True, at=SHOWN_AT) as console:
        assert "X releases it" in console.text("log")
        for keys, part, words in (
            (["f9"], "", "nothing to leave here: Q leaves the console"),
            (["f10"], "", "all panes are here: a pane's key twice shows it alone"),
            (["f2"], "", "pane 2 alone: f10 brings all panes back"),
            (["f10", "ctrl+z"], "", "ctrl+z does nothing here: Q then d leaves it running"),
            (["F", *"pharmacy", "enter"], "", "2 of 12 organizations; f9 shows all again"),
            (["F", *"zzz"], "table", "none passes the filter: f9 clears it"),
            (["enter", "f9", "O", "O"], "", "it is open: I and K go to the others, f9 goes back"),
            (["x"], "", "x does nothing here: H lists the keys"),
            (["f9", "i", "L"], "", "it stands here; L follows the end again"),
            (["F", *"zzz"], "log-list", "no line passes the filter: f9 clears it"),
            (["enter", "f9", "f9", "a", "end", "d"], "", "clinic-9 has not joined yet: U takes it back"),
        ):
            await console.press(*keys)
            assert words in (console.text(part) if part else console.said), keys


async def test_a_failed_run_and_who_watches_name_them_too() -> None:
    wheel = ScriptedWheel(may_steer=False, holder="ada@pts/3", alone=False)
    async with opened((120, 40), options={"keys": OTHERS}, wheel=wheel) as console:
        assert "watching: ada@pts/3 steers, W takes the wheel" in console.text("run-line")
        await console.press("a")
        assert console.said == "ada@pts/3 steers: W takes the wheel"
    async with opened((120, 40), options={"keys": OTHERS}, fail_at=(4, 40), at=SHOWN_AT) as console:
        for line in ("E  export round 3", "Q  leave", "i  the traceback"):
            assert line in console.text("failed")


@pytest.mark.parametrize(
    ("action", "usual"), [("tune", "comma"), ("faults", "x"), ("drift", "b"), ("help", "question_mark"), ("leave", "q")]
)
async def test_dialogs_close_by_the_keys_that_open_them_and_not_by_those_that_did(action: str, usual: str) -> None:
    async with opened((120, 40), options={"keys": {action: "f2", "pause": "f3"}}) as console:
        await console.press("f2")
        dialog = console.app.screen
        assert isinstance(dialog, Dialog)
        await console.press(usual)
        assert console.app.screen is dialog
        await console.press("f2")
        assert not isinstance(console.app.screen, Dialog)


async def test_a_new_key_that_leaves_asks_from_within_a_dialog_too() -> None:
    async with opened((120, 40), options={"keys": {"leave": "f2"}}) as console:
        await console.press("comma", "q")
        assert "q does nothing here" in console.text("dialog")
        await console.press("f2")
        assert isinstance(console.app.screen, LeaveDialog)
