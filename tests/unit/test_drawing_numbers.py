"""Numbers as the console writes them: every form, and what stands where there is no number."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE

NUMBERS = st.one_of(st.none(), st.floats(), st.integers(-(10**15), 10**15))
FORMS = (
    numbers.loss,
    numbers.signed,
    numbers.change,
    numbers.bytes_text,
    numbers.mebibytes,
    numbers.rate,
    numbers.count,
    numbers.count_short,
    numbers.whole,
    numbers.faults,
    numbers.duration,
    numbers.seconds,
    numbers.milliseconds,
    numbers.clock,
    numbers.clock_short,
    numbers.percent,
    numbers.percent_fine,
    numbers.ratio,
    numbers.hundredths,
    numbers.drift,
    numbers.norm,
    numbers.epsilon,
    numbers.learning_rate,
)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (2.905, "2.905"),
        (9.9996, "10.00"),
        (12.35, "12.35"),
        (99.996, "100.0"),
        (104.2, "104.2"),
        (1234.5, "1234"),
        (250000.0, "2e5"),
        (-0.5, "−0.500"),
        (None, "–"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_loss(x, text):
    assert numbers.loss(x) == text


@pytest.mark.parametrize(
    ("x", "text"),
    [(0.681, "+0.681"), (-0.038, "−0.038"), (0.0, "+0.000"), (-0.0001, "+0.000"), (12.5, "+12.50"), (None, "–")],
)
def test_signed(x, text):
    assert numbers.signed(x) == text


def test_signs_in_ascii():
    assert numbers.signed(-0.038, ASCII) == "-0.038"
    assert numbers.change(-0.038, ASCII) == "v0.038"
    assert numbers.ratio(881, ASCII) == "881x"
    assert numbers.loss(None, ASCII) == "-"


def test_change_points_where_the_loss_goes():
    assert numbers.change(-0.038) == "▼0.038"
    assert numbers.change(-0.038, gap=" ") == "▼ 0.038"
    assert numbers.change(0.012) == "▲0.012"
    assert numbers.change(None) == ""


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (1000, "1.0 KiB"),
        (576 * 1024, "576 KiB"),
        (1.2 * 2**20, "1.2 MiB"),
        (1000 * 2**10, "1.0 MiB"),
        (212 * 2**20, "212 MiB"),
        (31.4 * 2**30, "31.4 GiB"),
        (1.4 * 2**40, "1.4 TiB"),
        (None, "–"),
    ],
)
def test_bytes(n, text):
    assert numbers.bytes_text(n) == text


def test_bytes_in_no_smaller_unit():
    assert numbers.bytes_text(432, least="KiB") == "0.4 KiB"
    assert numbers.bytes_text(576 * 1024, least="MiB") == "0.6 MiB"
    assert numbers.bytes_text(0, least="MiB") == "0 B"


@pytest.mark.parametrize(
    ("n", "text"),
    [
        *((0, "0.0"), (7.3, "7.3"), (129.4, "129.4"), (1204, "1204"), (None, "–")),
        *((0.1, "0.1"), (0.099, "0.10"), (0.04, "0.04"), (0.004, "0.004"), (0.0008, "0.0008"), (1e-9, "0.0001")),
    ],
)
def test_mebibytes(n, text):
    assert numbers.mebibytes(None if n is None else n * 2**20) == text


def test_memory_takes_its_unit_from_the_whole():
    assert numbers.memory(31.4 * 2**30, 80 * 2**30) == "31.4/80.0 GiB"
    assert numbers.memory(0.4 * 2**30, 80 * 2**30) == "0.4/80.0 GiB"
    assert numbers.memory(312 * 2**20, 548 * 2**20) == "312/548 MiB"
    assert numbers.memory(None, 80 * 2**30) == "–/80.0 GiB"
    assert numbers.memory(None, None) == "–"


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0"), (940, "940"), (999.6, "1.00k"), (1240, "1.24k"), (12300, "12.3k"), (182000, "182k"), (1.24e6, "1.24M")],
)
def test_rate(n, text):
    assert numbers.rate(n) == text


def test_counts():
    assert numbers.count(1204) == "1,204"
    assert [numbers.count_short(n) for n in (412, 6100, 50257, 147456, 124e6, 1.54e9)] == [
        "412",
        "6.1k",
        "50.3k",
        "147k",
        "124M",
        "1.5B",
    ]


@pytest.mark.parametrize(
    ("s", "text"),
    [
        (0.4, "0.4 s"),
        (9.0, "9.0 s"),
        (9.96, "10s"),
        (48, "48s"),
        (59.6, "1m 00s"),
        (121, "2m 01s"),
        (3 * 3600 + 7 * 60, "3h 07m"),
        (2 * 86400 + 4 * 3600 + 59, "2d 04h"),
        (-3, "0.0 s"),
        (None, "–"),
    ],
)
def test_duration(s, text):
    assert numbers.duration(s) == text


def test_digits_time():
    assert numbers.digits_time(121) == ("2:01", "left")
    assert numbers.digits_time(3 * 3600 + 7 * 60) == ("3:07", "hours left")
    assert numbers.digits_time(None) == ("–", "left")


def test_clock_is_local():
    t = time.mktime((2025, 11, 22, 14, 3, 10, 0, 0, -1))
    assert numbers.clock(t) == "14:03:10"
    assert numbers.clock_short(t) == "14:03"
    assert numbers.clock_short(None) == "–"


def test_shares_and_ratios():
    assert numbers.percent(0.364) == "36%"
    assert numbers.percent_fine(0.00119) == "0.12%"
    assert numbers.ratio(881.2) == "881×"
    assert numbers.ratio(3.0) == "3.0×"
    assert numbers.of(40, 64) == "40/64"
    assert numbers.of(None, None) == "–"
    assert numbers.milliseconds(0.038) == "38 ms"
    assert [numbers.faults(n) for n in (0, 2, None)] == ["·", "2", "–"]


def test_fixed_decimals():
    assert numbers.hundredths(0.79) == "0.79"
    assert numbers.hundredths(-0.123) == "−0.12"
    assert numbers.hundredths(-0.001) == "0.00"
    assert numbers.drift(0.041) == "0.041"
    norms = [0, 0.41, 0.0412, 0.00996, 0.000412, 12.34, 104.2, 12345, 9.996, 0.0999]
    written = ["0.00", "0.41", "0.041", "0.010", "4.1e-4", "12.3", "104", "1.2e4", "10.0", "0.10"]
    assert [numbers.norm(x) for x in norms] == written
    assert [numbers.epsilon(x) for x in (3.21, 3.2101, 8.0, 0.07)] == ["3.21", "3.22", "8.00", "0.07"]


@pytest.mark.parametrize(
    ("x", "text"),
    [(5e-4, "5e-4"), (1e-3, "1e-3"), (2.5e-4, "2.5e-4"), (1e-6, "1e-6"), (0.5, "0.5"), (1, "1"), (0, "0")],
)
def test_learning_rate(x, text):
    assert numbers.learning_rate(x) == text


@pytest.mark.parametrize("form", FORMS)
@given(x=NUMBERS)
def test_any_number_is_written_and_in_ascii_when_asked(form, x):
    assert isinstance(form(x, UNICODE), str)
    assert form(x, ASCII).isascii()


@pytest.mark.parametrize("form", [form for form in FORMS if form is not numbers.change])
def test_no_source_is_a_dash_and_nan_is_nan(form):
    assert form(None) == "–"
    assert form(math.nan) == "nan" or form is numbers.clock_short


@given(x=st.floats(0, 1000), y=st.floats(0, 1e12))
def test_widths_of_columns(x, y):
    assert len(numbers.loss(x)) <= 5
    assert len(numbers.rate(y)) <= 5
    assert len(numbers.bytes_text(y)) <= 8
    assert len(numbers.duration(min(y, 8e6))) <= 7
