"""The screen that the benchmark of the console reads: what a terminal shows after some bytes."""

from __future__ import annotations

import pytest

from fedlora_tui.benchmarks.screen import Screen


def shown(written, width=6, height=3):
    screen = Screen(width, height)
    screen.feed(written.encode())
    return screen.rows()


@pytest.mark.parametrize(
    ("written", "rows"),
    [
        ("ab\r\ncd", ["ab    ", "cd    ", "      "]),
        ("\x1b[2;3Hab\x1b[Hc", ["c     ", "  ab  ", "      "]),
        ("\x1b[38;2;1;2;3mab\x1b[0m", ["ab    ", "      ", "      "]),
        ("abcdefgh", ["abcdef", "      ", "      "]),
        ("abcdef\x1b[1;3H\x1b[K", ["ab    ", "      ", "      "]),
        ("abcdef\x1b[1;3H\x1b[1K", ["   def", "      ", "      "]),
        ("ab\r\ncd\x1b[2J", ["      ", "      ", "      "]),
        ("ab\x1b[?1049h", ["      ", "      ", "      "]),
        ("ab\x1b[2D\x1b[Bc\x1b[Cd", ["ab    ", "c d   ", "      "]),
        ("\x1b[3;6Hx\x1b[9;9Hy", ["      ", "      ", "     y"]),
        (
            "\x1b]0;title\x07\x1bP+q\x1b\\\x1b(B\x1b[?2026h\x1b[?2026$p\x1b[>1u\x1b[22;0t\x1b7ab",
            ["ab    ", *["      "] * 2],
        ),
        ("›é━", ["›é━   ", "      ", "      "]),
        ("a\x1b[1;1H\x1b[=1;2Hb", ["b     ", "      ", "      "]),
    ],
)
def test_what_is_written_is_shown(written, rows):
    assert shown(written) == rows


def test_a_wide_sign_takes_two_cells():
    screen = Screen(6, 1)
    screen.feed("a漢b漢漢".encode())
    assert [screen.cell(x, 0) for x in range(6)] == ["a", "漢", "", "b", "漢", ""]


def test_it_is_the_same_however_the_bytes_are_cut():
    written = "\x1b]0;● 1/2\x07\x1b[?1049h\x1b[1;2H\x1b[1m› é\x1b[0m\x1b[2;1Hab\x1b[K\r\ncd".encode()
    whole = Screen(6, 3)
    whole.feed(written)
    cut = Screen(6, 3)
    for byte in written:
        cut.feed(bytes([byte]))
    assert cut.rows() == whole.rows()
    assert whole.rows() == [" › é  ", "ab    ", "cd    "]
