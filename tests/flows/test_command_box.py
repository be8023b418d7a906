"""The box of commands: what a line does, what is said when it cannot, how it completes, and that it never quits."""

from __future__ import annotations

import pytest

from fedlora_tui.console.screens.command import CommandDialog
from fedlora_tui.console.screens.help import HelpDialog
from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.console.screens.tune import TuneDialog
from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import Opened, ScriptedWheel, opened
from tests.flows.scripted_run import SHOWN_AT

KEYS = {" ": "space", "+": "plus", "-": "minus", ".": "full_stop", "/": "slash", ":": "colon"}


def typed(text: str) -> list[str]:
    """The keys that write a text."""
    return [KEYS.get(letter, letter) for letter in text]


async def give(console: Opened, line: str) -> None:
    """Open the box, write a line and press enter."""
    await console.press("colon", *typed(line), "enter")


@pytest.mark.parametrize(
    ("line", "sent", "waits"),
    [
        ("rank 16", [cmd.Rank(16)], "rank 16"),
        ("rounds +10", [cmd.Rounds(30)], "rounds 30"),
        ("lr 5e-3", [cmd.Rate(5e-3)], "lr 5e-3"),
        ("steps 32", [cmd.Steps(32)], "steps 32"),
        ("agg flexlora", [cmd.Method("flexlora")], "method flexlora"),
        ("fraction 0.5", [cmd.Fraction(0.5)], "fraction 0.5"),
        ("add clinic 3", [cmd.AddOrganization(like="clinic")] * 3, "+ clinic-9   + clinic-10   + clinic-11"),
        ("drop school insurer", [cmd.DropOrganization("school"), cmd.DropOrganization("insurer")], "− school"),
        ("fault school slow x3", [cmd.Fault("slow x3", "school")], "school fault slow x3"),
        ("rank school 8", [cmd.Rank(8, "school")], "school rank 8"),
    ],
)
async def test_what_is_typed_is_asked_for_and_waits(line: str, sent: list[cmd.Command], waits: str) -> None:
    async with opened((120, 40)) as console:
        await give(console, line)
        assert console.app.screen is console.app.overview
        assert console.run.sent == sent
        assert f"next round   {waits}" in console.text("last-rows")
        assert console.app.session.said is not None
        assert console.app.session.said.sign == "✓"


async def test_who_is_in_quarantine_is_released_by_name() -> None:
    async with opened(troubled=True) as console:
        await give(console, "release school")
        assert "school is not in quarantine" in console.text("dialog")
        await console.press("ctrl+u", *typed("release port-authority"), "enter")
        assert console.run.sent == [cmd.Release("port-authority")]


async def test_an_adapter_is_exported_by_name() -> None:
    async with opened() as console:
        await give(console, "export best")
        assert console.run.sent == [cmd.Export("best")]
        assert console.said.startswith("written: ")


@pytest.mark.parametrize(("line", "screen"), [("tune", TuneDialog), ("help", HelpDialog)])
async def test_an_action_goes_by_its_name(line: str, screen: type) -> None:
    async with opened() as console:
        await give(console, line)
        assert isinstance(console.app.screen, screen)


async def test_ctrl_p_opens_it_too_and_escape_leaves_it() -> None:
    async with opened() as console:
        await console.press("ctrl+p")
        assert isinstance(console.app.screen, CommandDialog)
        await console.press("escape")
        assert console.app.screen is console.app.overview


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("rank 0", "rank 0: allowed is 1 to 1,024"),
        ("rnk 8", "rnk: no such command; nearest is rank"),
        ("undo", "nothing waits for the next round"),
        ("compare", "this is the only run"),
        ("drop nobody", "nobody: no such organization"),
        ("agg fedsa", "fedit and fedsa keep different things at home"),
    ],
)
async def test_what_cannot_be_done_says_why_and_the_box_stays(line: str, complaint: str) -> None:
    async with opened() as console:
        await give(console, line)
        assert isinstance(console.app.screen, CommandDialog)
        assert complaint in console.text("dialog")
        assert console.run.sent == []
        await console.press("backspace")
        assert complaint not in console.text("dialog")


@pytest.mark.parametrize("line", ["q", "quit", "exit", "leave"])
async def test_it_never_quits(line: str) -> None:
    async with opened() as console:
        await give(console, line)
        assert isinstance(console.app.screen, LeaveDialog)
        await console.press("escape")
        assert console.app.is_running
    async with opened(at=SHOWN_AT + 400) as console:
        await give(console, line)
        assert console.said == "q leaves: a command never does"
        assert console.app.is_running
        assert console.app.return_value is None


async def test_letters_are_written_and_leave_nothing() -> None:
    async with opened() as console:
        await console.press("colon", "q", "u", "space", "a")
        assert ": qu a▏" in console.text("dialog")
        assert console.run.sent == []


async def test_tab_completes_and_goes_through_what_matches() -> None:
    async with opened() as console:
        await console.press("colon", "r", "n", "k", "tab")
        assert ": rank" in console.text("dialog")
        await console.press("ctrl+u", *typed("agg fl"), "tab")
        assert ": agg flora▏" in console.text("dialog")
        await console.press("tab")
        assert ": agg flexlora▏" in console.text("dialog")
        assert "› agg flexlora" in console.text("dialog")
        await console.press("shift+tab", "enter")
        assert console.run.sent == [cmd.Method("flora")]


async def test_nothing_matches_is_said() -> None:
    async with opened() as console:
        await console.press("colon", "%", "%", "tab")
        assert "nothing matches that" in console.text("dialog")


async def test_earlier_lines_come_back() -> None:
    async with opened() as console:
        await console.press("colon", "up")
        assert "nothing was typed here before" in console.text("dialog")
        await console.press(*typed("rank 8"), "enter")
        await give(console, "rounds 30")
        await console.press("colon", "x", "up")
        assert ": rounds 30▏" in console.text("dialog")
        await console.press("up")
        assert ": rank 8▏" in console.text("dialog")
        await console.press("down", "down")
        assert ": x▏" in console.text("dialog")
        await console.press("up", "up", "backspace", "2", "enter")
        assert console.run.sent == [cmd.Rank(8), cmd.Rounds(30), cmd.Rank(2)]


async def test_a_theme_is_put_on_at_once() -> None:
    async with opened() as console:
        before = console.app.look.roles["ink"]
        await give(console, "theme light")
        assert console.said == "light colours"
        assert console.app.look.roles["ink"] != before
        assert not console.app.current_theme.dark
        await give(console, "theme dark")
        assert console.app.look.roles["ink"] == before
        assert console.app.current_theme.dark


async def test_the_pace_of_paints_is_set() -> None:
    async with opened() as console:
        await give(console, "hz 2")
        assert console.said == "painted 2 times a second"
        assert console.app._pace.seconds == 0.5


async def test_what_is_pasted_is_one_line() -> None:
    from textual.events import Paste

    async with opened() as console:
        await console.press("colon")
        console.app.post_message(Paste("rank\n 16\n"))
        await console.until(lambda: ": rank 16" in console.text("dialog"))
        await console.press("enter")
        assert console.run.sent == [cmd.Rank(16)]


async def test_watching_changes_nothing_and_says_who_steers() -> None:
    async with opened(wheel=ScriptedWheel(may_steer=False, holder="ada@pts/3", alone=False)) as console:
        for line in ("rank 16", "add 2", "drop school", "fault school nan", "export best", "pause"):
            await give(console, line)
            assert "ada@pts/3 steers: w takes the wheel" in console.text("dialog")
            await console.press("escape")
        assert console.run.sent == []


async def test_in_a_race_every_run_is_asked() -> None:
    async with opened(race={"rank 2": 0.7, "rank 4": 1.0}) as console:
        await give(console, "steps 32")
        assert [racer.sent for racer in console.racers] == [[cmd.Steps(32)], [cmd.Steps(32)]]
        await give(console, "compare")
        assert console.app.page.NAME == "compare"
        await give(console, "theme light")
        assert console.app.page.NAME == "compare"


async def test_a_finished_run_takes_no_commands() -> None:
    async with opened(at=SHOWN_AT + 400) as console:
        for line in ("rank 16", "add", "rounds +1"):
            await give(console, line)
            assert "the run is done" in console.text("dialog")
            await console.press("escape")


async def test_ascii_alone() -> None:
    async with opened(options={"ascii": True}) as console:
        await console.press("colon", "r", "tab")
        assert console.text("dialog").isascii()
