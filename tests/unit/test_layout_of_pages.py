"""Pages over the overview fill the terminal exactly at every size, and the chosen pane is always in sight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.console.layout import LAST_ROWS
from fedlora_tui.console.layout_of_pages import ORGANIZATION_PANES, arrange_list, arrange_organization
from fedlora_tui.console.widgets.row_table import HEAD_ROWS

widths, heights = st.integers(40, 240), st.integers(10, 80)


@given(widths, heights, st.sampled_from(ORGANIZATION_PANES))
def test_the_panes_of_an_organization_fill_the_terminal(width: int, height: int, chosen: str) -> None:
    layout = arrange_organization(width, height, chosen)
    free = height - 2 - LAST_ROWS - (layout.digits or layout.trends)
    boxes = layout.boxes
    assert all(rows > 0 for _, rows in boxes.values())
    if any(own == width for own, _ in boxes.values()):
        assert {own for own, _ in boxes.values()} == {width}
        assert sum(rows for _, rows in boxes.values()) == free
    else:
        for pair in zip(ORGANIZATION_PANES[::2], ORGANIZATION_PANES[1::2], strict=True):
            shown = [boxes[name] for name in pair if name in boxes]
            assert len(shown) in (0, 2)
            if shown:
                assert sum(own for own, _ in shown) + 2 == width
                assert shown[0][1] == shown[1][1]
        assert sum(boxes[name][1] for name in ORGANIZATION_PANES[::2] if name in boxes) <= free
    if chosen != "own-loss" and height >= 16:
        assert chosen in boxes


@given(widths, heights, st.integers(0, 5))
def test_a_list_and_the_lines_below_it_fill_the_terminal(width: int, height: int, details: int) -> None:
    layout = arrange_list(width, height, details)
    assert layout.table >= 1
    assert 2 + HEAD_ROWS + layout.table + layout.at_round + LAST_ROWS == height


def test_a_terminal_that_is_too_small_has_one_line() -> None:
    assert arrange_organization(39, 24, "own-loss").too_small
    assert arrange_list(80, 9).too_small
