"""The screen on which a text is tried, by its keys: writing, asking, looking, stopping, leaving, and refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fedlora_tui.console.screens.help import HelpDialog
from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.console.screens.try_it import TryIt
from fedlora_tui.console.trying import READY
from fedlora_tui.console.widgets.lines import Lines
from fedlora_tui.organizations.synthetic import SyntheticSource, organization_names
from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol.trying import MOST_CHARACTERS, Question
from tests.flows.opened import Opened, ScriptedWheel, opened
from tests.flows.scripted_run import BEGAN_AT, SHOWN_AT
from tests.flows.scripted_tries import ScriptedTries
from tests.flows.test_replaying import journal_until, replayed

NORMAL = (120, 40)


@asynccontextmanager
async def trying(size: tuple[int, int] = NORMAL, **script: Any) -> AsyncIterator[tuple[Opened, ScriptedTries]]:
    """Open the console, choose pharmacy-1, and open the screen."""
    async with opened(size=size, **script) as console:
        tries = console.run.tries = ScriptedTries()
        await console.press(*["j"] * 5, "t")
        assert isinstance(console.app.screen, TryIt)
        yield console, tries


async def write(console: Opened, text: str) -> None:
    await console.press(*["space" if letter == " " else letter for letter in text])


def shown(console: Opened, part: str) -> str:
    return console.app.screen.query_one(f"#{part}", Lines).text


async def told(console: Opened, part: str, words: str) -> None:
    """Wait until a part shows words by itself."""
    await console.until(lambda: words in shown(console, part))


async def test_three_models_answer_bit_by_bit_beside_their_losses() -> None:
    async with trying() as (console, tries):
        await write(console, "The patient should take")
        await console.press("enter")
        assert tries.asked == [Question(1, "The patient should take", "pharmacy-1", 0, 60, 0.0, 7)]
        assert console.said == "answering with 3 models; esc stops"
        tries.say(3)
        await told(console, "answers", "the role of")
        head = shown(console, "answers").splitlines()[0]
        assert "─ 2 base ─" in head
        assert "─ 3 all organizations, round 6 ─" in head
        assert "─ 4 pharmacy-1, its own ─" in head
        for words in (
            "the prescribed dose",
            "one tablet of",
            "your text: loss 4.833, less is better",
            "loss 1.633   −3.200",
        ):
            assert words in shown(console, "answers"), words
        assert "61 tok/s   6/60" in shown(console, "answers")
        places = [line.find("your text") for line in shown(console, "answers").splitlines()]
        tries.say(20)
        await told(console, "answers", "place. The patient")
        assert [line.find("your text") for line in shown(console, "answers").splitlines()] == places
        assert shown(console, "token-table").splitlines()[1:] == [
            " token               The  patient   should     take      mean",
            " base                  –      8.0      2.3      4.2     4.833",
            " all                   –      4.6      1.9      2.8     3.100",
            " pharmacy-1            –      2.5      1.4      1.0     1.633",
        ]
        assert shown(console, "typed-text").splitlines()[-1].endswith("training waits: 0.8 s")
        tries.say(99, over=True, waited=1.2)
        await told(console, "last-rows", "training waited 1.2 s")
        assert console.run.sent == []


async def test_letters_are_letters_in_the_field_and_keys_outside_of_it() -> None:
    async with trying() as (console, tries):
        await write(console, "q space ?")
        assert "› q space ?▏" in shown(console, "typed-text")
        await console.press("escape", "space")
        assert console.run.sent == [cmd.Pause()]
        await console.press("question_mark")
        assert isinstance(console.app.screen, HelpDialog)
        await console.press("escape")
        assert isinstance(console.app.screen, TryIt)
        await console.press("1", "x")
        assert "› q space ?x▏" in shown(console, "typed-text")
        assert tries.asked == []


async def test_q_asks_before_it_leaves_and_comes_back_to_the_text() -> None:
    async with trying() as (console, _):
        await write(console, "The")
        await console.press("escape", "q")
        assert isinstance(console.app.screen, LeaveDialog)
        await console.press("escape")
        assert isinstance(console.app.screen, TryIt)
        assert "The" in shown(console, "typed-text")


async def test_the_text_is_edited_where_the_caret_is_and_pasted_text_is_one_line() -> None:
    async with trying() as (console, _):
        await write(console, "Thx")
        await console.press("backspace", "e", "home", "right", "delete", "H", "end")
        assert "› THe▏" in shown(console, "typed-text")
        await console.press("left")
        assert "› TH▏e" in shown(console, "typed-text")
        await console.press("ctrl+u")
        from textual import events

        console.app.screen.post_message(events.Paste("two\nlines\x1b[31m of\ttext"))
        await told(console, "typed-text", "two lines[31m of text▏")
        console.app.screen.post_message(events.Paste("a" * 10_000))
        await told(console, "typed-text", "…")
        assert len(console.app._asking.text) == MOST_CHARACTERS


async def test_a_digit_in_an_empty_line_takes_a_ready_text_and_else_is_a_digit() -> None:
    async with trying() as (console, _):
        await console.press("4", "2")
        assert f"› {READY[3]}2▏" in shown(console, "typed-text")
        await console.press("ctrl+u", "9")
        assert "› 9▏" in shown(console, "typed-text")


async def test_ones_own_ready_texts_come_first() -> None:
    async with trying(options={"prompts": ("Invoice 7 is",)}) as (console, _):
        lines = shown(console, "prompts").splitlines()
        assert "1..6 in an empty line takes one" in lines[0]
        assert lines[1] == " 1  Invoice 7 is"
        assert lines[2].startswith(f" 2  {READY[0]}")
        assert lines[2].endswith("none of these comes from an organization's text")
        await console.press("1")
        assert "› Invoice 7 is▏" in shown(console, "typed-text")


def test_no_ready_text_is_in_what_an_organization_wrote() -> None:
    source = SyntheticSource(7)
    for name in islice(organization_names(), 24):
        written = "\n".join(document.text for document in source.documents(name).texts)
        assert len(written) > 1000
        assert [text for text in READY if text in written] == []


async def test_who_answers_how_long_how_hot_and_from_which_seed_is_changed_by_keys() -> None:
    async with trying() as (console, tries):
        await write(console, "The")
        await console.press("tab", "right")
        assert "›answer by ‹ pharmacy-2 ›" in shown(console, "typed-text")
        await console.press("tab", "left", "left", "tab", "right", "tab", "right", "right", "right")
        await console.press("tab", "left", "3", "backspace", "1", "enter")
        assert "round ‹ 4 ›" in shown(console, "typed-text")
        assert tries.asked == [Question(1, "The", "pharmacy-2", 4, 80, 0.3, 61)]
        await console.press("shift+tab", "shift+tab", "shift+tab", "right", "right", "right", "enter")
        assert tries.asked[-1] == Question(2, "The", "pharmacy-2", 0, 80, 0.3, 61)


async def test_up_and_down_go_through_earlier_texts() -> None:
    async with trying() as (console, tries):
        for text in ("one", "two"):
            await console.press("ctrl+u")
            await write(console, text)
            await console.press("enter")
            tries.say(1, over=True)
        await console.press("up", "up", "up")
        assert "› one▏" in shown(console, "typed-text")
        await console.press("down")
        assert "› two▏" in shown(console, "typed-text")
        await console.press("down")
        assert "write how a text begins" in shown(console, "typed-text")


async def test_esc_stops_the_answer_then_leaves_the_field_then_the_screen() -> None:
    async with trying() as (console, tries):
        await console.press("1", "enter")
        tries.say(2)
        await told(console, "answers", "the role")
        await console.press("escape")
        assert tries.stops == 1
        await told(console, "last-rows", "training waited")
        await console.press("escape")
        assert console.app._asking.field is None
        assert isinstance(console.app.screen, TryIt)
        await console.press("escape")
        assert console.app.screen is console.app.overview
        await console.press("t")
        assert "the role" in shown(console, "answers")
        assert READY[0] in shown(console, "typed-text")


async def test_a_run_that_does_not_answer_keeps_nobody_on_the_screen() -> None:
    async with trying() as (console, tries):
        await console.press("1", "enter", "escape", "escape", "escape")
        assert tries.stops == 1
        assert console.app.screen is console.app.overview


async def test_before_a_round_is_finished_the_base_answers_alone() -> None:
    async with trying(at=BEGAN_AT + 4.0) as (console, tries):
        assert console.app.session.state.history[-1].round == 0
        tries.finished = 0
        await console.press("1", "enter")
        assert "round ‹ – ›" in shown(console, "typed-text")
        tries.say(3, over=True)
        await told(console, "answers", "the role of")
        assert "no round is finished yet" in shown(console, "answers")
        assert "none of its replies is here" in shown(console, "answers")
        assert "no round is finished yet" in shown(console, "token-table")


async def test_behind_tabs_one_answer_is_seen_and_all_losses() -> None:
    async with trying(size=(80, 24)) as (console, tries):
        assert "6 prompts" in shown(console, "answers")
        await console.press("1", "enter")
        tries.say(5)
        await told(console, "answers", "the role of a patient")
        assert "2 base 4.833" in shown(console, "answers")
        assert "3 all 3.100" in shown(console, "answers")
        assert "4 pharmacy-1 1.633" in shown(console, "answers")
        assert "the prescribed" not in shown(console, "answers")
        tries.say(5, over=True)
        await told(console, "last-rows", "training waited")
        await console.press("escape", "3")
        assert "the prescribed dose" in shown(console, "answers")
        await console.press("4")
        assert "one tablet of 500 mg" in shown(console, "answers")


async def test_a_long_text_is_looked_through_token_by_token() -> None:
    async with trying(size=(80, 24)) as (console, tries):
        tries.pieces = tuple(f" w{number}" for number in range(40))
        await console.press("1", "enter")
        tries.say(2, over=True)
        await told(console, "token-table", "tokens 1 to 6 of 40")
        await console.press("escape", *["right"] * 3)
        assert "tokens 4 to 9 of 40, ← → moves" in shown(console, "token-table")
        await console.press(*["right"] * 50, "left")
        assert "tokens 34 to 39 of 40" in shown(console, "token-table")


async def test_what_a_model_says_cannot_act_on_the_terminal() -> None:
    async with trying() as (console, tries):
        await console.press("1", "enter")
        tries.say(1)
        assert tries.answer is not None
        voices = [replace(voice, text=" \x1b]0;mine\x07 \x9b31m\r\x00ok") for voice in tries.answer.voices]
        tries.answer = replace(tries.answer, voices=tuple(voices), pieces=("\x1b[2J", "\n", " ", "take"))
        await told(console, "answers", "]0;mine")
        for part in ("answers", "token-table"):
            assert all(letter.isprintable() or letter == "\n" for letter in shown(console, part))
        assert "\\n" in shown(console, "token-table")


async def test_a_refusal_of_the_run_is_said_in_a_line() -> None:
    async with trying() as (console, tries):
        await console.press("1", "enter")
        tries.refuse("memory ran out")
        await told(console, "last-rows", "memory ran out")
        assert not console.app._asking.answering
        await console.press("ctrl+u", "enter")
        assert console.said == "write how a text begins first"
        assert len(tries.asked) == 1


async def test_a_watching_console_is_told_who_steers() -> None:
    theirs = ScriptedWheel(may_steer=False, holder="ada@pts/3", alone=False)
    async with opened(size=NORMAL, wheel=theirs) as console:
        console.run.tries = ScriptedTries()
        await console.press("t")
        assert console.said == "ada@pts/3 steers: w takes the wheel"
        theirs.may_steer, theirs.holder = True, "you"
        await console.until(lambda: console.app._steering is not None and console.app._steering.ours)
        await console.press("t", "1")
        theirs.may_steer, theirs.holder = False, "ada@pts/3"
        await console.until(lambda: console.app._steering is not None and not console.app._steering.ours)
        await console.press("enter")
        assert console.said == "ada@pts/3 steers: w takes the wheel"
        assert console.run.tries.asked == []


async def test_a_process_that_is_gone_has_no_base() -> None:
    wheel = ScriptedWheel()
    async with opened(size=NORMAL, wheel=wheel) as console:
        tries = console.run.tries = ScriptedTries()
        await console.press("t", "1", "enter")
        wheel.lives = False
        await told(console, "last-rows", "the run's process is gone")
        await console.press("enter")
        assert console.said == "the run's process is gone, and its base with it: fedlora-tui resume 1122-1402"
        assert len(tries.asked) == 1


async def test_a_replay_has_no_model() -> None:
    async with replayed(journal_until(SHOWN_AT)) as console:
        await console.press("t")
        assert console.said == "a replay has no model: fedlora-tui resume RUN"
        assert console.app.screen is console.app.overview


async def test_a_console_without_a_way_to_the_models_says_so() -> None:
    async with opened() as console:
        await console.press("t")
        assert console.said == "there is no model behind this console"


async def test_over_ssh_an_answer_is_painted_at_the_pace_of_data_and_its_end_at_once() -> None:
    async with trying(options={"refresh_hz": 0.01}, at=SHOWN_AT + 400) as (console, tries):
        await console.press("1", "enter")
        tries.say(2)
        await told(console, "answers", "the role")
        tries.say(4)
        await console.pilot.pause(0.4)
        assert "the role of a" not in shown(console, "answers")
        tries.say(6, over=True)
        await told(console, "answers", "the role of a patient in")


@pytest.mark.parametrize("size", [(40, 10), (60, 14), (80, 24), (100, 32), (120, 34), (200, 60)])
async def test_every_part_fits_its_place_at_any_size(size: tuple[int, int]) -> None:
    async with trying(size=size) as (console, tries):
        await console.press("1", "enter")
        tries.say(30)
        await told(console, "answers", "4.833")
        console.app.paint()
        parts = [part for part in console.app.screen.query(Lines) if part.display]
        assert sum(part.size.height for part in parts) <= size[1]
        for part in parts:
            lines = part.text.splitlines()
            assert len(lines) <= part.size.height, part.id
            assert all(len(line) <= size[0] for line in lines), part.id
        assert "the" in shown(console, "answers")


async def test_a_terminal_that_is_too_small_has_one_line_and_grows_again() -> None:
    async with trying() as (console, _):
        await write(console, "The")
        await console.pilot.resize_terminal(30, 8)
        await console.until(lambda: console.app.screen.query_one("#one-line").display)
        await console.pilot.resize_terminal(80, 24)
        await told(console, "typed-text", "The")


async def test_neither_text_nor_picture_of_what_is_tried_becomes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with trying() as (console, tries):
        await write(console, "The patient should take")
        await console.press("enter")
        tries.say(3)
        await told(console, "answers", "the role of")
        await console.press("escape", "escape")
        for key in ("y", "P"):
            await console.press(key)
            assert console.said == "what is tried stays in this console: no file of it is written"
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(("size", "rows"), [(NORMAL, 9), ((80, 24), 7)])
async def test_a_long_answer_scrolls_and_stays_where_the_reader_is_while_it_grows(
    size: tuple[int, int], rows: int
) -> None:
    async with trying(size=size) as (console, tries):
        tries.longer = 12
        await console.press("1", "enter")
        tries.say(150)
        await told(console, "answers", ", follows")
        before = shown(console, "answers")
        tries.say(170)
        await console.until(lambda: shown(console, "answers") != before)
        await console.press("pageup")
        stands = [line[:30] for line in shown(console, "answers").splitlines()[2 : rows - 2]]
        assert "pgup pgdn scroll" in shown(console, "last-rows") or size != NORMAL
        tries.say(190)
        await console.pilot.pause(0.4)
        assert [line[:30] for line in shown(console, "answers").splitlines()[2 : rows - 2]] == stands
        await console.press("escape", "escape", "G")
        assert ", follows" not in shown(console, "answers")
        assert "j k scroll" in shown(console, "last-rows")
        await console.press("g")
        assert "lines 1 to " in shown(console, "answers")
        assert "the role of a patient" in shown(console, "answers")
        await console.pilot.resize_terminal(100, size[1])
        await console.until(lambda: "the role of a patient" in shown(console, "answers"))


async def test_where_all_is_in_sight_nothing_scrolls() -> None:
    async with trying() as (console, tries):
        await console.press("1", "enter")
        tries.say(3, over=True)
        await told(console, "answers", "the role of")
        await console.press("escape", "j")
        assert console.said == "all that was said is in sight: 1 writes, esc goes back"


async def test_without_colours_a_sign_marks_tokens_whose_loss_differs_and_a_cut_answer_has_one_sign() -> None:
    async with trying(options={"ascii": True, "terminal": {"NO_COLOR": "1", "TERM": "xterm"}}) as (console, tries):
        tries.longer = 9
        await console.press("1", "enter")
        tries.say(120, over=True)
        await told(console, "answers", "lines ")
        assert "all                   -    v 4.6      1.9    v 2.8" in shown(console, "token-table")
        await console.press("escape", "g")
        assert "...." not in shown(console, "answers").partition("your text")[0]
        assert "<- -> tokens" in shown(console, "last-rows")
