"""The export dialog: enter writes the latest, everything else is a choice."""

from __future__ import annotations

import pytest

from fedlora_tui.protocol.commands import Export
from tests.flows.opened import opened


@pytest.mark.parametrize(
    ("keys", "written"),
    [
        (["enter"], Export(round="latest")),
        (["right", "enter"], Export(round="latest", merged=True)),
        (["tab", "right", "enter"], Export(round="best")),
        (["tab", "right", "right", "4", "enter"], Export(round="4")),
        (["3", "enter"], Export(round="3")),
        (["1", "9", "backspace", "enter"], Export(round="1")),
    ],
)
async def test_choices(keys: list[str], written: Export) -> None:
    async with opened() as console:
        await console.press("e", *keys)
        assert console.run.sent == [written]
        assert console.said.startswith("written: runs/1122-1402/exports/round-000")


async def test_a_round_that_is_not_finished_is_not_written() -> None:
    async with opened() as console:
        await console.press("e", "9", "enter")
        assert "round 9 is not finished: 1 to 6 are" in console.text("dialog")
        assert console.run.sent == []
        await console.press("escape")
        assert console.run.sent == []


async def test_it_says_where_and_how_large() -> None:
    async with opened() as console:
        await console.press("e")
        assert "to       runs/1122-1402/exports/round-0006 " in console.text("dialog")
        assert "576 KiB" in console.text("dialog")
        await console.press("right")
        assert "round-0006-merged" in console.text("dialog")
        assert "475 MiB" in console.text("dialog")


async def test_the_size_is_said_of_the_weights_which_is_what_it_is() -> None:
    async with opened() as console:
        await console.press("e")
        assert "576 KiB of weights, adapter_config.json + README.md" in console.text("dialog")
        await console.press("right")
        assert "475 MiB of weights, config and tokenizer + README.md" in console.text("dialog")
