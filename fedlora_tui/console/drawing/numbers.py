"""Numbers as the console writes them.

A value of None has no source and is written as a dash, nan is written nan, and neither ever as 0. Rows that align
numbers pad them with `text.right`.
"""

from __future__ import annotations

import math
import time

from fedlora_tui.console.drawing.glyphs import UNICODE, Glyphs

BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_THOUSANDS = ("", "k", "M", "B")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def loss(x: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A loss as `2.905`, from 10 up `12.35`, from 100 up `104.2`, in nats a token."""
    if x is None or not math.isfinite(x):
        return _no_number(x, glyphs)
    return _minus(_loss_digits(x), glyphs)


def signed(x: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A gain or a change as `+0.681` or `−0.038`, in nats a token."""
    if x is None or not math.isfinite(x):
        return _no_number(x, glyphs)
    digits = _loss_digits(abs(x))
    # What rounds to nothing has no direction, and a sign that flickers would say that it had.
    below = x < 0 and float(digits) != 0
    return (glyphs.minus if below else "+") + digits


def change(x: float | None, glyphs: Glyphs = UNICODE, gap: str = "") -> str:
    """A change with its direction as `▼0.038`, `gap` between the two; empty where there is none."""
    if x is None:
        return ""
    if not math.isfinite(x):
        return _no_number(x, glyphs)
    return (glyphs.rises if x > 0 else glyphs.falls) + gap + _loss_digits(abs(x))


def bytes_text(n: float | None, glyphs: Glyphs = UNICODE, least: str = "B") -> str:
    """Bytes with their unit as `0 B`, `812 B`, `576 KiB`, `1.2 MiB`; never in a unit below `least`."""
    if n is None or not math.isfinite(n):
        return _no_number(n, glyphs)
    if n == 0:
        return "0 B"
    unit = _byte_unit(n, BYTE_UNITS.index(least))
    return f"{_minus(_in_unit(n, unit), glyphs)} {BYTE_UNITS[unit]}"


def mebibytes(n: float | None, glyphs: Glyphs = UNICODE) -> str:
    """Bytes as `7.3` for a column whose head says MiB, whole from 1,000 MiB up; a few KiB keep a digit: `0.04`."""
    if n is None or not math.isfinite(n):
        return _no_number(n, glyphs)
    size = n / 2**20
    if 0 < abs(size) < 0.0995:
        decimals = 2 if abs(size) >= 0.00995 else 3 if abs(size) >= 0.000995 else 4
        return _minus(f"{max(abs(size), 0.0001) * math.copysign(1, size):.{decimals}f}", glyphs)
    return _minus(f"{size:.1f}" if abs(size) < 999.95 else f"{size:.0f}", glyphs)


def memory(used: float | None, total: float | None, glyphs: Glyphs = UNICODE) -> str:
    """Used and whole memory as `31.4/80.0 GiB`, both in the unit of the whole, from bytes."""
    if total is None or not math.isfinite(total):
        return bytes_text(used, glyphs)
    unit = _byte_unit(total, 0)
    part = _no_number(used, glyphs) if used is None or not math.isfinite(used) else _in_unit(used, unit)
    return f"{part}/{_in_unit(total, unit)} {BYTE_UNITS[unit]}"


def rate(n: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A rate in three digits as `940`, `12.3k`, `182k`, `1.24M`, a second."""
    if n is None or not math.isfinite(n):
        return _no_number(n, glyphs)
    return _short(n, glyphs, digits=3)


def count(n: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A count in full as `1,204`."""
    if n is None or not math.isfinite(n):
        return _no_number(n, glyphs)
    return _minus(f"{n:,.0f}", glyphs)


def count_short(n: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A count in short as `940`, `6.1k`, `147k`, `124M`: a decimal under 100, none above."""
    if n is None or not math.isfinite(n):
        return _no_number(n, glyphs)
    return _short(n, glyphs, digits=2)


def whole(n: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A rank, a round or a number of steps as `4`."""
    if n is None or not math.isfinite(n):
        return _no_number(n, glyphs)
    return _minus(f"{n:.0f}", glyphs)


def of(k: float | None, n: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A part of a whole as `40/64`, one dash where nothing is known of either."""
    if k is None and n is None:
        return glyphs.dash
    return f"{whole(k, glyphs)}/{whole(n, glyphs)}"


def faults(n: int | None, glyphs: Glyphs = UNICODE) -> str:
    """A number of faults as `2`, the quiet `·` for none."""
    return glyphs.none if n == 0 else whole(n, glyphs)


def duration(s: float | None, glyphs: Glyphs = UNICODE) -> str:
    """Seconds as `0.4 s`, `9.0 s`, `48s`, `2m 01s`, `3h 07m`, `2d 04h`."""
    if s is None or not math.isfinite(s):
        return _no_number(s, glyphs)
    s = max(s, 0.0)
    if s < 9.95:
        return f"{s:.1f} s"
    s = round(s)
    if s < _MINUTE:
        return f"{s}s"
    if s < _HOUR:
        return f"{s // _MINUTE}m {s % _MINUTE:02d}s"
    if s < _DAY:
        return f"{s // _HOUR}h {s % _HOUR // _MINUTE:02d}m"
    return f"{s // _DAY}d {s % _DAY // _HOUR:02d}h"


def seconds(s: float | None, glyphs: Glyphs = UNICODE) -> str:
    """Seconds as `9.0` for a column whose head says sec, whole from 100 up."""
    if s is None or not math.isfinite(s):
        return _no_number(s, glyphs)
    return _minus(_decimal_under_100(s), glyphs)


def milliseconds(s: float | None, glyphs: Glyphs = UNICODE) -> str:
    """Seconds that are a fraction of one as `38 ms`."""
    if s is None or not math.isfinite(s):
        return _no_number(s, glyphs)
    return _minus(f"{s * 1000:.0f} ms", glyphs)


def digits_time(s: float | None, glyphs: Glyphs = UNICODE) -> tuple[str, str]:
    """Seconds left as big digits with their label: `2:01` and `left`, from an hour up `3:07` and `hours left`."""
    if s is None or not math.isfinite(s):
        return _no_number(s, glyphs), "left"
    s = max(round(s), 0)
    if s < _HOUR:
        return f"{s // _MINUTE}:{s % _MINUTE:02d}", "left"
    return f"{s // _HOUR}:{s % _HOUR // _MINUTE:02d}", "hours left"


def clock(t: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A time as `14:03:10` in local time, from seconds since the epoch."""
    if t is None or not math.isfinite(t):
        return _no_number(t, glyphs)
    try:
        return time.strftime("%H:%M:%S", time.localtime(t))
    except (OverflowError, OSError, ValueError):
        return glyphs.dash


def clock_short(t: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A time as `14:03` in local time, from seconds since the epoch."""
    return clock(t, glyphs).rpartition(":")[0] or glyphs.dash


def percent(share: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A share from 0 to 1 as `36%`."""
    if share is None or not math.isfinite(share):
        return _no_number(share, glyphs)
    return _minus(f"{share * 100:.0f}%", glyphs)


def percent_fine(share: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A small share from 0 to 1 as `0.12%`."""
    if share is None or not math.isfinite(share):
        return _no_number(share, glyphs)
    return _minus(f"{share * 100:.2f}%", glyphs)


def ratio(x: float | None, glyphs: Glyphs = UNICODE) -> str:
    """How many times as `881×`, under 10 as `3.0×`."""
    if x is None or not math.isfinite(x):
        return _no_number(x, glyphs)
    return _minus(f"{x:.1f}" if abs(x) < 9.95 else f"{x:,.0f}", glyphs) + glyphs.times


def hundredths(x: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A cosine or a distance as `0.79` or `−0.12`."""
    return fixed(x, 2, glyphs)


def drift(x: float | None, glyphs: Glyphs = UNICODE) -> str:
    """The share of the ideal update that a round lost as `0.041`."""
    return fixed(x, 3, glyphs)


def norm(x: float | None, glyphs: Glyphs = UNICODE) -> str:
    """The length of an update as `0.41`, `12.3`, `104`; a small one keeps two digits: `0.041`, `4.1e-4`."""
    if x is None or not math.isfinite(x):
        return _no_number(x, glyphs)
    size = abs(x)
    if size >= 9999.5 or 0 < size < 0.000995:
        return power(x, glyphs, decimals=1)
    if 0 < size < 0.0995:
        return _minus(f"{x:.{1 - math.floor(math.log10(float(f'{size:.1e}')))}f}", glyphs)
    return _minus(f"{x:.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}", glyphs)


def epsilon(x: float | None, glyphs: Glyphs = UNICODE) -> str:
    """What was spent of a privacy budget as `3.21`, never lower than it is."""
    if x is not None and math.isfinite(x * 100):
        x = math.ceil(round(x * 100, 6)) / 100
    return fixed(x, 2, glyphs)


def fixed(x: float | None, decimals: int, glyphs: Glyphs = UNICODE) -> str:
    """A number with exactly so many decimals."""
    if x is None or not math.isfinite(x):
        return _no_number(x, glyphs)
    return _minus(f"{x:.{decimals}f}", glyphs)


def learning_rate(x: float | None, glyphs: Glyphs = UNICODE) -> str:
    """A learning rate, or the δ of a privacy budget, as `5e-4` or `2.5e-4`; `0.1` and above in full."""
    if x is None or not math.isfinite(x):
        return _no_number(x, glyphs)
    plain = f"{x:.4g}"
    return _minus(plain, glyphs) if x == 0 or (abs(x) >= 0.1 and "e" not in plain) else power(x, glyphs)


def power(x: float, glyphs: Glyphs = UNICODE, decimals: int = 3) -> str:
    """A number of any size in few digits as `5e-4` or `2.5e9`; the exponent's sign is a plain one, to be typed."""
    mantissa, _, exponent = f"{x:.{decimals}e}".partition("e")
    return f"{_minus(mantissa.rstrip('0').rstrip('.'), glyphs)}e{int(exponent)}"


def _no_number(x: float | None, glyphs: Glyphs) -> str:
    if x is None:
        return glyphs.dash
    if math.isnan(x):
        return "nan"
    return "inf" if x > 0 else glyphs.minus + "inf"


def _minus(digits: str, glyphs: Glyphs) -> str:
    if not digits.startswith("-"):
        return digits
    # A zero that rounding made carries no sign.
    return glyphs.minus + digits[1:] if any(c in "123456789" for c in digits) else digits[1:]


def _loss_digits(x: float) -> str:
    size = abs(x)
    if size >= 99999.5:
        mantissa, _, exponent = f"{x:.0e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    decimals = 3 if size < 9.9995 else 2 if size < 99.995 else 1 if size < 999.95 else 0
    return f"{x:.{decimals}f}"


def _decimal_under_100(x: float) -> str:
    return f"{x:.1f}" if abs(x) < 99.95 else f"{x:.0f}"


def _byte_unit(n: float, least: int) -> int:
    unit = least
    # A unit is left before it needs four digits, which would not fit its column.
    while unit < len(BYTE_UNITS) - 1 and abs(n) / 1024**unit >= 999.5:
        unit += 1
    return unit


def _in_unit(n: float, unit: int) -> str:
    return f"{n:.0f}" if unit == 0 else _decimal_under_100(n / 1024**unit)


def _short(n: float, glyphs: Glyphs, digits: int) -> str:
    size, power = abs(n), 0
    while size >= 999.5 and power < len(_THOUSANDS) - 1:
        size, power = size / 1000, power + 1
    if power == 0:
        text = f"{size:.0f}"
    elif digits == 2:
        text = _decimal_under_100(size)
    else:
        text = f"{size:.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"
    return _minus(("-" if n < 0 else "") + text, glyphs) + _THOUSANDS[power]
