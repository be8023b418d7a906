"""Every action of the registry: what it does when it can act, and what is said when it cannot."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fedlora_tui.console.actions.registry import ACTIONS
from fedlora_tui.console.screens.drift import DriftDialog
from fedlora_tui.console.screens.export import ExportDialog
from fedlora_tui.console.screens.faults import FaultsDialog
from fedlora_tui.console.screens.fork import ForkDialog
from fedlora_tui.console.screens.help import HelpDialog
from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.console.screens.organization import OneOrganization
from fedlora_tui.console.screens.try_it import TryIt
from fedlora_tui.console.trying import READY
from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import Opened, ScriptedFork, ScriptedRuns, ScriptedWheel, opened
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT
from tests.flows.scripted_tries import ScriptedTries

STARTING = {"at": BEGAN_AT + 0.5, "prepare_seconds": 1.0}


async def pause(console: Opened) -> None:
    await console.press("space")
    assert console.run.sent == [cmd.Pause()]
    assert console.app.session.state.phase == "pausing"
    await console.at(SHOWN_AT + 1)
    assert "‖ paused" in console.text("run-line")
    assert console.said == "paused at step 41, nothing lost"
    await console.press("p")
    assert console.run.sent[-1] == cmd.Resume()
    assert "● running" in console.text("run-line")


async def undo(console: Opened) -> None:
    await console.press("a", "u")
    assert console.said == "taken back: + clinic-9"
    assert "next round" not in console.text("last-rows")
    assert "clinic-9" not in console.app.session.state.organizations


async def rank(console: Opened) -> None:
    await console.press("right_square_bracket", "right_square_bracket", "left_square_bracket")
    assert console.run.sent == [cmd.Rank(8), cmd.Rank(16), cmd.Rank(8)]
    assert console.said.endswith("rank 8, waits for round 8")
    await console.press("u")
    assert console.said == "taken back: rank 8"


async def more_rounds(console: Opened) -> None:
    await console.press("plus", "plus", "minus")
    assert console.run.sent == [cmd.Rounds(21), cmd.Rounds(22), cmd.Rounds(21)]
    assert "rounds 21" in console.text("last-rows")


async def tune(console: Opened) -> None:
    await console.press("comma", "right", "enter")
    assert console.run.sent == [cmd.Rank(8)]
    assert console.said == "rank 8, waits for round 8"


async def export(console: Opened) -> None:
    await console.press("e")
    assert isinstance(console.app.screen, ExportDialog)
    await console.press("enter")
    assert console.run.sent == [cmd.Export(round="latest", merged=False)]
    assert console.said.startswith("written: runs/1122-1402/exports/round-0006")


async def fork(console: Opened) -> None:
    beside = console.app._fork_beside
    assert isinstance(beside, ScriptedFork)
    await console.press("f")
    assert isinstance(console.app.screen, ForkDialog)
    beside.may_answer.set()
    await console.press("enter")
    await console.until(lambda: "forked" in console.said)
    assert beside.asked == [("1122-1402", 6, ())]
    assert console.run.sent == []


async def try_(console: Opened) -> None:
    tries = console.run.tries = ScriptedTries()
    await console.press("t")
    assert isinstance(console.app.screen, TryIt)
    await console.press("1", "enter")
    assert [question.text for question in tries.asked] == [READY[0]]
    assert console.run.sent == []
    await console.press("escape", "escape", "escape")
    assert console.app.screen is console.app.overview


async def add(console: Opened) -> None:
    await console.press("a")
    assert console.run.sent == [cmd.AddOrganization()]
    assert console.said == "clinic-9 joins at round 8 with the adapter of round 7"
    assert "next round   + clinic-9" in console.text("last-rows")
    assert console.app.session.state.organizations["clinic-9"].state == "joining"


async def add_by(console: Opened) -> None:
    await console.press("A", "tab", *"law", "tab", "tab", "right", "enter")
    assert console.run.sent == [cmd.AddOrganization(like="law")] * 2
    assert "next round   + clinic-9   + clinic-10" in console.text("last-rows")


async def drop(console: Opened) -> None:
    await console.press("j", "d")
    assert console.run.sent == [cmd.DropOrganization("city-permits")]
    assert console.said == "city-permits leaves at round 8"
    assert "− city-permits" in console.text("last-rows")
    await console.at(SHOWN_AT + 1)
    assert "city-permits    − leaving    48/64" in console.text("table")


async def own_rank(console: Opened) -> None:
    await console.press("j", "right_curly_bracket", "right_curly_bracket", "left_curly_bracket")
    name = "city-permits"
    assert console.run.sent == [cmd.Rank(8, name), cmd.Rank(16, name), cmd.Rank(8, name)]
    assert console.said == "city-permits rank 8, waits for round 8"
    assert "next round   city-permits rank 8   city-permits rank 16" in console.text("last-rows")
    await console.press("u")
    assert console.said == "taken back: city-permits rank 8"


async def faults(console: Opened) -> None:
    await console.press("j", "x")
    assert isinstance(console.app.screen, FaultsDialog)
    assert "faults of city-permits, for demonstration" in console.text("dialog")
    await console.press("4")
    assert console.app.screen is console.app.overview
    assert console.run.sent == [cmd.Fault("nan", "city-permits")]
    assert console.said == "city-permits fault nan, waits for round 8"
    assert "next round   city-permits fault nan" in console.text("last-rows")
    await console.press("u")
    assert console.said == "taken back: city-permits fault nan"


async def mark(console: Opened) -> None:
    await console.press("m", "j", "m")
    assert console.said == "city-permits marked; 2 are: drop and faults take them all"
    await console.press("m")
    assert console.app.session.marked == ("bank-disputes",)


async def filter_(console: Opened) -> None:
    await console.press("slash", *"pharm", "enter")
    assert console.said == "2 of 12 organizations; esc shows all again"
    assert console.app.session.shown == ("pharmacy-1", "pharmacy-2")
    await console.press("l", "slash", *"checkpoint", "enter")
    assert "/ checkpoint   6 of " in console.text("log-list")


async def sort(console: Opened) -> None:
    await console.press("s", "s", "S")
    assert console.said == "sorted by loss, least first"
    assert console.app.session.order[-1] == "port-authority"


async def pane(console: Opened) -> None:
    await console.press("4")
    assert console.text("log").startswith("━ 4 log")
    await console.press("4")
    assert console.said == "pane 4 alone: 0 brings all panes back"
    assert console.text("log").count("\n") > 6


async def layout(console: Opened) -> None:
    await console.press("1", "0")
    assert console.said == "all panes are back"
    assert "bank-disputes" in console.text("table")


async def x_axis(console: Opened) -> None:
    await console.press("z")
    assert console.said == "the chart has no room here: 1 shows it alone"
    await console.press("1", "z")
    assert console.text("loss").startswith("━ 1 loss, so far ━")


async def copy(console: Opened) -> None:
    await console.press("y")
    assert re.fullmatch(r"copied, and copy-\d{8}-\d{6}\.txt", console.said)
    await console.press("P")
    assert re.fullmatch(r"picture screen-\d{8}-\d{6}\.svg", console.said)
    assert sorted(path.suffix for path in Path().iterdir()) == [".svg", ".txt"]


async def drift(console: Opened) -> None:
    await console.press("b")
    assert isinstance(console.app.screen, DriftDialog)
    assert "h.11.attn.c_attn" in console.text("dialog")
    await console.press("escape")
    assert console.app.screen is console.app.overview


async def rounds_table(console: Opened) -> None:
    await console.press("r")
    assert console.text("run-line").endswith("‹ rounds")
    await console.press("r")
    assert console.app.screen is console.app.overview


async def audit(console: Opened) -> None:
    await console.press("v")
    assert console.text("run-line").endswith("‹ audit")
    await console.press("v")
    assert console.app.screen is console.app.overview


async def log(console: Opened) -> None:
    await console.press("l")
    assert console.text("run-line").endswith("‹ log")
    await console.press("l")
    assert console.app.screen is console.app.overview


async def follow(console: Opened) -> None:
    await console.press("l", "k", "f")
    assert console.said == "it follows the end"
    await console.press("f")
    assert console.said == "it stands here; f follows the end again"
    assert console.run.sent == []


async def runs(console: Opened) -> None:
    await console.press("o")
    assert console.text("run-line").endswith("‹ runs")
    await console.until(lambda: "1122-f3" in console.text("run-list"))
    await console.press("o")
    assert console.app.screen is console.app.overview


async def resume_listed(console: Opened) -> None:
    await console.press("o")
    await console.until(lambda: "1122-f3" in console.text("run-list"))
    await console.press("space")
    assert console.said == "1122-1402 is at work: enter watches it"
    assert console.run.sent == []
    await console.press("j", "j", "space")
    await console.until(lambda: console.app.return_value == "other")
    assert console.app.goes_to == ("resume", "1122-f3")


async def move(console: Opened) -> None:
    for key, name in (("down", "city-permits"), ("G", "telecom-support"), ("k", "school"), ("g", "bank-disputes")):
        await console.press(key)
        assert console.app.session.selected == name
    await console.press("pagedown")
    assert console.app.session.selected == "telecom-support"


async def compare(console: Opened) -> None:
    await console.press("c")
    assert console.text("run-line").endswith("compare   2 runs")
    await console.press("c")
    assert console.app.screen is console.app.overview


async def open_(console: Opened) -> None:
    await console.press("j", "enter")
    assert console.text("run-line").endswith("‹ city-permits   2 of 12")
    assert isinstance(console.app.page, OneOrganization)
    await console.press("enter")
    assert console.said == "it is open: up and down go to the others, esc goes back"
    await console.press("escape")
    assert console.app.screen is console.app.overview


async def flip(console: Opened) -> None:
    for key, place in ((">", 1), (">", 0), ("<", 1)):
        await console.press({">": "greater_than_sign", "<": "less_than_sign"}[key])
        assert console.app.session is console.app.runs.sessions[place]
        assert console.said == f"{console.app.session.label} is shown, {place + 1} of 2"


async def panes(console: Opened) -> None:
    await console.press("tab")
    assert console.text("log").startswith("━ 4 log")
    await console.press("tab")
    assert console.text("table").startswith("━ 2 organizations")


async def command(console: Opened) -> None:
    await console.press("colon", *"rank", "space", *"16", "enter")
    assert console.run.sent == [cmd.Rank(16)]
    assert console.said == "rank 16, waits for round 8"


async def wheel(console: Opened) -> None:
    theirs = console.app._wheel
    assert isinstance(theirs, ScriptedWheel)
    await console.press("w")
    assert theirs.words == ["ask"]
    assert console.said == "asked ada@pts/3 for the wheel"


async def help_(console: Opened) -> None:
    await console.press("question_mark")
    assert isinstance(console.app.screen, HelpDialog)
    words = console.text("dialog")
    await console.press("pagedown")
    words += console.text("dialog")
    assert [action.id for action in ACTIONS.values() if action.does not in words] == []
    await console.press("escape")
    assert console.app.screen is console.app.overview


async def back(console: Opened) -> None:
    await console.press("tab", "escape")
    assert console.text("table").startswith("━ 2 organizations")


async def leave(console: Opened) -> None:
    await console.press("q")
    assert isinstance(console.app.screen, LeaveDialog)
    assert "› esc cancel" in console.text("dialog")
    await console.press("enter")
    assert console.run.sent == []
    assert console.app.is_running


ALLOWED: dict[str, Callable[[Opened], Awaitable[None]]] = {
    "pause": pause,
    "tune": tune,
    "undo": undo,
    "rank": rank,
    "more_rounds": more_rounds,
    "export": export,
    "fork": fork,
    "try": try_,
    "add": add,
    "add_by": add_by,
    "drop": drop,
    "own_rank": own_rank,
    "faults": faults,
    "mark": mark,
    "filter": filter_,
    "sort": sort,
    "pane": pane,
    "layout": layout,
    "x_axis": x_axis,
    "copy": copy,
    "drift": drift,
    "rounds_table": rounds_table,
    "audit": audit,
    "log": log,
    "follow": follow,
    "runs": runs,
    "resume_listed": resume_listed,
    "move": move,
    "compare": compare,
    "open": open_,
    "flip": flip,
    "command": command,
    "wheel": wheel,
    "panes": panes,
    "help": help_,
    "back": back,
    "leave": leave,
}
REFUSED = {
    "pause": ("space", "the run is starting: nothing trains yet"),
    "tune": ("comma", "the run is starting: its settings are not known yet"),
    "undo": ("u", "nothing waits for the next round"),
    "rank": ("right_square_bracket", "the run is starting: its organizations are not known yet"),
    "more_rounds": ("plus", "the run is starting: its rounds are not counted yet"),
    "export": ("e", "no round is finished yet"),
    "fork": ("f", "no round is finished yet"),
    "try": ("t", "the run is starting: no base is in memory yet"),
    "add": ("a", "the run is starting: its organizations are not known yet"),
    "add_by": ("A", "the run is starting: its organizations are not known yet"),
    "drop": ("d", "the run is starting: its organizations are not known yet"),
    "own_rank": ("right_curly_bracket", "the run is starting: its organizations are not known yet"),
    "faults": ("x", "the run is starting: its organizations are not known yet"),
    "mark": ("m", "there are no organizations yet"),
    "filter": ("slash", "there are no organizations yet"),
    "sort": ("s", "there are no organizations yet"),
    "pane": ("1", "the run is starting: there are no panes yet"),
    "layout": ("0", "the run is starting: there are no panes yet"),
    "x_axis": ("z", "the run is starting: there are no panes yet"),
    "drift": ("b", "no round is aggregated yet"),
    "move": ("j", "there are no organizations yet"),
    "compare": ("c", "this is the only run"),
    "open": ("enter", "nothing is selected"),
    "flip": ("greater_than_sign", "this is the only run"),
    "wheel": ("w", "you steer, and nobody else watches"),
    "back": ("escape", "nothing to leave here: q leaves the console"),
}
OF_A_RACE = ("compare", "flip")
RACE = {"rank 2": 0.7, "rank 4": 1.0}
NEVER_REFUSED = ("rounds_table", "audit", "log", "runs", "copy", "command", "panes", "help")
REFUSED_ELSEWHERE = ("follow", "resume_listed", "leave")


def test_every_action_is_tried() -> None:
    assert ALLOWED.keys() == ACTIONS.keys()
    assert {*REFUSED, *NEVER_REFUSED, *REFUSED_ELSEWHERE} == ACTIONS.keys()


@pytest.mark.parametrize("name", ALLOWED)
async def test_action_acts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = ScriptedWheel(may_steer=False, holder="ada@pts/3", alone=False) if name == "wheel" else None
    async with opened(
        race=RACE if name in OF_A_RACE else None, wheel=theirs, fork=ScriptedFork(), others=ScriptedRuns()
    ) as console:
        await ALLOWED[name](console)


@pytest.mark.parametrize("name", REFUSED)
async def test_action_says_why_not(name: str) -> None:
    key, reason = REFUSED[name]
    async with opened(**STARTING) as console:
        await console.press(key)
        assert console.said == reason
        assert console.run.sent == []
        assert reason in console.text("last-rows")


async def test_a_key_without_an_action_is_answered() -> None:
    async with opened() as console:
        await console.press("n")
        assert console.said == "n does nothing here: ? lists the keys"


@pytest.mark.parametrize(
    ("key", "reason"), [("space", "the run is done"), ("a", "the run is done"), ("d", "the run is done")]
)
async def test_a_finished_run_takes_no_changes(key: str, reason: str) -> None:
    async with opened(at=SHOWN_AT + 400) as console:
        assert console.app.session.state.phase == "done"
        await console.press(key)
        assert console.said == reason


async def test_a_round_needs_its_least_number_of_organizations() -> None:
    async with opened(organizations=("insurer", "school", "retailer")) as console:
        await console.press("d", "d")
        assert console.said == "insurer leaves already"
        await console.press("j", "d")
        assert console.said == "a round needs 2 (federation.min_organizations)"
        assert len(console.run.sent) == 1


async def test_a_joining_organization_is_taken_back_not_dropped() -> None:
    async with opened() as console:
        await console.press("a", "G", "d")
        assert console.said == "clinic-9 has not joined yet: u takes it back"


async def test_nothing_waits_behind_the_last_round() -> None:
    async with opened(at=SHOWN_AT, rounds=7) as console:
        await console.press("a")
        assert console.said == "round 7 is the last: nothing can wait for a next one"


async def test_the_runs_own_refusal_is_shown() -> None:
    async with opened() as console:
        console.app.session.command(cmd.Export(round="9"), "writing")
        await console.press("tab")
        await console.until(lambda: console.said == "round 9 is not finished")
