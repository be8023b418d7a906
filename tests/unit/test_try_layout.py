"""Where the parts of the screen for trying a text stand: always within the terminal, an answer always in sight."""

from __future__ import annotations

import pytest

from fedlora_tui.console.layout import LAST_ROWS, LEAST_HEIGHT, LEAST_WIDTH
from fedlora_tui.console.try_layout import HEAD_ROWS, arrange_try
from fedlora_tui.console.widgets.answers import wrapped


def test_the_parts_fill_no_more_than_the_terminal_and_words_have_a_row() -> None:
    for width in (LEAST_WIDTH, 80, 99, 100, 120, 200):
        for height in range(LEAST_HEIGHT, 90):
            for ready in (5, 9):
                room = arrange_try(width, height, ready)
                own = room.typed + room.answers + room.table + room.prompts
                assert own + HEAD_ROWS + LAST_ROWS == height, (width, height)
                assert room.words >= 1


def test_a_terminal_that_is_too_small_has_none_of_them() -> None:
    assert arrange_try(LEAST_WIDTH - 1, 40, 5).too_small
    assert arrange_try(120, LEAST_HEIGHT - 1, 5).too_small


def test_models_stand_side_by_side_as_drawn_and_losses_stay_behind_tabs() -> None:
    drawn = arrange_try(120, 40, 5)
    assert not drawn.tabs
    assert (drawn.typed, drawn.answers, drawn.table, drawn.prompts) == (5, 17, 6, 7)
    small = arrange_try(80, 24, 5)
    assert small.tabs
    assert small.table == 5


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two", ["one two"]),
        ("one two three four", ["one two", "three four"]),
        ("a\n\nb", ["a", "", "b"]),
        ("abcdefghijklmno", ["abcdefghij", "klmno"]),
        ("x abcdefghijklmno", ["x", "abcdefghij", "klmno"]),
        ("日本語日本語日本語", ["日本語日本", "語日本語"]),
        ("one two ", ["one two "]),
    ],
)
def test_words_are_broken_into_lines_of_ten_cells(text: str, lines: list[str]) -> None:
    assert list(wrapped(text, 10)) == lines
