"""Leaving the console: at once, after the round, now, and when the run does not listen."""

from __future__ import annotations

import pytest
from textual import events
from textual.binding import Binding
from textual.dom import DOMNode

from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.protocol import commands as cmd
from tests.flows.opened import ScriptedFork, opened
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT
from tests.flows.test_replaying import journal_until, replayed


async def test_a_finished_run_is_left_at_once() -> None:
    async with opened(at=SHOWN_AT + 400) as console:
        await console.press("q")
        await console.until(lambda: console.app.return_value == "over")
        assert console.run.sent == []


async def test_stop_ends_the_run_and_then_the_console() -> None:
    async with opened() as console:
        await console.press("q", "s")
        assert console.run.sent == [cmd.Stop()]
        console.clock.now += 1
        await console.until(lambda: console.app.return_value == "stop")
        assert console.app.session.state.phase == "stopped"


async def test_finish_waits_for_the_round() -> None:
    async with opened() as console:
        await console.press("q", "up", "up", "enter")
        assert console.run.sent == [cmd.Finish()]
        assert "◑ finishing" in console.text("run-line")
        assert console.app.is_running
        console.clock.now += 10
        await console.until(lambda: console.app.return_value == "finish")
        assert console.app.session.state.phase == "done"


async def test_ctrl_q_asks_even_over_a_dialog() -> None:
    async with opened() as console:
        await console.press("e", "ctrl+q")
        assert isinstance(console.app.screen, LeaveDialog)
        await console.press("escape")
        assert console.app.screen is console.app.overview
        assert console.app.is_running


async def test_q_asks_over_the_export_dialog_too() -> None:
    async with opened() as console:
        await console.press("e", "4", "q")
        assert isinstance(console.app.screen, LeaveDialog)
        assert console.run.sent == []
        await console.press("q")
        assert console.app.screen is console.app.overview


async def test_q_over_the_export_dialog_leaves_a_finished_run_at_once() -> None:
    async with opened(at=SHOWN_AT + 400) as console:
        await console.press("e", "q")
        await console.until(lambda: console.app.return_value == "over")


async def test_q_closes_help_and_nothing_else() -> None:
    async with opened() as console:
        await console.press("question_mark", "q")
        assert console.app.screen is console.app.overview
        assert console.app.is_running


async def test_ctrl_c_twice_stops() -> None:
    async with opened() as console:
        await console.press("ctrl+c", "ctrl+c")
        assert console.run.sent == [cmd.Stop()]
        console.clock.now += 1
        await console.until(lambda: console.app.return_value == "stop")


async def test_a_run_that_does_not_stop_is_left_by_ctrl_c_twice_again() -> None:
    async with opened(deaf=True) as console:
        await console.press("ctrl+c", "ctrl+c")
        await console.press("q")
        assert console.said == "stopping already: ctrl+c twice leaves without waiting"
        assert "stopping…" in console.text("run-line")
        await console.press("ctrl+c", "ctrl+c")
        await console.until(lambda: console.app.return_value == "abandoned")


async def test_a_start_can_be_stopped_but_not_finished() -> None:
    async with opened(at=BEGAN_AT + 0.5, prepare_seconds=1.0) as console:
        await console.press("q", "f")
        assert "no round is under way yet" in console.text("dialog")
        assert console.run.sent == []
        await console.press("s")
        assert console.run.sent == [cmd.Stop()]


async def test_a_refusal_ends_the_console_at_once() -> None:
    async with opened(refusal="no such model: gtp2") as console:
        await console.until(lambda: console.app.return_value == "refused")


async def test_keys_typed_ahead_reach_the_dialog() -> None:
    async with opened() as console:
        for key in ("e", "enter", "q", "s"):
            console.app.post_message(_key(key))
        await console.until(lambda: len(console.run.sent) == 2)
        assert console.run.sent == [cmd.Export(), cmd.Stop()]


def _key(name: str) -> events.Key:
    return events.Key(name, name if len(name) == 1 else None)


@pytest.mark.parametrize(
    "keys", [("e",), ("x",), ("question_mark",), ("b",), ("f",), ("q",), ("slash", "b"), ("4", "4")]
)
@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+c"])
async def test_the_terminals_own_keys_ask_whatever_is_open(keys: tuple[str, ...], key: str) -> None:
    async with opened(fork=ScriptedFork()) as console:
        await console.press(*keys, key)
        assert isinstance(console.app.screen, LeaveDialog)
        assert console.app.is_running
        assert console.run.sent == []


@pytest.mark.parametrize("keys", [(), ("e",), ("slash", "b"), ("c",)])
async def test_ctrl_z_says_how_to_leave_a_run_running_and_stops_nothing(keys: tuple[str, ...]) -> None:
    async with opened() as console:
        await console.press(*keys, "ctrl+z")
        assert console.said == "ctrl+z does nothing here: q then d leaves it running"
        assert console.run.sent == []
        assert console.app.is_running
        assert console.app.session.arrangement.typed == ("b" if "b" in keys else "")


async def test_ctrl_z_does_nothing_to_a_replay() -> None:
    async with replayed(journal_until(SHOWN_AT)) as console:
        await console.press("ctrl+z")
        assert console.said == "ctrl+z does nothing here: q leaves the replay"


async def test_textuals_own_palette_and_its_quit_are_not_there() -> None:
    async with opened() as console:
        assert not console.app.ENABLE_COMMAND_PALETTE
        actions = {binding.action for screen in (console.app, console.app.screen) for binding in _bindings(screen)}
        assert actions
        assert all(action.startswith(("act(", "app.act(")) for action in actions)


def _bindings(node: DOMNode) -> list[Binding]:
    return [binding for same_key in node._bindings.key_to_bindings.values() for binding in same_key]
