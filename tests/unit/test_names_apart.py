"""Long names in a narrow column: those that differ look different."""

from __future__ import annotations

import pytest

from fedlora_tui.console.drawing.apart import told_apart
from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE, Glyphs
from fedlora_tui.console.drawing.text import cells

RACE = [f"1122-1402-race-learning_rate-{rate}-rank-{rank}" for rate in ("5e-4", "1e-3", "0.01") for rank in (4, 16)]
OTHERS = ["1122-1402", "1121-1750-a-long-word-about-data", "1121-1750-a-long-word-about-rata"]


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("width", [11, 20, 26])
@pytest.mark.parametrize("alike", [False, True])
def test_no_two_names_look_the_same_and_all_fit(width: int, alike: bool, glyphs: Glyphs) -> None:
    names = RACE if alike else RACE + OTHERS
    shown = told_apart(names, width, glyphs, alike=alike)
    assert len(set(shown.values())) == len(names)
    assert all(cells(words) <= width for words in shown.values())
    assert shown.get("1122-1402") == (None if alike else "1122-1402")


def test_names_that_differ_anyway_keep_their_beginning_and_end() -> None:
    assert told_apart(["1122-1402-rank-16", "1121-0900-rank-16"], 12)["1122-1402-rank-16"] == "1122-140…-16"


def test_what_all_runs_of_a_race_have_in_common_is_the_first_to_go() -> None:
    shown = told_apart(["1122-1402-k7m-rank-2", "1122-1402-k7m-rank-16"], 9, alike=True)
    assert list(shown.values()) == ["…m-rank-2", "…-rank-16"]
