"""How a terminal is divided: nothing overlaps, nothing is left over, parts fall away in their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.console.layout import LAST_ROWS, TABLE_LEAST, Layout, arrange, arrange_comparison
from fedlora_tui.console.widgets.columns import placed_columns
from fedlora_tui.console.widgets.failed import BOX_HEIGHT
from fedlora_tui.console.widgets.run_table import LABEL_LEAST, LEAD, columns_for


def rows(layout: Layout) -> int:
    chart = layout.chart + 1 if layout.chart else 0
    log = layout.log + 1 if layout.log else 0
    middle = layout.digits + layout.trends + layout.machine_line + chart + 2 + layout.table + log + layout.box
    return 2 + middle + LAST_ROWS


@given(st.integers(40, 260), st.integers(10, 100), st.sampled_from([0, BOX_HEIGHT]))
def test_the_rows_fill_the_terminal(width: int, height: int, box: int) -> None:
    layout = arrange(width, height, box=box)
    assert rows(layout) == height
    assert layout.table >= 1
    assert layout.chart_width > 20 or not layout.chart


@given(st.integers(40, 260), st.integers(14, 100))
def test_the_table_keeps_five_rows(width: int, height: int) -> None:
    assert arrange(width, height).table >= TABLE_LEAST


@pytest.mark.parametrize(
    ("size", "table", "log", "chart"), [((80, 24), 12, 2, 0), ((120, 40), 13, 5, 9), ((200, 60), 19, 10, 18)]
)
def test_the_drawn_sizes(size: tuple[int, int], table: int, log: int, chart: int) -> None:
    layout = arrange(*size)
    assert (layout.table, layout.log, layout.chart) == (table, log, chart)


def test_width_and_height_are_judged_apart() -> None:
    layout = arrange(200, 24)
    assert (layout.columns, layout.trends, layout.digits) == ("wide", 1, 0)


@pytest.mark.parametrize("size", [(39, 40), (120, 9)])
def test_too_small(size: tuple[int, int]) -> None:
    assert arrange(*size).too_small
    assert arrange_comparison(*size, runs=3).too_small


@given(st.integers(40, 260), st.integers(10, 100), st.integers(2, 16))
def test_a_comparison_fills_the_terminal(width: int, height: int, runs: int) -> None:
    layout = arrange_comparison(width, height, runs)
    chart = layout.chart + 1 if layout.chart else 0
    assert 2 + chart + 2 + layout.table + layout.at_round + LAST_ROWS == height
    assert layout.table >= min(runs, 3)
    assert layout.table == runs or layout.chart <= 8


@pytest.mark.parametrize(("runs", "chart", "table"), [(3, 12, 3), (4, 11, 4), (16, 8, 7)])
def test_the_drawn_comparison(runs: int, chart: int, table: int) -> None:
    layout = arrange_comparison(80, 24, runs)
    assert (layout.chart, layout.table, layout.at_round) == (chart, table, 1)


@given(st.sampled_from(["compact", "normal", "wide"]), st.integers(40, 260), st.integers(4, 60))
def test_columns_of_runs_fit_and_labels_go_before_ids(size: str, width: int, longest: int) -> None:
    columns = columns_for(size, width, longest)
    taken = sum(columns.gap + column.width for column in columns.numbers)
    assert LEAD + (columns.run + columns.gap if columns.run else 0) + columns.label + taken == width - 2
    assert {"hold-out", "gain"} <= {column.head for column in columns.numbers}
    assert columns.label >= LABEL_LEAST or width < 45
    assert not columns.run or columns.label >= longest


@given(st.sampled_from(["compact", "normal", "wide"]), st.integers(40, 260))
def test_columns_fit_and_the_first_ones_stay(size: str, width: int) -> None:
    columns = placed_columns(size, width)
    assert columns[-1].start + columns[-1].width <= width - 1
    assert {"organization", "state", "loss", "hold-out"} <= {placed.column.head for placed in columns}
    assert all(placed.width > 0 for placed in columns)


def test_columns_stand_where_they_are_drawn() -> None:
    starts = {
        placed.column.head: (placed.start, placed.start + placed.width) for placed in placed_columns("normal", 120)
    }
    assert starts["organization"][0] == 3
    assert starts["state"][0] == 23
    assert starts["step"][1] == 43
    assert starts["loss"][1] == 51
    assert starts["trend"] == (53, 70)
    assert starts["hold-out"][1] == 80
    assert starts["gain"][1] == 88
    assert starts["cos"][1] == 95
    assert starts["rank"][1] == 101
    assert starts["↑↓ MiB"][1] == 109
    assert starts["faults"][1] == 117
