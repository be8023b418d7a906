"""Draws what stands on a terminal as SVG, once or moving, so that it looks the same in every browser.

Lines, bars and blocks are drawn as shapes, for fonts leave gaps between them or have none; all else is text, held to
its cells. Nothing is fetched from elsewhere.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from cells import Ink, Row

from fedlora_tui.console.drawing.roles import DARK, DARK_BACKGROUND

WIDTH, HEIGHT = 10, 20
"""Of one cell, in the picture's units."""

MARGIN = 14
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
BASELINE = 15
"""Where letters stand in a row, from its top; a row's own y begins there."""

THIN, THICK = 1.4, 3.2

BLOCKS: Mapping[str, tuple[tuple[float, float, float, float], ...]] = {
    **{sign: ((0, 1 - part / 8, 1, part / 8),) for part, sign in enumerate("▁▂▃▄▅▆▇█", 1)},
    **{sign: ((0, 0, part / 8, 1),) for part, sign in zip(range(7, 0, -1), "▉▊▋▌▍▎▏", strict=True)},
    "▀": ((0, 0, 1, 0.5),),
    "▐": ((0.5, 0, 0.5, 1),),
    "▖": ((0, 0.5, 0.5, 0.5),),
    "▗": ((0.5, 0.5, 0.5, 0.5),),
    "▘": ((0, 0, 0.5, 0.5),),
    "▝": ((0.5, 0, 0.5, 0.5),),
    "▚": ((0, 0, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5)),
    "▞": ((0.5, 0, 0.5, 0.5), (0, 0.5, 0.5, 0.5)),
    "▙": ((0, 0, 0.5, 1), (0.5, 0.5, 0.5, 0.5)),
    "▛": ((0, 0, 0.5, 1), (0.5, 0, 0.5, 0.5)),
    "▜": ((0, 0, 1, 0.5), (0.5, 0.5, 0.5, 0.5)),
    "▟": ((0.5, 0, 0.5, 1), (0, 0.5, 0.5, 0.5)),
}
"""Blocks as shares of a cell: from the left, from the top, width, height."""

SHADES = {"░": 0.25, "▒": 0.5, "▓": 0.7}

ARMS: Mapping[str, tuple[float, ...]] = {
    line[0]: tuple({"·": 0.0, "-": THIN, "=": THICK}[arm] for arm in line[1:])
    for line in re.findall(
        r"\S{5}",
        "─-·-· ━=·=· │·-·- ┃·=·= ╸=··· ╺··=· ╹·=·· ╻···= ╴-··· ╶··-· ╵·-·· ╷···- ┌··-- ┐-··- └·--· ┘--·· ├·--- "
        "┤--·- ┬-·-- ┴---· ┼---- ┏··== ┓=··= ┗·==· ┛==·· ┣·=== ┫==·= ┳=·== ┻===· ╋==== ╭··-- ╮-··- ╰·--· ╯--··",
    )
}
"""How thick lines go from the middle of a cell to the left, up, to the right and down."""

DASHED = {"┈": (4, True), "┄": (3, True), "┊": (4, False), "┆": (3, False), "╎": (2, False), "╌": (2, True)}
"""In how many dashes a line goes through a cell, and whether it lies."""


def still(rows: Sequence[Row], label: str) -> str:
    """Give one picture of the rows; `label` says what it shows to those who do not see it."""
    inks = _Inks()
    drawn = (_row(row, inks) for row in rows)
    body = [f'<g transform="translate(0,{y * HEIGHT + BASELINE})">{row}</g>' for y, row in enumerate(drawn) if row]
    return _picture("\n".join(body), _columns(rows), len(rows), inks.css(), label)


def moving(frames: Sequence[tuple[float, Sequence[Row]]], seconds: float, label: str) -> str:
    """Give a picture that goes through frames, each from its moment on, again and again.

    Each row of the screen is a strip of all that ever stands there, moved to where its turn is, so what comes again or
    stays is drawn once. Who wants no motion sees the last frame.
    """
    inks = _Inks()
    columns, count = _columns(frames[0][1]), len(frames[0][1])
    body, css, resting = [], [], []
    for y in range(count):
        told = [(moment, rows[y]) for moment, rows in frames]
        changes = [next(same) for _, same in groupby(told, key=lambda one: one[1])]
        different = list(dict.fromkeys(row for _, row in changes))
        places = {row: -place * columns * WIDTH for place, row in enumerate(different)}
        strip = "".join(
            f'<g transform="translate({-places[row]},0)">{drawn}</g>' for row in different if (drawn := _row(row, inks))
        )
        moves = len(different) > 1
        if moves:
            steps = "".join(
                f"{100 * moment / seconds:.4g}%{{transform:translateX({places[row]}px)}}" for moment, row in changes
            )
            css.append(f"@keyframes k{y}{{{steps}}}#s{y}{{animation:k{y} {seconds:g}s step-end infinite}}")
            resting.append(f"#s{y}{{animation:none;transform:translateX({places[changes[-1][1]]}px)}}")
        name = f' id="s{y}"' if moves else ""
        body.append(f'<g transform="translate(0,{y * HEIGHT + BASELINE})"><g{name}>{strip}</g></g>')
    css.append(f"@media (prefers-reduced-motion:reduce){{{''.join(resting)}}}")
    return _picture("\n".join(body), columns, count, inks.css() + "\n" + "\n".join(css), label)


class _Inks:
    """The inks of a picture, each with a class of a letter or two."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, bool], str] = {}

    def name(self, colour: str, bold: bool = False) -> str:
        return self._names.setdefault((colour, bold), f"c{len(self._names)}")

    def css(self) -> str:
        return "".join(
            f".{name}{{fill:{colour or DARK['ink']}{';font-weight:700' if bold else ''}}}"
            for (colour, bold), name in self._names.items()
        )


def _picture(body: str, columns: int, rows: int, css: str, label: str) -> str:
    width, height = columns * WIDTH, rows * HEIGHT
    outer = width + 2 * MARGIN, height + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 {outer[0]} {outer[1]}" '
        f'width="{outer[0]}" height="{outer[1]}" role="img" aria-label="{html.escape(label)}">\n'
        f"<style>text{{font:16.5px {FONT};white-space:pre}}path,rect{{shape-rendering:crispEdges}}"
        f".m{{text-anchor:middle}}{css}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{DARK_BACKGROUND}"/>\n'
        f'<svg x="{MARGIN}" y="{MARGIN}" width="{width}" height="{height}" overflow="hidden">\n{body}\n</svg>\n</svg>\n'
    )


def _columns(rows: Sequence[Row]) -> int:
    return max(sum(len(text) for text, _ in row) for row in rows)


def _row(row: Row, inks: _Inks) -> str:
    """Draw a row at the top left: what lies behind, then shapes, then text."""
    behind, shapes, words = [], [], []
    x = 0
    for text, ink in row:
        if ink.behind not in ("", DARK_BACKGROUND):
            place = f'x="{x * WIDTH}" y="-{BASELINE}" width="{len(text) * WIDTH}" height="{HEIGHT}"'
            behind.append(f'<rect class="{inks.name(ink.behind)}" {place}/>')
        if text.strip():
            shapes.extend(_shapes(text, x, ink, inks))
            words.extend(_words(text, x, ink, inks))
        x += len(text)
    return "".join([*behind, *shapes, *words])


def _shapes(text: str, x: int, ink: Ink, inks: _Inks) -> Iterable[str]:
    """Draw the lines and blocks of a stretch as one path, shades as rectangles."""
    path = ""
    at = x
    for sign, some in groupby(text):
        count = len(list(some))
        path += "".join(map(_rectangle, _pieces(sign, at, count)))
        if sign in SHADES:
            place = f'x="{at * WIDTH}" y="-{BASELINE}" width="{count * WIDTH}" height="{HEIGHT}"'
            yield f'<rect class="{inks.name(ink.colour)}" {place} opacity="{SHADES[sign]}"/>'
        at += count
    if path:
        yield f'<path class="{inks.name(ink.colour)}" d="{path}"/>'


def _pieces(sign: str, at: int, count: int) -> Iterable[tuple[float, float, float, float]]:
    """Give the rectangles of a sign that stands so often side by side."""
    left, wide = at * WIDTH, count * WIDTH
    if sign in BLOCKS and count > 1 and BLOCKS[sign][0][2] == 1:
        yield from ((left, top * HEIGHT, wide, high * HEIGHT) for _, top, _, high in BLOCKS[sign])
    elif sign in BLOCKS:
        for one in range(count):
            for from_left, top, width, high in BLOCKS[sign]:
                yield (at + one + from_left) * WIDTH, top * HEIGHT, width * WIDTH, high * HEIGHT
    elif sign in "─━":
        thick = ARMS[sign][0]
        yield left, (HEIGHT - thick) / 2, wide, thick
    elif sign in ARMS:
        for one in range(count):
            yield from _arms(left + one * WIDTH, ARMS[sign])
    elif sign in DASHED:
        dashes, lies = DASHED[sign]
        for one in range(count):
            yield from _dashes(left + one * WIDTH, dashes, lies)


def _arms(left: float, arms: Sequence[float]) -> Iterable[tuple[float, float, float, float]]:
    to_left, up, to_right, down = arms
    middle, centre = left + WIDTH / 2, HEIGHT / 2
    # An arm reaches over the middle by half of what crosses it, so that corners close.
    over, side = max(up, down) / 2, max(to_left, to_right) / 2
    if to_left:
        yield left, centre - to_left / 2, WIDTH / 2 + over, to_left
    if to_right:
        yield middle - over, centre - to_right / 2, WIDTH / 2 + over, to_right
    if up:
        yield middle - up / 2, 0, up, centre + side
    if down:
        yield middle - down / 2, centre - side, down, centre + side


def _dashes(left: float, dashes: int, lies: bool) -> Iterable[tuple[float, float, float, float]]:
    long = (WIDTH if lies else HEIGHT) / dashes
    for dash in range(dashes):
        begin = (dash + 0.2) * long
        if lies:
            yield left + begin, (HEIGHT - THIN) / 2, long * 0.6, THIN
        else:
            yield left + (WIDTH - THIN) / 2, begin, THIN, long * 0.6


def _rectangle(piece: tuple[float, float, float, float]) -> str:
    left, top, width, high = (f"{round(number, 2):g}" for number in (piece[0], piece[1] - BASELINE, *piece[2:]))
    return f"M{left} {top}h{width}v{high}h-{width}z"


def _words(text: str, x: int, ink: Ink, inks: _Inks) -> Iterable[str]:
    """Write words where they stand; a sign that fonts may draw in another width stands alone in its cell."""
    # Of the signs that are drawn as shapes nothing is left here.
    kept = "".join(" " if sign in BLOCKS or sign in SHADES or sign in ARMS or sign in DASHED else sign for sign in text)
    name = inks.name(ink.colour, ink.bold) if kept.strip() else ""
    for found in re.finditer(r"[!-~](?: {0,8}[!-~])*|[^ -~]", kept):
        word, at = found[0], (x + found.start()) * WIDTH
        if word.isascii():
            held = f' textLength="{len(word) * WIDTH}"' if len(word) > 1 else ""
            yield f'<text class="{name}" x="{at}"{held}>{html.escape(word, quote=False)}</text>'
        else:
            yield f'<text class="m {name}" x="{at + WIDTH // 2}">{word}</text>'
