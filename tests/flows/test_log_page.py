"""The page of the log: events in words, engine.log, a filter, following the end, a line shown whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.events import Paste

from fedlora_tui.console import log_lines, run_log
from fedlora_tui.console.screens.log import LogPage
from fedlora_tui.console.screens.rounds_table import RoundsTable
from fedlora_tui.console.screens.whole_line import WholeLine
from fedlora_tui.protocol import events as ev
from tests.flows.opened import Opened, opened
from tests.flows.scripted_run import SHOWN_AT
from tests.flows.test_overview import lines

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nRuntimeError: gpu 0 is gone\n'


def rows(console: Opened) -> list[str]:
    return [row for row in console.text("log-list").splitlines()[1:] if row.strip()]


def cursor(console: Opened) -> str:
    """The line under the cursor, without the scroll bar behind it."""
    return next(row for row in rows(console) if row.startswith("›")).rstrip(" ┃╎")


def with_log(tmp_path: Path, words: str) -> dict[str, str]:
    """The options of a console that finds the run's engine.log."""
    folder = tmp_path / "1122-1402"
    folder.mkdir()
    (folder / "engine.log").write_text(words)
    return {"runs_folder": str(tmp_path)}


async def test_all_events_stand_in_words_with_the_newest_at_the_end() -> None:
    async with opened(size=(120, 60)) as console:
        await console.press("l")
        told = "\n".join(rows(console))
        for words in (
            *("started          1122-1402: 12 organizations", "round 7          begins: 12 organizations, 64 steps"),
            *("checkpoint: 1.9 MiB in 38 ms", "lr 1e-3 → 5e-4 from round 4 on", "base             124M parameters"),
        ):
            assert words in told
        assert rows(console)[-1].startswith("› 14:03:04  ▸ round 7")
        assert console.text("log-list").splitlines()[0].endswith("lines   follows ━")


async def test_letters_are_letters_while_a_filter_is_typed_and_it_stays_when_it_is_left() -> None:
    async with opened() as console:
        await console.press("l", "slash", *"round q !begins")
        assert console.app.is_running
        assert "/ round q !begins▏" in console.text("log-list")
        assert rows(console) == ["  no line passes the filter: esc clears it"]
        await console.press("ctrl+u", *"round !beginx", "backspace", "s", "enter")
        assert all("round" in row and "begins" not in row for row in rows(console))
        assert "/ round !begins   1" in console.text("log-list")
        assert console.run.sent == []
        await console.press("escape")
        assert len(rows(console)) == 18
        assert isinstance(console.app.page, LogPage)
        await console.press("escape")
        assert console.app.screen is console.app.overview


async def test_the_cursor_stays_on_its_line_while_others_come_and_f_follows_again() -> None:
    async with opened() as console:
        await console.press("l", "k", "k")
        chosen = cursor(console)
        await console.at(SHOWN_AT + 40)
        assert cursor(console) == chosen
        assert "stands" in console.text("log-list").splitlines()[0]
        await console.press("f")
        assert rows(console)[-1].startswith("›")
        before = rows(console)[-1]
        await console.at(SHOWN_AT + 60)
        assert rows(console)[-1] != before
        await console.press("g")
        assert rows(console)[0].startswith("›")


async def test_enter_shows_a_line_whole() -> None:
    async with opened() as console:
        await console.press("l", "k", "enter")
        assert isinstance(console.app.screen, WholeLine)
        told = " ".join(row.strip("│ ") for row in console.text("dialog").splitlines())
        assert "13.5 MiB   saved" in told
        await console.press("enter")
        assert isinstance(console.app.page, LogPage)
        assert console.app.screen is console.app.page


async def test_with_nothing_to_show_the_key_says_so() -> None:
    async with opened() as console:
        await console.press("l", "slash", *"nowhere", "enter", "enter")
        assert console.said == "there is no line to show"


async def test_engine_log_is_read_on_while_it_grows(tmp_path: Path) -> None:
    async with opened(options=with_log(tmp_path, "loading\n")) as console:
        await console.press("l", "tab")
        assert rows(console) == ["› loading"]
        with (tmp_path / "1122-1402" / "engine.log").open("a") as file:
            file.write("WARNING: hot\n")
        await console.at(SHOWN_AT + 2)
        assert rows(console) == ["  loading", "› WARNING: hot"]
        await console.press("shift+tab")
        assert "events ›" in console.text("log-list")


async def test_of_a_failed_run_the_traceback_stands_there_at_once(tmp_path: Path) -> None:
    async with opened(options=with_log(tmp_path, TRACEBACK), fail_at=(7, 20)) as console:
        assert "l  the traceback, in engine.log" in "\n".join(lines(console))
        assert console.said == "the run failed: gpu 0 is gone: NVML says GPU_IS_LOST (Xid 79)."
        await console.press("l")
        assert rows(console)[-1] == "› RuntimeError: gpu 0 is gone"


@pytest.mark.parametrize("reason", ["its process ended without a word", "its process was killed by SIGKILL"])
async def test_of_a_run_that_was_killed_no_traceback_is_promised(tmp_path: Path, reason: str) -> None:
    options = with_log(tmp_path, "loading\n")
    async with opened(options=options, fail_at=(7, 20), fail_for=reason) as console:
        assert "l  what was said last, in engine.log" in "\n".join(lines(console))


async def test_an_engine_log_that_is_not_there_is_named() -> None:
    async with opened() as console:
        await console.press("l", "tab")
        assert rows(console) == ["  runs/1122-1402/engine.log: No such file or directory"]


async def test_a_new_size_keeps_filter_and_cursor() -> None:
    async with opened() as console:
        await console.press("l", "slash", *"checkpoint", "enter", "k", "k")
        chosen = cursor(console)
        await console.pilot.resize_terminal(120, 40)
        await console.pilot.pause()
        assert cursor(console) == chosen
        assert "/ checkpoint   6 of" in console.text("log-list")


async def test_pages_do_not_pile_up() -> None:
    async with opened() as console:
        await console.press("r", "l", "r")
        assert isinstance(console.app.page, RoundsTable)
        await console.press("l")
        assert isinstance(console.app.page, LogPage)
        await console.press("escape", "escape")
        assert console.app.screen is console.app.overview


async def test_what_is_pasted_into_its_filter_filters() -> None:
    async with opened() as console:
        await console.press("l", "slash")
        console.app.post_message(Paste("check\npoint"))
        await console.until(lambda: "/ check point▏" in console.text("log-list"))
        await console.press("left", "left", "left", "left", "left", "backspace")
        assert "/ check▏point" in console.text("log-list")
        assert "6 of " in console.text("log-list")


async def test_it_goes_back_to_the_runs_beginning_and_beyond_what_is_kept_says_where_the_rest_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_lines, "MOST", 1000)
    monkeypatch.setattr(run_log, "MOST", 1000)
    async with opened() as console:
        await console.press("l")
        for number in range(900):
            console.run._tell(ev.Warned(f"number {number}"), SHOWN_AT)
        await console.until(lambda: "number 899" in console.text("log-list"))
        await console.press("g")
        assert "configuration" in rows(console)[0]
        assert " 926 lines" in console.text("log-list")
        for number in range(900, 1500):
            console.run._tell(ev.Warned(f"number {number}"), SHOWN_AT)
        await console.press("G", "g")
        await console.until(lambda: "older ones stand in runs/1122-1402/events.jsonl" in rows(console)[0])
        assert "number 500 " in rows(console)[1]
        assert "last 1,000 lines" in console.text("log-list")
        await console.press("slash", *"1499", "enter")
        assert "last 1 of 1,000 lines" in console.text("log-list")
