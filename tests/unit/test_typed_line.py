"""A typed line: what its keys and pasted text make of it, and what of it is in sight."""

from __future__ import annotations

import pytest
from textual import events

from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE
from fedlora_tui.console.typed_line import DIGITS, TypedLine


def pressed(line: TypedLine, *keys: str) -> TypedLine:
    for key in keys:
        assert line.press(events.Key(key, key if len(key) == 1 else None))
    return line


@pytest.mark.parametrize(
    ("keys", "text", "caret"),
    [
        ([*"ab"], "ab", 2),
        ([*"ac", "left", "b"], "abc", 2),
        ([*"bc", "home", "a", "end", "d"], "abcd", 4),
        ([*"abc", "left", "left", "backspace"], "bc", 0),
        ([*"abc", "home", "delete", "backspace"], "bc", 0),
        ([*"ab", "delete", "right", "right"], "ab", 2),
        ([*"ab", "left", "ctrl+u", "c"], "c", 1),
        ([*"one two ", *"x", "left", "ctrl+w"], "one x", 4),
        ([*"one", "ctrl+w", "ctrl+w"], "", 0),
    ],
)
def test_keys_write_erase_and_move_the_caret(keys: list[str], text: str, caret: int) -> None:
    line = pressed(TypedLine(80), *keys)
    assert (line.text, line.caret) == (text, caret)


def test_a_key_that_is_none_of_a_line_is_given_back() -> None:
    line = pressed(TypedLine(2, DIGITS), "1")
    for key, character in (("f5", None), ("up", None), ("x", "x"), ("enter", "\r")):
        assert not line.press(events.Key(key, character))
    pressed(line, "2", "3")
    assert line.text == "12"


def test_what_is_pasted_is_one_line_at_the_caret_without_what_a_terminal_would_act_on() -> None:
    line = pressed(TypedLine(12), *"ad", "left")
    assert line.paste(" b\n\x1bc\t")
    assert (line.text, line.caret) == ("ab cd", 4)
    line.paste("x" * 90)
    assert len(line.text) == 12
    assert not TypedLine(5, DIGITS).paste("none")


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_the_caret_is_in_sight_wherever_it_stands(glyphs) -> None:  # type: ignore[no-untyped-def]
    line = TypedLine(80, text="abcdefghijklmnopqrstuvwxyz")
    for place in range(27):
        line.caret = place
        words = "".join(part[0] for part in line.words(20, glyphs, focused=True))  # type: ignore[misc]
        before, caret, behind = words.partition(glyphs.caret)
        assert caret
        assert len(words) <= 20
        assert place == 0 or before.endswith(line.text[place - 1])
        assert place == 26 or behind.startswith(line.text[place])
    assert line.words(20, glyphs, focused=False)[0][0].endswith("xyz")
