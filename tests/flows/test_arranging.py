"""Rows of organizations filtered, sorted and marked by keys; runs sorted, and taken out of the chart."""

from __future__ import annotations

from typing import Any

import pytest
from textual.events import Paste

from fedlora_tui.console.screens.faults import FaultsDialog
from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import Opened, opened
from tests.flows.scripted_run import SHOWN_AT
from tests.flows.test_overview import lines
from tests.flows.test_replaying import journal_until, replayed

NORMAL = (120, 44)
RACE: dict[str, Any] = {"rank 2": 0.7, "rank 4": 1.0, "rank 8": 1.2}


def rows(console: Opened) -> list[str]:
    """The names of the rows in sight."""
    known = console.app.session.state.organizations
    words = [line.lstrip("›+ ").split(" ")[0] for line in console.text("table").splitlines()[2:]]
    return [word for word in words if word in known]


def rule_of(console: Opened) -> str:
    """The rule of the table of organizations."""
    return console.text("table").splitlines()[0]


async def typed(console: Opened, words: str) -> None:
    """Type words, sign by sign, as a terminal hands them on."""
    from textual import events

    for sign in words:
        console.app.post_message(events.Key("space" if sign == " " else sign, sign))
    await console.pilot.pause(0.06)


async def test_words_filter_while_they_are_typed_and_the_rule_says_how_many() -> None:
    async with opened(size=NORMAL) as console:
        before = lines(console)
        await console.press("slash")
        assert "/ ▏" in console.text("last-rows")
        await typed(console, "pharm")
        assert rows(console) == ["pharmacy-1", "pharmacy-2"]
        assert "2 of 12 / pharm" in rule_of(console)
        assert "/ pharm▏   2 of 12" in console.text("last-rows")
        assert console.app.session.selected == "pharmacy-1"
        after = lines(console)
        assert [line[:14] for line in before[:17]] == [line[:14] for line in after[:17]], "nothing jumps"
        await console.press("enter")
        assert console.said == "2 of 12 organizations; esc shows all again"
        await console.press("j", "d")
        assert console.run.sent == [cmd.DropOrganization("pharmacy-2")]


async def test_letters_are_letters_in_the_field_and_escape_leaves_it_before_it_clears_the_filter() -> None:
    async with opened() as console:
        await console.press("slash")
        await typed(console, "quit d")
        assert console.app.is_running
        assert console.run.sent == []
        assert console.app.session.arrangement.typed == "quit d"
        await console.press("ctrl+u")
        await typed(console, "bank")
        await console.press("escape")
        assert rows(console) == ["bank-disputes"]
        await console.press("escape")
        assert len(rows(console)) == 12
        assert console.said == "all organizations are shown"
        await console.press("escape")
        assert console.said == "nothing to leave here: q leaves the console"


async def test_ctrl_q_asks_out_of_the_field_too() -> None:
    async with opened() as console:
        await console.press("slash", "ctrl+q")
        assert isinstance(console.app.screen, LeaveDialog)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("state:late", ["pharmacy-2"]),
        ("state:quar", ["port-authority"]),
        ("!state:training", ["pharmacy-2", "port-authority"]),
        ("gain<0.42", ["pharmacy-2", "port-authority", "school"]),
        ("hold-out>3.2", ["port-authority"]),
        ("faults>0 !pharm", ["port-authority"]),
        ("faults>=1", ["pharmacy-2", "port-authority"]),
        ("rank=4 power", ["power-grid"]),
        ("port !authority !tele", []),
        ("port !tele", ["port-authority"]),
    ],
)
async def test_comparisons_filter(words: str, names: list[str]) -> None:
    async with opened(size=NORMAL, troubled=True) as console:
        await console.press("slash")
        await typed(console, words)
        assert rows(console) == names
        if not names:
            assert "none passes the filter: esc clears it" in console.text("table")
            await console.press("enter", "d")
            assert console.said == "no organization is selected"
            await console.press("escape")
            assert console.app.session.selected == "bank-disputes"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("gain<", "gain<: a number belongs behind gain<"),
        ("gian<0.1", "gian<0.1: no number is called gian; there are loss, hold-out, gain"),
        ("state:sleeping", "state:sleeping: no such state; there are training, testing"),
    ],
)
async def test_a_bad_filter_says_why_and_filters_nothing(words: str, why: str) -> None:
    async with opened(size=NORMAL) as console:
        await console.press("slash")
        await typed(console, words)
        assert why in console.text("last-rows")
        assert len(rows(console)) == 12
        await console.press("enter")
        assert f"/ {words}" in console.text("last-rows")
        assert f"filters nothing: {why}" in console.text("last-rows")
        await console.press("ctrl+u", "k", "0", "enter")
        assert console.app.page.field is None
        assert console.app.session.arrangement.typed == "k0"
        await console.press("slash", "ctrl+u")
        await typed(console, words)
        await console.press("escape")
        assert console.app.page.field is None
        assert console.said.startswith(f"filters nothing: {why}")
        assert " of 12" not in rule_of(console)


async def test_a_filter_is_live_but_the_row_under_the_cursor_never_goes_by_itself() -> None:
    async with opened(size=NORMAL) as console:
        await console.press("slash")
        await typed(console, "state:training")
        await console.press("enter", "j")
        assert len(rows(console)) == 12
        console.clock.now += 3.6
        session = console.app.session
        await console.until(lambda: all(org.state != "training" for org in session.state.organizations.values()))
        await console.press("tab", "shift+tab")
        assert rows(console) == ["city-permits"]
        assert console.app.session.selected == "city-permits"


async def test_s_sorts_by_the_next_column_and_the_cursor_stays_on_its_organization() -> None:
    async with opened(size=NORMAL) as console:
        assert rule_of(console).endswith("by name ━")
        await console.press("j", "s", "s")
        assert console.said == "sorted by loss, most first"
        assert rule_of(console).endswith("by loss, most first ━")
        assert rows(console)[:2] == ["port-authority", "school"]
        assert console.app.session.selected == "city-permits"
        await console.press("S")
        assert rule_of(console).endswith("by loss, least first ━")
        assert rows(console)[-1] == "port-authority"
        await console.press("s", "s")
        assert console.said == "sorted by gain, least first"
        for _ in range(7):
            await console.press("s")
        assert rule_of(console).endswith("by name ━")
        assert rows(console)[0] == "bank-disputes"


async def test_sorted_rows_move_at_a_rounds_end_alone() -> None:
    async with opened(size=NORMAL, troubled=True) as console:
        await console.press(*"sss")
        order = console.app.session.order
        assert order[0] == "port-authority"
        sorted_for = console.app.session._sorted_for
        await console.at(SHOWN_AT + 2)
        assert console.app.session.order == order
        await console.at(SHOWN_AT + 7)
        assert console.app.session._sorted_for != sorted_for
        holdouts = [console.app.session.state.organizations[name].holdout for name in console.app.session.order]
        assert holdouts == sorted(holdouts, key=lambda loss: -(loss or 0))


async def test_a_compact_rule_names_the_order_where_it_is_not_the_usual_one() -> None:
    async with opened() as console:
        assert "by name" not in rule_of(console)
        await console.press("s", "s")
        assert rule_of(console).endswith("12 · 12 training   by loss, most first ━")
        assert len(rule_of(console)) == 80


async def test_drop_takes_all_that_are_marked_and_names_those_that_were_not() -> None:
    async with opened() as console:
        await console.press("j", "d", "m", "j", "m", "j", "m")
        assert console.said == "insurer marked; 3 are: drop and faults take them all"
        assert "+ 3 marked" in rule_of(console)
        assert "\n+ hospital-ward" in console.text("table")
        assert "\n›+insurer" in console.text("table")
        await console.press("d")
        sent = [cmd.DropOrganization(name) for name in ("city-permits", "hospital-ward", "insurer")]
        assert console.run.sent == sent
        assert console.said == "2 leave at round 8; city-permits leaves already"
        await console.press("u")
        assert console.said == "taken back: − insurer"


async def test_a_round_keeps_its_least_number_of_organizations_however_many_are_marked() -> None:
    async with opened(organizations=("insurer", "school", "retailer")) as console:
        await console.press("m", "j", "m", "j", "m", "d")
        assert console.run.sent == [cmd.DropOrganization("insurer")]
        least = "a round needs 2 (federation.min_organizations)"
        assert console.said == f"1 leaves at round 8; retailer: {least}; school: {least}"
        await console.press("d")
        assert console.run.sent == [cmd.DropOrganization("insurer")]
        assert console.said == "insurer leaves already"


async def test_faults_take_all_that_are_marked() -> None:
    async with opened() as console:
        await console.press("m", "G", "m", "x")
        assert isinstance(console.app.screen, FaultsDialog)
        assert "faults of 2 organizations, for demonstration" in console.text("dialog")
        await console.press("r")
        assert "none of them is in quarantine" in console.text("dialog")
        await console.press("4")
        assert console.run.sent == [cmd.Fault("nan", "bank-disputes"), cmd.Fault("nan", "telecom-support")]
        assert console.said == "fault nan for 2, waits for round 8"


async def test_marks_survive_filter_and_sort_and_escape_takes_them_away_last() -> None:
    async with opened() as console:
        await console.press("m", "slash")
        await typed(console, "school")
        await console.press("enter", "s", "S")
        assert console.app.session.marked == ("bank-disputes",)
        assert "+ 1 marked   1 of 12 / school" in rule_of(console)
        await console.press("escape")
        assert console.app.session.marked == ("bank-disputes",)
        await console.press("escape")
        assert console.app.session.marked == ()
        assert console.said == "nothing is marked"


async def test_resizing_keeps_filter_order_and_marks() -> None:
    async with opened() as console:
        await console.press("m", "s", "s", "slash")
        await typed(console, "loss>2.7")
        await console.press("enter")
        shown = console.app.session.shown
        for size in (NORMAL, (200, 60), (60, 12), (38, 9), (80, 24)):
            await console.pilot.resize_terminal(*size)
            await console.pilot.pause(0.05)
            assert console.app.session.shown == shown
        assert rows(console) == list(shown)
        assert "/ loss>2.7" in rule_of(console)


async def test_each_run_of_a_race_is_shown_with_the_same_rows_in_the_same_order() -> None:
    async with opened(size=NORMAL, race=RACE) as console:
        await console.press("s", "s", "slash")
        await typed(console, "p")
        await console.press("enter", "j")
        shown, selected = console.app.session.shown, console.app.session.selected
        await console.press("greater_than_sign")
        assert console.app.session.label == "rank 4"
        assert console.app.session.shown == shown
        assert console.app.session.selected == selected
        assert "by loss, most first" in rule_of(console)


async def test_runs_are_sorted_and_the_cursor_stays_on_its_run() -> None:
    async with opened(size=NORMAL, race=RACE) as console:
        await console.press("c", "s")
        assert console.said == "sorted by hold-out, least first"
        assert [line[2] for line in console.text("run-table").splitlines()[2:5]] == ["◆", "○", "●"]
        assert console.app.session.label == "rank 2"
        await console.press("k")
        assert console.app.session.label == "rank 4"
        await console.press("S")
        assert [line[2] for line in console.text("run-table").splitlines()[2:5]] == ["●", "○", "◆"]
        assert "by hold-out, most first" in console.text("run-table")
        await console.pilot.click("#run-table", offset=(5, 4))
        assert console.app.session.label == "rank 8"
        await console.press("s", "s", "s", "s")
        assert console.said == "sorted as in the race"


async def test_a_run_is_taken_out_of_the_chart_and_put_in_again() -> None:
    async with opened(size=NORMAL, race=RACE) as console:
        await console.press("c", "j", "m")
        assert console.said == "rank 4 is out of the chart"
        assert "○" not in console.text("compare-chart").split("\n", 1)[1]
        assert "2 of 3" in console.text("compare-chart")
        assert console.text("run-table").splitlines()[3][:4] == "› – "
        await console.press("m")
        assert console.said == "rank 4 is in the chart again"
        assert "○" in console.text("compare-chart").split("\n", 1)[1]


async def test_nothing_but_rows_is_filtered() -> None:
    async with opened(race=RACE) as console:
        await console.press("c", "slash")
        assert console.said == "nothing here can be filtered"


async def test_a_replay_is_filtered_sorted_and_marked_too() -> None:
    records = journal_until(SHOWN_AT)
    async with replayed(records, len(records), size=NORMAL) as console:
        await console.press("s", "s", "slash")
        await typed(console, "p")
        await console.press("enter", "m")
        assert "by loss, most first" in rule_of(console)
        assert console.app.session.marked
        await console.press("d")
        assert console.said == "a replay cannot be changed"
        await console.press("left_square_bracket")
        assert "/ p" in rule_of(console)
        assert console.app.session.marked


async def test_a_filter_is_edited_at_its_caret_and_takes_what_is_pasted() -> None:
    async with opened() as console:
        await console.press("slash", *"harmac", "home", "p")
        assert " / p▏harmac" in console.text("last-rows")
        console.app.post_message(Paste("x\n"))
        await console.until(lambda: console.app.session.arrangement.typed == "pxharmac")
        await console.press("backspace", "end")
        assert console.app.session.shown == ("pharmacy-1", "pharmacy-2")
        await console.press("enter")
        console.app.post_message(Paste("x"))
        await console.press("down")
        assert console.app.session.arrangement.typed == "pharmac"
