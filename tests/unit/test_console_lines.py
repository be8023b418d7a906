"""Drawn lines: what changed between two of them, rows at fixed columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from rich.theme import Theme
from textual.app import App, ComposeResult
from textual.strip import Strip

from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.look import colours_of
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.session import natural
from fedlora_tui.console.widgets.lines import Lines, changed_span

RED = Style.parse("red")


def strip(text: str, style: str = "") -> Strip:
    return Strip([Segment(text, Style.parse(style) if style else None)])


@pytest.mark.parametrize(
    ("old", "new", "span"),
    [
        (strip("step 40/64"), strip("step 41/64"), (6, 7)),
        (strip("same"), strip("same"), None),
        (strip("a"), strip("a   "), None),
        (strip("a"), strip("a  b"), (3, 4)),
        (strip("abc"), strip("abc", "red"), (0, 3)),
        (strip("銀行 1"), strip("銀行 2"), (5, 6)),
    ],
)
def test_only_what_changed_is_sent(old: Strip, new: Strip, span: tuple[int, int] | None) -> None:
    assert changed_span(old, new) == span


def cells(line: Strip) -> list[tuple[str, Style | None]]:
    return [
        (character, segment.style or None)
        for segment in line
        for character in segment.text
        for _ in range(cell_len(character))
    ]


segments = st.lists(
    st.builds(Segment, st.text("ab 銀", min_size=1, max_size=4), st.sampled_from([None, Style.null(), RED]), st.none()),
    max_size=6,
)


@given(segments, segments)
def test_all_that_differs_lies_within_the_span_and_both_its_ends_differ(
    before: list[Segment], after: list[Segment]
) -> None:
    old, new = Strip(before), Strip(after)
    olds, news = cells(old), cells(new)
    longest = max(len(olds), len(news))
    olds += [(" ", None)] * (longest - len(olds))
    news += [(" ", None)] * (longest - len(news))
    differing = [place for place in range(longest) if olds[place] != news[place]]
    assert changed_span(old, new) == ((differing[0], differing[-1] + 1) if differing else None)


class Shown(App[None]):
    """An app that shows one widget of lines."""

    def compose(self) -> ComposeResult:
        yield Lines(Theme({}), id="lines")


async def test_what_was_sent_is_not_kept_however_often_lines_change() -> None:
    app = Shown()
    async with app.run_test() as pilot:
        lines = app.query_one("#lines", Lines)
        for start in range(30):
            for length in range(1, 20):
                lines.show([Text(" " * start + "x" * length)])
            await pilot.pause()
        assert lines.text == " " * 29 + "x" * 19
        assert not lines._dirty_regions
        assert not lines._repaint_regions


def test_a_row_puts_words_at_columns_and_cuts_what_stands_out() -> None:
    row = Row(20, UNICODE).at(2, "round").at(10, "organizations")
    assert row.text().plain == "  round   organizat…"
    assert Row(6, UNICODE).at(1, "ab").at(9, "cd").text().plain == " ab   "
    assert Row(10, UNICODE).at(0, "long").to(9, "words").text().plain == "longwords "
    assert Row(9, UNICODE).at(0, "longer").to(9, "words").text().plain == "longer   "
    assert Row(9, UNICODE).at(0, "a").to(10, "words").text().plain == "a        "
    assert Row(6, UNICODE).at(0, "a", " b", " cd", "", " e").text().plain == "a b c…"
    assert Row(6, UNICODE).at(0, "a", " b", " cd", "").text().plain == "a b cd"


def test_a_rule_leaves_out_its_right_end_when_narrow() -> None:
    assert rule(20, UNICODE, "4 log", "by name").plain == "─ 4 log ── by name ─"
    assert rule(14, UNICODE, "4 log", "by name").plain == "─ 4 log ──────"


def test_names_sort_with_their_numbers_in_order() -> None:
    assert sorted(["port-10", "bank", "port-2", "7th"], key=natural) == ["7th", "bank", "port-2", "port-10"]


@pytest.mark.parametrize(
    ("environment", "colours"),
    [
        ({"NO_COLOR": "", "COLORTERM": "truecolor"}, 0),
        ({"TERM": "linux"}, 16),
        ({"TERM": "xterm-256color"}, 1 << 24),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, 1 << 24),
        ({"TERM": "dumb"}, 0),
    ],
)
def test_colours(environment: dict[str, str], colours: int) -> None:
    assert colours_of(environment) == colours
