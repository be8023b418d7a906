"""Where a reader stands in an answer that grows and is broken anew."""

from __future__ import annotations

from fedlora_tui.console.reading import Reading
from fedlora_tui.console.widgets.answers import wrapped

TEXT = " ".join(f"word{number}" for number in range(60))


def test_the_end_is_followed_until_the_reader_scrolls_and_again_from_the_end() -> None:
    reading, lines = Reading(), list(wrapped(TEXT, 20))
    assert reading.top(lines, 5) == len(lines) - 5
    assert reading.move("up", lines, 5)
    assert not reading.follows
    assert reading.top([*lines, "more", "and more"], 5) == len(lines) - 6
    assert reading.move("page_down", lines, 5)
    assert reading.follows
    assert reading.move("first", lines, 5)
    assert reading.top(lines, 5) == 0
    assert reading.move("last", lines, 5)
    assert reading.follows


def test_another_width_keeps_the_words_in_sight() -> None:
    reading, lines = Reading(), list(wrapped(TEXT, 20))
    reading.move("first", lines, 5)
    for _ in range(6):
        reading.move("down", lines, 5)
    first = lines[reading.top(lines, 5)].split()[0]
    for width in (14, 31, 47):
        anew = list(wrapped(TEXT, width))
        assert first in anew[reading.top(anew, 3)]


def test_what_fits_does_not_scroll() -> None:
    reading = Reading()
    assert not reading.move("up", ["one", "two"], 2)
    assert reading.top(["one", "two"], 2) == 0
    assert reading.top([], 2) == 0
