"""An organization's own rank turned by its keys, on a real run over the embedded base."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

from fedlora_tui.console.app import ConsoleApp
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.engine import checkpoint
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.flows.opened import UTF8, Opened
from tests.tiny_runs import GUARD, WatchedRun, configured

SETTINGS = {
    "model.device": "cpu",
    "model.max_length": 32,
    "federation.organizations": 3,
    "federation.rounds": 5,
    "federation.local_steps": 1,
    "data.holdout_tokens": 32,
}


@asynccontextmanager
async def paused_in_rounds(folder, *rounds, **changes):
    """The console on a run that pauses in each of these rounds, and goes to its end when all is done."""
    watched = WatchedRun(configured({**SETTINGS, "runs.dir": str(folder)}, **changes))
    for number in rounds:
        watched.when(
            lambda event, number=number: isinstance(event, ev.RoundStarted) and event.round == number,
            lambda: watched.run.send(ask.Pause()),
        )
    options = ConsoleOptions(bell=False)
    app = ConsoleApp([watched.run], options, clock=time.time, look=look_for(options, UTF8, "utf-8"))
    async with app.run_test(size=(120, 40)) as pilot:
        yield watched, Opened(app, pilot, watched.run, clock=None)


async def pause_in(console, round):
    state = console.app.session
    await console.until(lambda: state.state.phase == "paused" and state.state.round == round, GUARD)
    await console.pilot.pause(0.05)


def shown_rank(console, name):
    """What stands in the column of ranks beside an organization."""
    _, head, *rows = console.text("table").splitlines()
    column = head.index("rank")
    return next(row for row in rows if name in row)[column : column + 4].strip()


async def test_keys_turn_the_rank_of_the_selected_organization_up_and_down_and_back(tmp_path):
    async with paused_in_rounds(tmp_path, 1, 2, federation__aggregation="hetlora") as (watched, console):
        await pause_in(console, 1)
        first, name, *_ = console.app.session.order
        await console.press("j", "right_curly_bracket", "right_curly_bracket", "right_curly_bracket", "u")
        assert console.said == f"taken back: {name} rank 32"
        assert f"next round   {name} rank 4 → 8   {name} rank 8 → 16 " in console.text("last-rows")
        await console.press("space")
        await pause_in(console, 2)
        assert (shown_rank(console, name), shown_rank(console, first)) == ("16", "4")
        assert "rank 8 → 16 from round 2 on" in console.text("log")
        assert "trainable in common" in console.text("log")
        await console.press(*["left_curly_bracket"] * 3)
        assert console.said == f"{name} rank 4 → 2, waits for round 3"
        await console.press("space")
        await console.until(lambda: console.app.session.state.over, GUARD)
        await console.pilot.pause(0.05)
        assert (shown_rank(console, name), shown_rank(console, first)) == ("2", "4")
    up = {(event.org, event.round): event.bytes_up for event in watched.told(ev.UpdateReceived)}
    assert up[name, 3] < up[name, 1] == up[first, 1] == up[first, 2] == up[first, 3] < up[name, 2]
    assert [checkpoint.read(watched.folder, round).adapter.rank for round in (1, 2, 3)] == [4, 16, 4]
    assert watched.told(ev.CommandRefused) == []
    assert watched.run.state.phase == "done"


async def test_a_method_that_needs_equal_ranks_is_named_and_nothing_is_sent(tmp_path):
    async with paused_in_rounds(tmp_path, 1) as (watched, console):
        await pause_in(console, 1)
        await console.press("right_curly_bracket")
        assert console.said == "fedit needs equal ranks: [ ] turns that of all"
        await console.press("space")
        await console.until(lambda: console.app.session.state.over, GUARD)
    assert [event.command for event in watched.told(ev.CommandAcknowledged)] == ["pause", "resume"]
    assert watched.told(ev.CommandRefused) == []
