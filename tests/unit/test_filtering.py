"""The language of filters: words, comparisons, what is left out, and what is no filter."""

from __future__ import annotations

import math

import pytest

from fedlora_tui.console.filtering import FilterError, Known, parsed

KNOWN = Known(("gain", "hold-out", "rank"), ("training", "testing", "late"))


def shown(typed: str, row: str = "pharmacy-1 training", **facts: float | str | None) -> bool:
    return parsed(typed, KNOWN).passes(row, facts)


def test_all_words_have_to_stand_in_the_row_in_any_case() -> None:
    assert parsed("PHARM Train").passes("pharmacy-1 training")
    assert not parsed("pharm late").passes("pharmacy-1 training")
    assert not parsed("pharm !train").passes("pharmacy-1 training")
    assert parsed("!late").passes("pharmacy-1 training")


def test_what_is_not_finished_leaves_nothing_out() -> None:
    assert parsed("").empty
    assert parsed("  ! ").empty
    assert parsed("!", KNOWN).empty


def test_everything_is_a_word_where_nothing_is_known_of_rows() -> None:
    assert parsed("gain<0.1").passes("a line that says gain<0.1")
    assert not parsed("state:late").passes("late")


@pytest.mark.parametrize(
    ("typed", "gain", "passes"),
    [
        ("gain<0.1", 0.05, True),
        ("gain<0.1", 0.1, False),
        ("gain<=0.1", 0.1, True),
        ("gain>-1", -0.5, True),
        ("gain>=2", 1.99, False),
        ("gain=0.1", 0.1049, True),
        ("gain=0.1", 0.16, False),
        ("gain=0", 0.4, True),
        ("!gain<0.1", 0.05, False),
        ("gain<0.1", None, False),
        ("!gain<0.1", None, True),
        ("gain<0.1", math.nan, False),
        ("gain>1e-2", 0.05, True),
    ],
)
def test_numbers_are_compared(typed: str, gain: float | None, passes: bool) -> None:
    assert shown(typed, gain=gain) is passes


def test_a_state_is_named_by_how_it_begins() -> None:
    assert shown("state:la", state="late")
    assert shown("state=late", state="late")
    assert not shown("state:t", state="late")
    assert not shown("!state:late", state="late")
    assert shown("state:", state="late")


def test_words_and_comparisons_have_to_hold_together() -> None:
    assert parsed("pharm gain>0 rank=8", KNOWN).passes("pharmacy-1", {"gain": 0.1, "rank": 8})
    assert not parsed("pharm gain>0 rank=8", KNOWN).passes("pharmacy-1", {"gain": 0.1, "rank": 4})


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("gain<x", "gain<x: a number belongs behind gain<"),
        ("<3", "<3: no number is called nothing; there are gain, hold-out, rank"),
        ("!lss>3", "lss>3: no number is called lss; there are gain, hold-out, rank"),
        ("state:z", "state:z: no such state; there are training, testing, late"),
    ],
)
def test_what_is_no_filter_says_what_is_allowed(typed: str, why: str) -> None:
    with pytest.raises(FilterError) as error:
        parsed(typed, KNOWN)
    assert str(error.value) == why
