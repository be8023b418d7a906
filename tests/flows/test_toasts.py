"""Toasts: for what nobody asked for alone, counted, over the screen without moving it, gone by themselves or by esc."""

from __future__ import annotations

from typing import Any

import pytest

from fedlora_tui.console.toasts import SECONDS, Toast, Toasts
from fedlora_tui.protocol import events as ev
from tests.flows.opened import Opened, ScriptedWheel, opened
from tests.flows.scripted_run import SHOWN_AT
from tests.flows.test_overview import lines
from tests.flows.test_replaying import journal_until, replayed

RACE: dict[str, Any] = {"rank 2": 1.0, "rank 4": {"fail_at": (7, 50)}}


def tell(console: Opened, event: ev.Event, after: float = 0.0) -> None:
    """Let the run tell something now."""
    console.run._tell(event, console.clock.now + after)


async def shows(console: Opened, words: str) -> None:
    await console.until(lambda: words in "\n".join(lines(console)))


async def test_a_quarantine_is_told_over_the_screen_and_moves_nothing() -> None:
    async with opened() as console:
        await console.press("space")
        before = lines(console)
        tell(console, ev.OrgQuarantined("school", 7, "2 replies refused", 2))
        await shows(console, "⊘ school is in quarantine")
        after = lines(console)
        assert after[2].endswith(" ┃ ⊘ school is in quarantine  esc ")
        assert len(after[2]) == 80
        assert [line[:40] for line in before[2:4]] == [line[:40] for line in after[2:4]]
        await console.press("escape")
        assert "is in quarantine  esc" not in "\n".join(lines(console))
        await console.press("escape")
        assert console.said == "nothing to leave here: q leaves the console"


async def test_toasts_go_by_themselves() -> None:
    async with opened() as console:
        tell(console, ev.OrgQuarantined("school", 7, "2 replies refused", 2))
        await shows(console, "┃ ⊘ school is in quarantine")
        console.clock.now += SECONDS + 0.1
        await console.until(lambda: "┃ ⊘ school" not in "\n".join(lines(console)))


async def test_equal_ones_are_counted_and_two_stand_at_most() -> None:
    async with opened(size=(120, 40)) as console:
        for _ in range(3):
            tell(console, ev.Warned("the checkpoint cannot be written: No space left on device"))
        tell(console, ev.OrgQuarantined("school", 7, "2 replies refused", 2))
        await shows(console, "┃ ⊘ school is in quarantine")
        assert "┃ ! the checkpoint cannot be written: No space left on device ×3  esc" in "\n".join(lines(console))
        tell(console, ev.OrgQuarantined("insurer", 7, "2 replies refused", 2))
        await shows(console, "┃ ⊘ insurer is in quarantine")
        assert sum("┃" in line and "esc" in line for line in lines(console)[:6]) == 2


async def test_a_run_that_fails_behind_the_one_in_front_is_named_on_every_page() -> None:
    async with opened(race=RACE) as console:
        await console.press("c")
        console.clock.now = SHOWN_AT + 3
        await shows(console, "┃ ✗ rank 4: the run failed in round 7")


async def test_another_who_takes_the_wheel_is_named() -> None:
    wheel = ScriptedWheel(alone=False)
    async with opened(wheel=wheel) as console:
        await console.until(lambda: console.app._steering is not None)
        wheel.may_steer, wheel.holder = False, "ada@pts/3"
        await shows(console, "┃ ! ada@pts/3 took the wheel")


async def test_what_was_asked_for_what_is_past_and_what_is_usual_make_no_toast() -> None:
    async with opened(troubled=True) as console:
        assert "┃ ⊘" not in "\n".join(lines(console)), "a quarantine of the past"
        await console.press("space", "j", "d")
        tell(console, ev.Warned("a line of a file is too long"))
        await console.at(SHOWN_AT + 1)
        assert console.app.view().toasts == ()


async def test_a_replay_makes_none() -> None:
    records = journal_until(SHOWN_AT, troubled=True)
    async with replayed(records) as console:
        await console.press("space")
        for _ in range(8):
            await console.press("right_square_bracket")
        assert console.app.view().toasts == ()


@pytest.mark.parametrize("size", [(40, 10), (66, 17), (200, 60)])
async def test_a_toast_is_cut_to_the_terminal(size: tuple[int, int]) -> None:
    async with opened(size=size) as console:
        tell(console, ev.OrgQuarantined("a-name-that-is-longer-than-a-narrow-terminal", 7, "refused", 2))
        await shows(console, "┃ ⊘ a-name-that-is")
        assert all(len(line) == size[0] for line in lines(console))


def test_a_toast_that_comes_again_stands_longer() -> None:
    toasts, one = Toasts(), Toast("!", "care_bold", "ada@pts/3 took the wheel")
    toasts.add(one, 0.0)
    toasts.add(one, 5.0)
    assert [(toast.count, toast.until) for toast in toasts.standing(SECONDS + 1)] == [(2, 5.0 + SECONDS)]
    assert toasts.standing(5.0 + SECONDS) == ()
    assert not toasts.clear()
