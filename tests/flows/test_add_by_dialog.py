"""The dialog that adds organizations: what it asks the run for from each kind of place, and what it refuses."""

from __future__ import annotations

import pytest

from fedlora_tui.console.screens.add_by import AddByDialog
from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol import events as ev
from tests.flows.opened import ScriptedWheel, opened
from tests.flows.scripted_run import SHOWN_AT

TO_FOLDER, TO_HUB = ["right"], ["left"]
TO_PATH, TO_NAME, TO_MANY, TO_RANK = ["tab"], ["tab"] * 2, ["tab"] * 3, ["shift+tab"]


@pytest.mark.parametrize(
    ("keys", "commands"),
    [
        ([], [cmd.AddOrganization()]),
        ([*TO_PATH, *"bank"], [cmd.AddOrganization(like="bank")]),
        ([*TO_PATH, *"bankx", "backspace", "tab", "tab", "right"], [cmd.AddOrganization(like="bank")] * 2),
        ([*TO_MANY, "2"], [cmd.AddOrganization()] * 12),
        ([*TO_MANY, "2", "backspace"], [cmd.AddOrganization()]),
        ([*TO_RANK, "right"], [cmd.AddOrganization(rank=8)]),
        ([*TO_RANK, "2"], [cmd.AddOrganization(rank=2)]),
        ([*TO_RANK, "2", "backspace"], [cmd.AddOrganization()]),
        ([*TO_FOLDER, *TO_PATH, *"notes"], [cmd.AddOrganization(folder="notes")]),
        ([*TO_FOLDER, *TO_PATH, *"notes", "tab", *"qa"], [cmd.AddOrganization(org="qa", folder="notes")]),
        (
            [*TO_FOLDER, *TO_PATH, *"notes", "tab", "tab", "right"],
            [cmd.AddOrganization(folder="notes", each=True)] * 2,
        ),
        ([*TO_HUB, *TO_PATH, *"letters"], [cmd.AddOrganization(hub="letters")]),
    ],
)
async def test_it_asks_for_what_its_fields_say(keys: list[str], commands: list[cmd.AddOrganization]) -> None:
    async with opened() as console:
        console.app.session.state.started.config["lora"] = {}  # type: ignore[index, union-attr]
        await console.press("A", *keys, "enter")
        assert console.app.screen is console.app.overview
        assert console.run.sent == commands
        assert "next round   + " in console.text("last-rows")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ([*TO_FOLDER], "the path is missing: a folder or a file of text"),
        ([*TO_HUB], "the id is missing: a dataset's id, like user/name"),
        ([*TO_HUB, *TO_PATH, "x", "tab", "tab", "right"], "a dataset is one organization"),
        ([*TO_FOLDER, *TO_PATH, "x", "tab", "y", "tab", "right"], "several have no name in common"),
        ([*TO_FOLDER, *TO_PATH, "x", "tab", *"school"], "school takes part already: give it another name"),
        ([*TO_RANK, *"2000"], "rank 2000: allowed is 1 to 1,024"),
    ],
)
async def test_what_cannot_be_is_refused_in_the_dialog(keys: list[str], complaint: str) -> None:
    async with opened() as console:
        await console.press("A", *keys, "enter")
        assert isinstance(console.app.screen, AddByDialog)
        assert complaint in console.text("dialog")
        assert console.run.sent == []


async def test_it_says_what_they_cost_and_when_they_join() -> None:
    async with opened((120, 40)) as console:
        await console.press("A")
        shown = console.text("dialog")
        assert "from      ‹ synthetic ›   folder   hub" in shown
        assert "rank      as all (4)" in shown
        assert "costs     1.1 MiB a round, memory as now, +0.7 s a round   (estimates)" in shown
        assert "joins     at round 8 with the adapter of round 7" in shown
        await console.press(*TO_MANY, "right")
        assert "costs     2.2 MiB a round" in console.text("dialog")


async def test_what_the_run_refuses_is_said() -> None:
    async with opened(deaf=True) as console:
        await console.press("A", *TO_FOLDER, *TO_PATH, *"notes", "enter")
        refused = ev.CommandRefused("add", "notes", "no such folder or file: 'notes'")
        console.run._tell(refused, SHOWN_AT)
        await console.until(lambda: console.said == "no such folder or file: 'notes'")


async def test_several_with_a_rank_of_their_own_get_one_answer() -> None:
    async with opened(deaf=True, size=(120, 40)) as console:
        console.app.session.state.started.config["lora"] = {}  # type: ignore[index, union-attr]
        await console.press("A", *TO_MANY, "right", "tab", "8", "enter")
        assert console.run.sent == [cmd.AddOrganization(rank=8)] * 2
        for name in ("clinic", "clinic-2"):
            console.run._tell(ev.CommandAcknowledged("add", name, 8), SHOWN_AT)
            console.run._tell(ev.CommandAcknowledged("rank", {"org": name, "rank": 8}, 8, before=4), SHOWN_AT)
        await console.until(lambda: console.said == "+ clinic with rank 8, + clinic-2 with rank 8, from round 8 on")
        console.run._tell(ev.CommandAcknowledged("rank", {"org": "clinic", "rank": 2}, 8, "Ana", 8), SHOWN_AT)
        await console.until(lambda: console.said.startswith("Ana: clinic rank 8"))


async def test_one_with_text_from_elsewhere_waits_under_its_name_and_joins() -> None:
    async with opened(deaf=True) as console:
        value = {"org": "clinic", "place": "folder:/data/clinic"}
        console.run._tell(ev.CommandAcknowledged("add", value, 8), SHOWN_AT)
        await console.until(lambda: console.said == "clinic joins at round 8 with the adapter of round 7")
        assert "next round   + clinic " in console.text("last-rows")
        console.run._tell(ev.OrgJoined("clinic", 8), SHOWN_AT)
        await console.until(lambda: "next round" not in console.text("last-rows"))


async def test_unequal_ranks_are_refused_where_the_method_needs_equal_ones() -> None:
    async with opened() as console:
        console.run._tell(ev.KnobTurned(7, "aggregation", "hetlora", "fedit", 147_456, unequal_ranks=False), SHOWN_AT)
        await console.until(lambda: not console.app.session.state.unequal_ranks)
        await console.press("A", *TO_RANK, "right", "enter")
        assert "fedit needs equal ranks: as all (4)" in console.text("dialog")


async def test_letters_are_written_in_a_text_and_keys_elsewhere() -> None:
    async with opened() as console:
        await console.press("A", "z")
        assert "z does nothing here" in console.text("dialog")
        await console.press("tab", "q", "A")
        assert "like      qA▏" in console.text("dialog")
        await console.press("tab", "tab", "q")
        assert isinstance(console.app.screen, LeaveDialog)


async def test_it_is_left_without_a_change() -> None:
    async with opened() as console:
        await console.press("A", "tab", *"bank", "escape")
        assert console.app.screen is console.app.overview
        assert console.run.sent == []


async def test_watching_it_says_who_steers() -> None:
    async with opened(wheel=ScriptedWheel(may_steer=False, holder="ada@pts/3", alone=False)) as console:
        await console.press("A")
        assert console.said == "ada@pts/3 steers: w takes the wheel"


async def test_ascii_alone() -> None:
    async with opened(options={"ascii": True}) as console:
        await console.press("A", "tab", "x")
        assert console.text("dialog").isascii()
