"""Trends: one cell a share of the run, one scale a column."""

import math

from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE
from fedlora_tui.console.drawing.trend import means, scale, trend

POINTS = st.lists(st.tuples(st.floats(), st.floats()), max_size=30)
FALLING = [(k / 4, 3.4 - k / 40) for k in range(1, 29)]


def test_the_planned_rest_is_empty():
    assert trend(FALLING, 20, 20, *scale([FALLING])) == "█▇▆▅▃▂▁".ljust(20)


def test_the_run_so_far_fills_the_width():
    drawn = trend(FALLING, 10, 7, *scale([FALLING]))
    assert " " not in drawn
    assert list(drawn) == sorted(drawn, reverse=True)


def test_a_series_that_ended_early_is_seen_to_have_ended():
    drawn = trend(FALLING[:14], 10, 7, *scale([FALLING]))
    assert " " not in drawn[:5]
    assert drawn[5:] == " " * 5


def test_a_series_that_began_late_leaves_its_start_empty():
    assert trend(FALLING[16:], 14, 7, *scale([FALLING])).startswith(" " * 8)


def test_a_worse_loss_is_taller_on_one_scale():
    worse = [(x, loss + 0.5) for x, loss in FALLING]
    low, high = scale([FALLING, worse])
    pairs = zip(trend(FALLING, 8, 7, low, high), trend(worse, 8, 7, low, high), strict=True)
    assert all(mine < theirs for mine, theirs in pairs)


def test_first_steps_fill_their_cells():
    assert " " not in trend([(k / 64, 3.0) for k in (1, 2, 3)], 11, 3 / 64, 2.0, 4.0)


def test_a_hold_out_is_one_cell_a_round():
    holdout = list(enumerate([3.412, 3.231, 3.118, 3.046, 2.989, 2.943, 2.905]))
    assert trend(holdout, 7, 6.6, *scale([holdout])) == "█▆▄▃▂▂▁"


def test_a_cell_is_the_mean_of_its_share():
    assert means([(0.2, 1.0), (0.4, 3.0), (1.5, 5.0)], 2, 2) == [2.0, 5.0]


def test_scale_of_nothing_and_of_drawn_means():
    assert scale([]) == (0.0, 1.0)
    assert scale([[(1, math.nan)]]) == (0.0, 1.0)
    assert scale([[(0.2, 1.0), (0.4, 3.0)]], width=1, span=1) == (2.0, 2.0)


@given(values=POINTS, width=st.integers(-1, 40), span=st.floats(-1, 1e6), bounds=st.tuples(st.floats(), st.floats()))
def test_widths_are_exact_and_nothing_raises(values, width, span, bounds):
    for glyphs in (UNICODE, ASCII):
        assert len(trend(values, width, span, *bounds, glyphs)) == max(width, 0)
        assert len(trend(values, width, span, *scale([values], width, span), glyphs)) == max(width, 0)
