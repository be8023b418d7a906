"""Bars and meters: always exactly as wide as asked, whatever they are to show."""

from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.console.drawing.bars import meter, run_bar, share_bar
from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE

ANY = st.one_of(st.none(), st.floats())
WIDTH = st.integers(-1, 60)


def test_run_bar_has_a_head_while_it_grows():
    assert run_bar((6 + 40 / 64) / 20, 78) == ("━" * 25 + "╸", "┈" * 52)
    assert run_bar((6 + 40 / 64) / 20, 118) == ("━" * 39 + "╸", "┈" * 78)
    assert run_bar(0, 5) == ("", "┈" * 5)
    assert run_bar(1, 5) == ("━" * 5, "")
    assert run_bar(0.5, 5, ASCII) == ("##+", "..")


def test_meter_ends_where_the_used_share_says():
    assert "".join(meter(24.9, 6.5, 80, 33)) == "█" * 10 + "▓" * 3 + "░" * 20
    assert "".join(meter(24.9, 6.5, 80, 12, ASCII)) == "####+......."
    assert meter(0, 0.4, 80, 37) == ("", "", "░" * 37)


def test_a_meter_without_a_whole_is_empty():
    assert meter(None, None, None, 4) == ("", "", "░" * 4)


def test_share_bar():
    assert share_bar(312 / 548, 16) == ("█" * 9, "░" * 7)


@given(ours=ANY, others=ANY, total=ANY, width=WIDTH, glyphs=st.sampled_from([UNICODE, ASCII]))
def test_widths_are_exact(ours, others, total, width, glyphs):
    assert len("".join(meter(ours, others, total, width, glyphs))) == max(width, 0)
    assert len("".join(share_bar(ours, width, glyphs))) == max(width, 0)
    if ours is not None:
        assert len("".join(run_bar(ours, width, glyphs))) == max(width, 0)
