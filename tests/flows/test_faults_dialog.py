"""The dialog of an organization's faults: what its keys ask for, what it says, and what the table makes of it."""

from __future__ import annotations

import pytest

from fedlora_tui.console.screens.faults import FaultsDialog
from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from tests.flows.opened import opened
from tests.flows.scripted_run import SHOWN_AT

TO_PORT = ["G", "k", "k", "k", "k"]


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        *(("1", "slow x3"), ("2", "dropout"), ("3", "crash"), ("4", "nan"), ("5", "garbage"), ("6", "poison x-10")),
        ("0", "none"),
    ],
)
async def test_each_number_asks_for_its_fault(key: str, fault: str) -> None:
    async with opened() as console:
        await console.press("x", key)
        assert console.app.screen is console.app.overview
        assert console.run.sent == [cmd.Fault(fault, "bank-disputes")]
        assert console.said == f"bank-disputes fault {fault}, waits for round 8"


@pytest.mark.parametrize("key", ["x", "escape"])
async def test_it_is_left_without_a_change(key: str) -> None:
    async with opened() as console:
        await console.press("x", key)
        assert console.app.screen is console.app.overview
        assert console.run.sent == []


async def test_who_is_in_quarantine_is_released() -> None:
    async with opened((120, 40), troubled=True) as console:
        assert "12 · 10 training · 1 late · 1 quarantine" in console.text("table")
        assert "x releases it" in console.text("log")
        await console.press(*TO_PORT, "x")
        assert "faults of port-authority, for demonstration" in console.text("dialog")
        assert "(2 replies refused (nan" in console.text("dialog")
        await console.press("r")
        assert console.run.sent == [cmd.Release("port-authority")]
        assert console.said == "port-authority leaves quarantine with round 8"
        assert "next round   release port-authority" in console.text("last-rows")
        await console.press("u")
        assert console.said == "taken back: release port-authority"
        await console.press("x", "r")
        await console.at(SHOWN_AT + 12)
        assert console.app.session.state.organizations["port-authority"].state in ("training", "waiting")
        assert "released from quarantine with round 8" in console.text("log")


async def test_who_is_not_in_quarantine_cannot_be_released_and_other_keys_are_answered() -> None:
    async with opened() as console:
        await console.press("x")
        assert "r release from quarantine   (it is not in quarantine)" in console.text("dialog")
        await console.press("r")
        assert "bank-disputes is not in quarantine" in console.text("dialog")
        await console.press("9")
        assert "9 does nothing here" in console.text("dialog")
        assert isinstance(console.app.screen, FaultsDialog)
        assert console.run.sent == []


async def test_it_speaks_of_the_organization_for_which_it_was_opened() -> None:
    async with opened() as console:
        await console.press("j", "x")
        console.app.session.select(0)
        console.app.paint()
        await console.press("4")
        assert console.run.sent == [cmd.Fault("nan", "city-permits")]


async def test_the_fault_that_stands_is_said() -> None:
    async with opened() as console:
        await console.press("x")
        assert "now:" not in console.text("dialog")
        await console.press("escape")
        turned = ev.KnobTurned(7, "fault", "none", "nan in rounds 7-9", 1, "bank-disputes")
        console.run._tell(turned, SHOWN_AT)
        await console.until(lambda: console.app.session.state.organizations["bank-disputes"].fault != "")
        await console.press("x")
        assert "now: nan in rounds 7-9" in console.text("dialog")


async def test_of_very_many_organizations_those_with_faults_stand_first_and_the_head_says_so() -> None:
    async with opened((120, 40)) as console:
        session, before = console.app.session, console.app.session.order
        for number in range(300):
            session.handle._records.append(Record(0, SHOWN_AT, ev.OrgJoined(f"office-{number}", 7)))
        session.handle._records.append(Record(0, SHOWN_AT, ev.UpdateRejected("office-200", 7, "loss is nan")))
        session.handle._records.append(
            Record(0, SHOWN_AT, ev.UpdateLate("school", 7, "after the deadline of 9 s", 9.5))
        )
        session.poll()
        console.app.paint()
        assert session.order[:3] == ("office-200", "school", "bank-disputes")
        assert session.selected == before[0]
        assert "faults first" in console.text("table")
