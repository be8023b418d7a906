"""The dialog of a fork: what its keys write, what it asks for, and what is told of the answer."""

from __future__ import annotations

import pytest

from fedlora_tui.console.screens.fork import ForkDialog
from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.protocol.handle import Forked
from tests.flows.opened import ScriptedFork, ScriptedWheel, opened
from tests.flows.scripted_run import SHOWN_AT

CHANGES = "lora.rank=8 federation.learning_rate=5e-4"


def ready(**answer: str) -> ScriptedFork:
    """A fork that answers at once."""
    fork = ScriptedFork(Forked(**answer))
    fork.may_answer.set()
    return fork


async def test_what_is_written_is_asked_for_and_the_new_run_is_told() -> None:
    fork = ScriptedFork()
    async with opened(fork=fork) as console:
        await console.press("f", "tab", *CHANGES)
        assert f"changes  {CHANGES}" in console.text("dialog")
        assert "A run of its own beside this one, from round 6 on;" in console.text("dialog")
        await console.press("enter")
        assert console.app.screen is console.app.overview
        assert console.said == "forking round 6…"
        await console.press("j")
        assert console.app.session.selected == "city-permits"
        await console.press("f")
        assert console.said == "a fork is being started already"
        fork.may_answer.set()
        await console.until(lambda: "forked" in console.said)
        assert console.said == "forked: it goes on beside; fedlora-tui attach 1122-1403-new"
        assert fork.asked == [("1122-1402", 6, ("lora.rank=8", "federation.learning_rate=5e-4"))]
        assert console.run.sent == []


async def test_a_refusal_is_told_and_another_fork_may_be_asked_for() -> None:
    fork = ready(refusal="--set lora.rnk=8: no such key")
    async with opened(fork=fork) as console:
        await console.press("f", *"lora.rnk=8", "enter")
        await console.until(lambda: console.said == "no fork: --set lora.rnk=8: no such key")
        await console.press("f")
        assert isinstance(console.app.screen, ForkDialog)


async def test_a_start_that_breaks_down_is_told() -> None:
    def broken(run: str, round: int, changes: object) -> Forked:
        raise RuntimeError("can't start new thread")

    async with opened(fork=ready()) as console:
        console.app._fork_beside = broken
        await console.press("f", "enter")
        await console.until(lambda: console.said == "no fork: it cannot be started: can't start new thread")


async def test_the_round_is_the_latest_the_best_or_another() -> None:
    fork = ready(run="new")
    async with opened(fork=fork) as console:
        await console.press("f", "right")
        assert "‹ best: 6, hold-out 2.905 ›" in console.text("dialog")
        await console.press("right")
        assert "type the number of a round, 1 to 6" in console.text("dialog")
        await console.press("9", "enter")
        assert "round 9 is not finished: 1 to 6 are" in console.text("dialog")
        assert isinstance(console.app.screen, ForkDialog)
        await console.press("backspace", "4", "enter")
        await console.until(lambda: fork.asked != [])
        assert fork.asked == [("1122-1402", 4, ())]


async def test_letters_are_letters_where_changes_are_written_and_keys_where_the_round_is() -> None:
    async with opened(fork=ScriptedFork()) as console:
        await console.press("f", "tab", *"qf? j1", "left")
        assert "changes  qf? j▏1" in console.text("dialog")
        assert isinstance(console.app.screen, ForkDialog)
        await console.press("end", "backspace")
        assert "changes  qf? j▏" in console.text("dialog")
        await console.press("ctrl+u")
        assert "none, or like lora.rank=8" in console.text("dialog")
        await console.press("tab", "q")
        assert isinstance(console.app.screen, LeaveDialog)


async def test_a_letter_begins_a_change_without_tab() -> None:
    async with opened(fork=ScriptedFork()) as console:
        await console.press("f", *"lora.rank=8")
        assert "changes  lora.rank=8" in console.text("dialog")


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("rank", "rank: allowed is section.key=value, like lora.rank=8"),
        ("lora.rank=", "lora.rank=: allowed is section.key=value"),
        ("=8", "=8: allowed is section.key=value"),
        ("runs.name='a", "a quotation mark is not closed"),
    ],
)
async def test_what_is_no_change_is_told_and_not_asked_for(written: str, complaint: str) -> None:
    fork = ScriptedFork()
    async with opened(fork=fork) as console:
        await console.press("f", "tab", *written, "enter")
        assert complaint in console.text("dialog")
        assert isinstance(console.app.screen, ForkDialog)
        await console.press("escape")
        assert console.app.screen is console.app.overview
        assert fork.asked == []


async def test_of_the_last_round_a_fork_needs_more_rounds() -> None:
    fork = ready(run="new")
    async with opened(at=SHOWN_AT + 400, fork=fork) as console:
        await console.press("f", "enter")
        assert "round 20 is the last: it would be done; add federation.rounds=30" in console.text("dialog")
        await console.press("tab", *"federation.rounds=30", "enter")
        await console.until(lambda: fork.asked != [])
        assert fork.asked == [("1122-1402", 20, ("federation.rounds=30",))]


async def test_a_line_that_is_too_long_shows_its_end() -> None:
    async with opened(fork=ScriptedFork()) as console:
        await console.press("f", "tab", *("x" * 80), *"end=1")
        line = next(line for line in console.text("dialog").splitlines() if "changes  " in line)
        assert "…x" in line
        assert "end=1▏" in line


async def test_who_only_watches_does_not_fork() -> None:
    theirs = ScriptedWheel(may_steer=False, holder="ada@pts/3", alone=False)
    async with opened(wheel=theirs, fork=ScriptedFork()) as console:
        await console.press("f")
        assert console.said == "ada@pts/3 steers: w takes the wheel"


async def test_a_run_of_the_consoles_own_process_has_no_fork_beside_it() -> None:
    async with opened() as console:
        await console.press("f")
        assert console.said == "a run in the console's own process has no fork beside it: fedlora-tui fork RUN"
