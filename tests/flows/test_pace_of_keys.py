"""A key is answered at once, however slowly data is painted; over SSH data is painted half as often."""

from __future__ import annotations

import pytest

from tests.flows.opened import Opened, opened
from tests.flows.scripted_run import SHOWN_AT

SLOWLY = {"refresh_hz": 0.001}


async def paints(console: Opened, seconds: float) -> list[bool]:
    """Note what is painted for data while steps come quicker than it is painted, by the console's own clock."""
    due: list[bool] = []
    pace, moment = console.app._pace, 1000.0
    pace.painted(console.app.runs.states, moment)
    for _ in range(round(seconds * 20)):
        moment += 0.05
        console.clock.now += 0.05
        console.app.runs.poll()
        due.append(pace.due(console.app.runs.states, moment) is not None)
    return due


async def test_a_key_is_answered_at_once_however_slow_the_pace_is() -> None:
    async with opened(options=SLOWLY) as console:
        await console.press("j")
        assert "› city-permits" in console.text("table")
        await console.press("slash", "p")
        assert "/ p▏" in console.text("last-rows")
        await console.press("escape", "escape", "a")
        assert "next round   + clinic-9" in console.text("last-rows")


@pytest.mark.parametrize(("connection", "most"), [("", 4), ("10.0.0.1 50022 10.0.0.2 22", 2)])
async def test_data_is_painted_so_often_and_no_more(
    connection: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", connection)
    async with opened(at=SHOWN_AT - 2) as console:
        # Two seconds within a round: nothing happens that is painted at once.
        painted = sum(await paints(console, 2.0))
        assert 2 * most - 2 <= painted <= 2 * most + 1
