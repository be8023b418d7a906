"""The loss chart: exactly as large as asked, its axes and series where the drawn screens have them."""

import math
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.console.drawing.chart import MARGIN, LossChart, draw, loss_axis, round_axis
from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE
from fedlora_tui.console.drawing.roles import DARK, NO_COLOUR

HOLDOUT = tuple(enumerate([3.412, 3.231, 3.118, 3.046, 2.989, 2.943, 2.905]))
TRAIN = tuple((k / 64, 2.75 + 0.62 * math.exp(-k / 64 / 3.2)) for k in range(1, 425))
CHART = LossChart(TRAIN, HOLDOUT, ((3, "lr 5e-4"),), 20)

POINTS = st.lists(st.tuples(st.floats(), st.floats()), max_size=20)
CHARTS = st.builds(
    LossChart,
    train=POINTS,
    holdout=POINTS,
    knobs=st.lists(st.tuples(st.floats(), st.text(max_size=12)), max_size=4),
    rounds=st.integers(0, 10000),
    first=st.integers(0, 50),
    others=st.lists(POINTS, max_size=20).map(tuple),
    ceiling=st.floats(),
)


def plain(chart, width=77, height=9, glyphs=UNICODE):
    return [line.plain for line in draw(chart, width, height, DARK, glyphs)]


def test_the_overview_as_drawn():
    assert [line.rstrip() for line in plain(CHART)] == [
        "  3.5 ┤          ┊ lr 5e-4",
        "      │●         ┊",
        "  3.3 ┤ ▀▄       ┊",
        "      │   ●▄▖    ┊",
        "  3.1 ┤     ▝▀●▖ ┊",
        "      │        ▝▀●▄▄ ●",
        "  2.9 ┤          ┊  ▀▀▀▄●▄▄▖●",
        "      │          ┊         ▝▀▀▘",
        "      └0────────────────5────────────────10────────────────15──────────────20",
    ]


def test_in_ascii():
    lines = plain(CHART, glyphs=ASCII)
    assert all(line.isascii() for line in lines)
    assert lines[0].rstrip() == "  3.5 +          : lr 5e-4"
    assert sum(line.count("o") for line in lines) == len(HOLDOUT)


def test_no_data_draws_the_empty_axes():
    lines = plain(LossChart(rounds=20))
    assert {line.strip() for line in lines[:-1]} == {"┤", "│"}
    assert lines[-1].endswith("20")


@given(chart=CHARTS, width=st.integers(-1, 130), height=st.integers(-1, 20), glyphs=st.sampled_from([UNICODE, ASCII]))
def test_sizes_are_exact_and_nothing_raises(chart, width, height, glyphs):
    lines = draw(chart, width, height, NO_COLOUR, glyphs)
    assert len(lines) == max(height, 0)
    assert all(line.cell_len == max(width, 0) for line in lines)


@given(losses=st.lists(st.floats(-1e8, 1e8), min_size=1), rows=st.integers(1, 40))
def test_the_axis_holds_every_loss(losses, rows):
    axis = loss_axis(losses, rows)
    slack = 1e-6 * max(1.0, abs(axis.top))
    assert max(losses) <= axis.top + axis.row / 2 + slack
    assert min(losses) >= axis.top - (rows - 0.5) * axis.row - slack


@given(low=st.floats(0.1, 3.3), rows=st.integers(6, 30))
def test_little_room_is_wasted(low, rows):
    axis = loss_axis([3.412, low], rows)
    used = (3.412 - low) / axis.row
    assert used > rows / 5 or axis.row * 2 <= 0.1


@pytest.mark.parametrize("rows", [8, 17, 26, 44])
def test_a_tall_chart_uses_its_rows_and_a_level_curve_stays_level(rows):
    used = (3.412 - 2.753) / loss_axis([3.412, 2.753], rows).row
    assert used > rows * 0.45
    assert (3.412 - 3.402) / loss_axis([3.412, 3.402], rows).row < rows / 8


def test_the_axis_keeps_still_while_losses_fall():
    axes = [loss_axis([3.412, 3.412 - k / 1000], 8) for k in range(600)]
    assert len(set(axes)) <= 3


def test_the_newest_step_does_not_move_the_axis():
    spiked = replace(CHART, train=(*TRAIN, (425 / 64, 1.2)))
    assert [line[:MARGIN] for line in plain(spiked)] == [line[:MARGIN] for line in plain(CHART)]


def test_a_mark_stands_at_its_round():
    lines = plain(LossChart(holdout=HOLDOUT, rounds=20))
    columns = sorted(line.index("●", start) for line in lines for start in range(len(line)) if line[start] == "●")
    assert columns == [MARGIN + round(r / 20 * 69) for r in range(7)]


def test_knobs_show_their_names_without_hiding_the_curve():
    chart = LossChart(TRAIN, HOLDOUT, ((3, "lr 5e-4"), (4, "rank 8")), 20)
    lines = plain(chart)
    assert "┊ lr 5e-4" in lines[0]
    assert "┊ rank 8" in lines[1]
    assert sum(line.count("●") for line in lines) == len(HOLDOUT)


def test_what_was_turned_with_one_round_stands_below_each_other_at_one_line():
    lines = plain(LossChart(rounds=20, knobs=((3, "lr 5e-4"), (3, "rank 8"), (3, "steps 32"))))
    assert [line[MARGIN + 10 :].rstrip() for line in lines[:4]] == ["┊ lr 5e-4", "┊ rank 8", "┊ steps 32", "┊"]


def test_a_name_at_the_plots_end_stands_left_of_its_line():
    lines = plain(LossChart(rounds=20, knobs=((19, "lr 5e-4"),)))
    assert lines[0].rstrip().endswith(" lr 5e-4 ┊")
    assert lines[1].rstrip().endswith("  ┊")


def test_a_name_without_room_falls_away_and_its_line_stays():
    lines = plain(LossChart(rounds=20, knobs=[(3, f"rank {2**k}") for k in range(10)]), height=5)
    assert [line.count("┊") for line in lines[:-1]] == [1, 1, 1, 1]
    assert [f"rank {2**k}" in "".join(lines) for k in range(10)] == [True] * 4 + [False] * 6
    assert "a name of" not in "".join(plain(LossChart(rounds=20, knobs=((10, "a name of" * 20),)), width=17))


@given(
    knobs=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["lr 5e-4", "rank 16", "flora"])), max_size=12),
    width=st.integers(20, 90),
    height=st.integers(4, 20),
)
def test_marks_that_lie_close_never_write_over_each_other(knobs, width, height):
    lines = plain(LossChart(rounds=20, knobs=knobs), width, height)
    rows = [line[MARGIN:] for line in lines[:-1]]
    for x, _ in knobs:
        column = round(x / 20 * (width - MARGIN - 1))
        assert any(row[column] == "┊" for row in rows)
    for row in rows:
        left = row.replace("┊", " ")
        for name in ("lr 5e-4", "rank 16", "flora"):
            left = left.replace(name, "")
        assert not left.strip(), row


def test_marks_in_ascii_lie_below_the_curve_and_their_names_beside_it():
    lines = plain(replace(CHART, knobs=((3, "lr 5e-4"), (4, "rank 8"))), glyphs=ASCII)
    assert ": lr 5e-4" in lines[0]
    assert ": rank 8" in lines[1]
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_sixteen_series_are_told_apart_by_their_signs(glyphs):
    others = tuple(tuple((r, loss + 0.2 * k) for r, loss in HOLDOUT) for k in range(1, 16))
    canvas = [
        line[MARGIN:] for line in plain(LossChart(holdout=HOLDOUT, others=others, rounds=20), 90, 100, glyphs)[:-1]
    ]
    signs = [glyphs.series(place) for place in range(16)]
    assert len(set(signs)) == 16
    assert [sum(line.count(sign) for line in canvas) for sign in signs] == [7] * 16


def test_other_series_are_quiet_and_lie_behind_the_line_and_the_marks():
    on_the_line = tuple((x, loss) for x, loss in TRAIN if not x % 1)
    lines = draw(LossChart(TRAIN, HOLDOUT, (), 20, others=(on_the_line, HOLDOUT)), 77, 9, DARK)
    assert [line.plain for line in lines] == plain(LossChart(TRAIN, HOLDOUT, (), 20))
    apart = tuple((x, loss - 0.5) for x, loss in HOLDOUT)
    styles = {
        line.plain[span.start : span.end].strip(): span.style
        for line in draw(LossChart(holdout=HOLDOUT, others=(apart,), rounds=20), 77, 9, DARK)
        for span in line.spans
    }
    assert (styles["●"], styles["○"]) == (DARK["held"], DARK["quiet"])


def test_signs_are_those_that_were_asked_for():
    drawn = "".join(plain(LossChart(holdout=HOLDOUT, others=(((9, 3.3),),), rounds=20, signs=("5", "●"))))
    assert drawn.count("●") == 1
    assert "o" not in drawn


def test_a_series_that_diverges_leaves_the_axis_to_the_others():
    wild = ((0, 3.412), (1, 3.5), (2, 90.0))
    lines = plain(LossChart(holdout=HOLDOUT, others=(wild,), rounds=20, ceiling=3.9))
    assert lines[0].startswith("  3.5 ┤")
    assert sum(line.count("○") for line in lines) == 1


def test_styles_come_by_role():
    line = draw(CHART, 77, 9, DARK)[0]
    spans = {line.plain[span.start : span.end].strip(): span.style for span in line.spans}
    assert spans["┊ lr 5e-4"] == DARK["yours"]
    assert spans["3.5 ┤"] == DARK["quiet"]


@pytest.mark.parametrize(
    ("rounds", "width", "ticks"),
    [(20, 70, ["0", "5", "10", "15", "20"]), (23, 70, ["0", "5", "10", "15", "20", "23"]), (1, 40, ["0", "1"])],
)
def test_round_axis(rounds, width, ticks):
    drawn = round_axis(0, rounds, width)
    assert len(drawn) == width
    assert [tick for tick in drawn.split("─") if tick] == ticks


def test_round_axis_of_the_last_rounds():
    assert [tick for tick in round_axis(187, 207, 70).split("─") if tick] == ["187", "190", "195", "200", "205", "207"]


def test_it_takes_few_steps_however_many_points_there_are():
    def steps(points):
        """Count the lines of Python that a drawing takes: they are the same on every machine."""
        train = tuple(
            (20 * k / points, 2.75 + 0.62 * math.exp(-k / 320) + 0.03 * math.sin(k * 7)) for k in range(points)
        )
        chart, counted, before = LossChart(train, HOLDOUT, ((3, "lr"),), 20), [], sys.gettrace()

        def tracer(frame, event, argument):
            counted.append(event == "line")
            return tracer

        draw(chart, 120, 16, DARK)
        sys.settrace(tracer)
        try:
            draw(chart, 120, 16, DARK)
        finally:
            sys.settrace(before)
        return sum(counted)

    few, many = steps(200), steps(2000)
    # On a desktop 10,000 take less than a millisecond.
    assert few < 15_000
    assert many - few < 3 * 1800
