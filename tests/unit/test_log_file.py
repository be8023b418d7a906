"""The end of a log file: read on as it grows, bounded, harmless to the terminal; and the filter of its lines."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.console.filtering import Filter, parsed
from fedlora_tui.console.log_file import MOST_BYTES, MOST_LINES, LogFile, plain
from fedlora_tui.console.screens.whole_line import broken


def test_what_comes_later_is_read_on_and_a_line_counts_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_text("one\ntw")
    log = LogFile(path)
    log.look()
    assert list(log.lines) == ["one"]
    with path.open("a") as file:
        file.write("o\nthree\n")
    log.look()
    log.look()
    assert list(log.lines) == ["one", "two", "three"]
    assert (log.first, log.capped) == (0, False)


def test_a_file_that_became_shorter_is_read_anew_under_further_numbers(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_text("a long first line\n")
    log = LogFile(path)
    log.look()
    path.write_text("anew\n")
    log.look()
    assert list(log.lines) == ["anew"]
    assert log.first == 1


def test_of_a_long_file_the_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert path.stat().st_size > MOST_BYTES
    log = LogFile(path)
    log.look()
    assert len(log.lines) == MOST_LINES
    assert log.lines[-1] == "line 99999"
    assert log.capped
    number = log.first + len(log.lines) - 1
    with path.open("a") as file:
        file.write("x" * (2 * MOST_BYTES) + "\nlast\n")
    log.look()
    assert log.lines[-1] == "last"
    assert log.first > number


def test_a_file_that_is_not_there_says_so_and_comes_later(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "engine.log")
    log.look()
    assert log.trouble == f"{tmp_path / 'engine.log'}: No such file or directory"
    log.path.write_bytes(b"caf\xe9\n")
    log.look()
    assert (log.trouble, list(log.lines)) == ("", ["caf�"])


def test_what_would_command_the_terminal_is_left_out() -> None:
    assert plain("\x1b[31mred\x1b[0m \x1b]0;title\x07here\x07") == "red here?"
    assert plain("10%\r50%\r100%\r") == "100%"


@given(st.text(max_size=60))
def test_every_line_can_be_shown(line: str) -> None:
    assert plain(line).isprintable()


@given(st.text(alphabet="ab 漢", max_size=60), st.integers(2, 30))
def test_a_whole_line_loses_nothing_but_spaces(words: str, width: int) -> None:
    lines = broken(words, width)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")


def test_words_must_stand_there_and_those_behind_a_mark_must_not() -> None:
    assert parsed("Late  !pharmacy ! ") == Filter(("late",), ("pharmacy",))
    assert parsed("late !pharmacy").passes("14:03 LATE school")
    assert not parsed("late !pharmacy").passes("late pharmacy-2")
    assert not parsed("late school").passes("late")
    assert parsed(" ! ").empty
    assert parsed("").passes("")
