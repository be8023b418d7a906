"""A run without protection says so as long as it is looked at, and who was refused at the door is told and counted."""

from dataclasses import replace

import pytest

from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.toasts import unasked
from fedlora_tui.console.wording import entry_of
from fedlora_tui.headless import _sentence
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record, from_json, to_json
from fedlora_tui.protocol.state import RunState, apply, fold
from tests.flows.opened import UTF8, console_on
from tests.flows.scripted_run import HandClock, ScriptedRun

LACKING = "no TLS, any node is let in"
REFUSED = ev.NodeRefused("its key is not registered", "192.0.2.9", "SHA256:abc", 3)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("terminal", [UTF8, {**UTF8, "NO_COLOR": "1"}])
async def test_the_first_row_says_it_on_every_page_by_a_word(size, terminal):
    clock = HandClock()
    run = ScriptedRun(clock)
    app = console_on(run, clock=clock, terminal=terminal)
    async with app.run_test(size=size) as pilot:
        while app.session.state.seq == 0:
            await pilot.pause(0.02)
        assert "INSECURE" not in _first_row(app)
        run._tell(ev.Deployed(LACKING), clock.now)
        while not app.session.state.insecure:
            await pilot.pause(0.02)
        for keys in ([], ["enter"], ["escape", "r"], ["escape", "l"], ["escape", "space"]):
            await pilot.press(*keys)
            app.session.poll()
            app.paint()
            await pilot.pause(0.05)
            assert "! INSECURE" in _first_row(app)
            assert "round 7/20" in _first_row(app)


def _first_row(app) -> str:
    return app.screen.query_one("#run-line").text


def test_it_is_in_the_journal_so_that_attach_and_replay_show_it_and_a_run_goes_on_as_it_then_is():
    told = [Record(1, 1.0, ev.Deployed(LACKING)), Record(2, 2.0, REFUSED), Record(3, 3.0, REFUSED)]
    state = fold(RunState(), (from_json(to_json(record)) for record in told))
    assert (state.insecure, state.refused) == (LACKING, 6)
    went_on = ev.RunContinued(0, "its process was killed", ("a",), 3, 4, {}, 1e-3, "fedit", 10)
    state = apply(state, Record(4, 4.0, went_on))
    assert (state.insecure, state.refused) == (LACKING, 6)
    assert apply(state, Record(5, 5.0, ev.Deployed())).insecure == ""


def test_the_log_says_who_was_refused_and_what_is_lacking():
    def words(event):
        entry = entry_of(Record(1, 1.0, event), RunState(), UNICODE)
        return None if entry is None else (entry.name, entry.words)

    said = "a node, 3 times, from 192.0.2.9: its key is not registered (SHA256:abc)"
    assert words(REFUSED) == ("refused", said)
    assert words(ev.NodeRefused("its clock", "", "", 1)) == ("refused", "a node: its clock")
    known = replace(REFUSED, whose="mill")
    assert words(known) == ("refused", said.replace("a node", "a node with mill's key"))
    shown = unasked(known, "", UNICODE)
    assert shown is not None
    assert shown.words == "a node with mill's key was refused: its key is not registered"
    assert _sentence(Record(1, 1.0, known), RunState()).startswith("a node with mill's key was refused 3x from")
    assert (
        _sentence(Record(1, 1.0, REFUSED), RunState())
        == "a node was refused 3x from 192.0.2.9: its key is not registered SHA256:abc"
    )
    unknown = Record(1, 1.0, ev.NodeRefused("its clock", "", "", 1))
    assert _sentence(unknown, RunState()) == "a node was refused 1x: its clock"
    assert words(ev.Deployed(LACKING)) == ("INSECURE", LACKING)
    assert words(ev.Deployed()) is None


async def test_a_refusal_is_told_over_any_page():
    clock = HandClock()
    run = ScriptedRun(clock)
    app = console_on(run, clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        while app.session.state.seq == 0:
            await pilot.pause(0.02)
        run._tell(REFUSED, clock.now)
        while not app.view().toasts:
            await pilot.pause(0.02)
        assert app.view().toasts[0].words == "a node was refused: its key is not registered"
