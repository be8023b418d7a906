"""The table of the runs of a race: one row each, the cursor on the run in front."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.apart import told_apart
from fedlora_tui.console.drawing.text import cells, cut_middle, left, right
from fedlora_tui.console.pace import AT_REST
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule, width_of
from fedlora_tui.console.standing import common_round, loss_at, lowest
from fedlora_tui.console.view import OneRun, View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.row_table import RowTable
from fedlora_tui.console.widgets.run_line import STATE_STYLES
from fedlora_tui.console.widgets.table import scroll_bar

LEAD = 4
"""The columns of the cursor and of the run's sign."""

RUN_WIDTHS = {"compact": 9, "normal": 24, "wide": 28}
LABEL_LEAST = 16
ENDING = 11
"""The columns that stand free behind a label for the word how its run ended."""

PHASES = (*("starting", "running", "pausing", "paused", "finishing", "done", "stopped", "failed"),)
"""The order in which the head counts them."""


@dataclass(frozen=True)
class Column:
    """A column of numbers: its head, its width, and what a cell says."""

    head: str
    width: int
    cell: Callable[[OneRun, View], tuple[str, str]]


@dataclass(frozen=True)
class Columns:
    """The columns of a width: that of the run's id, 0 where it has no place, of its label, and those of numbers."""

    run: int
    label: int
    gap: int
    numbers: tuple[Column, ...]


def _round(run: OneRun, view: View) -> tuple[str, str]:
    state = run.state
    return numbers.of(state.round, state.rounds, view.look.glyphs) if state.rounds else view.look.glyphs.dash, ""


def _holdout(run: OneRun, view: View) -> tuple[str, str]:
    return numbers.loss(run.state.eval_loss, view.look.glyphs), "held_bold" if run is lowest(view.runs) else "held"


def _gain(run: OneRun, view: View) -> tuple[str, str]:
    gain = run.state.gain
    return numbers.signed(gain, view.look.glyphs), "care" if gain is not None and gain < 0 else "held"


def _drift(run: OneRun, view: View) -> tuple[str, str]:
    drifts = [row.drift for row in run.state.history if row.drift is not None]
    return numbers.drift(statistics.fmean(drifts) if drifts else None, view.look.glyphs), ""


def _moved(run: OneRun, view: View) -> tuple[str, str]:
    moved = run.state.bytes_up + run.state.bytes_down
    return numbers.mebibytes(moved if run.state.started else None, view.look.glyphs), ""


def _time(run: OneRun, view: View) -> tuple[str, str]:
    state = run.state
    if state.began is None:
        return view.look.glyphs.dash, ""
    until = state.phase_since if state.phase in AT_REST and state.phase_since is not None else view.now
    return numbers.duration(until - state.began, view.look.glyphs), ""


NUMBERS: tuple[Column, ...] = (
    Column("round", 7, _round),
    Column("hold-out", 8, _holdout),
    Column("gain", 6, _gain),
    Column("drift", 5, _drift),
    Column("↑↓ MiB", 7, _moved),
    Column("time", 7, _time),
)
FALLING = ("", "drift", "time", "↑↓ MiB", "round")
"""What falls away as it gets narrow, in this order; the empty head is that of the run's id, which the label repeats."""

LOWER = "(lower is better)"


def columns_for(size: str, width: int, longest: int) -> Columns:
    """Choose the columns for a width and the longest label; what they leave free is the labels'."""
    gap = 1 if size == "compact" else 2

    def placed(run: int, chosen: tuple[Column, ...]) -> Columns:
        taken = (run + gap if run else 0) + sum(column.width + gap for column in chosen)
        return Columns(run, width - LEAD - taken - 2, gap, chosen)

    columns = placed(RUN_WIDTHS[size], NUMBERS if size != "compact" else _without("drift", NUMBERS))
    for head in FALLING:
        wanted = LABEL_LEAST if head else max(LABEL_LEAST, longest + ENDING)
        if columns.label < wanted:
            columns = placed(columns.run if head else 0, _without(head, columns.numbers))
    return columns


def _without(head: str, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    return tuple(column for column in columns if column.head != head)


class RunTable(RowTable):
    """The pane of runs."""

    class Pointed(RowTable.Pointed):
        """The pointer asks for a run."""

    def draw(self, view: View) -> list[Text]:
        """Give the rule, the head and the rows that are in sight."""
        rows = view.layout.table
        columns = columns_for(view.layout.columns, view.layout.width, max(len(run.label) for run in view.runs))
        order = view.run_order.places
        self.keep_in_sight(order.index(view.place), len(view.runs), rows)
        bar = scroll_bar(len(view.runs), rows, self._top, view)
        places = order[self._top : self._top + rows]
        names = told_apart(map(_name, view.runs), columns.run, view.look.glyphs, alike=True)
        drawn = (_row(view, columns, place, names, bar[y]) for y, place in enumerate(places))
        return [_title(view), _head(view, columns), *drawn]


def _title(view: View) -> Text:
    counts = Counter(run.state.phase for run in view.runs)
    words = [str(len(view.runs)), *(f"{counts[phase]} {phase}" for phase in PHASES if counts[phase])]
    right: list[Words] = [f" {view.look.glyphs.none} ".join(words)]
    if view.run_order.words:
        right.append((f"   {view.run_order.words}", "yours"))
    return rule(view.layout.width, view.look.glyphs, "2 runs", *right, focused=view.focused != "compare-chart")


def _head(view: View, columns: Columns) -> Text:
    glyphs = view.look.glyphs
    row = Row(view.layout.width, glyphs)
    if columns.run:
        row.at(LEAD, ("run", "quiet"))
    start = LEAD + (columns.run + columns.gap if columns.run else 0)
    row.at(start, ("differs in", "quiet"))
    start += columns.label
    for column in columns.numbers:
        head = column.head.replace("↑↓ ", "") if glyphs.ascii else column.head
        row.at(start + columns.gap, (right(head, column.width, glyphs), "quiet"))
        start += columns.gap + column.width
    return row.text()


def _row(view: View, columns: Columns, place: int, names: Mapping[str, str], bar: str) -> Text:
    glyphs, run, chosen = view.look.glyphs, view.runs[place], place == view.place
    row = Row(view.layout.width, glyphs)
    row.at(0, (glyphs.cursor if chosen else " ", "yours_bold"))
    sign = glyphs.dash if place in view.run_order.hidden else glyphs.series(place)
    row.at(2, (sign, "held" if chosen else "quiet"))
    start = LEAD
    if columns.run:
        name = names[_name(run)] or glyphs.dash
        row.at(start, (name, "" if run.state.started else "quiet"))
        start += columns.run + columns.gap
    row.at(start, *_label(run, chosen, columns.label, view))
    start += columns.label
    for column in columns.numbers:
        words, style = column.cell(run, view)
        style = "quiet" if words == glyphs.dash else style
        row.at(start + columns.gap, (right(words, column.width, glyphs), style))
        start += columns.gap + column.width
    text = row.at(view.layout.width - 1, (bar, "quiet")).text()
    if chosen and not view.look.roles["held"]:
        text.stylize("reverse")
    return text


def _name(run: OneRun) -> str:
    return run.state.started.run if run.state.started else ""


def _label(run: OneRun, chosen: bool, width: int, view: View) -> list[Words]:
    """Give what tells the run from the others, and how it ended, which stands in one column for all."""
    glyphs, phase = view.look.glyphs, run.state.phase
    style = "yours_bold" if chosen else ""
    if not run.state.over:
        return [(cut_middle(run.label, width, glyphs), style)]
    room = min(width - ENDING, max(cells(run.label) for run in view.runs))
    label = cut_middle(run.label, room, glyphs)
    ending = (f"{glyphs.run_state(phase)} {phase}", STATE_STYLES.get(phase, "ink"))
    return [(left(label, room, glyphs), style), "  ", ending]


class AtRound(Part):
    """The line of all losses at the last round that every run has measured, against the run in front."""

    SLOW = True

    def draw(self, view: View) -> list[Text]:
        """Give the one line: the run in front, then the best of the others that there is room for, in their order."""
        number, glyphs = common_round(view.runs), view.look.glyphs
        row = Row(view.layout.width, glyphs)
        if number is None:
            return [row.text()]
        own = loss_at(view.state, number)
        row.at(2, (f"at round {number}", "quiet"), "   ", (glyphs.series(view.place), "held"))
        row.at(row.end, f" {numbers.loss(own, glyphs)}")
        measured = {place: loss_at(run.state, number) for place, run in enumerate(view.runs) if place != view.place}
        found = sorted((not math.isfinite(x), x, place) for place, x in measured.items() if x is not None)
        free, each = view.layout.width - 1 - row.end, width_of(*_against(0, 1.0, own, view))
        fitting = len(found) if len(found) * each <= free else max(0, (free - 4) // each)
        places = sorted(place for *_, place in found[:fitting])
        for place in places:
            row.at(row.end, *_against(place, measured[place], own, view))
        if len(places) < len(found):
            row.at(row.end, (f"   {glyphs.ellipsis}", "quiet"))
        if row.end + 3 + len(LOWER) < view.layout.width:
            row.at(row.end + 3, (LOWER, "quiet"))
        return [row.text()]


def _against(place: int, loss: float | None, own: float | None, view: View) -> list[Words]:
    glyphs = view.look.glyphs
    change = None if loss is None or own is None else loss - own
    style = "held" if change is not None and change < 0 else "quiet"
    return [
        *("   ", (glyphs.series(place), "quiet"), f" {right(numbers.loss(loss, glyphs), 5)}  "),
        (right(numbers.signed(change, glyphs), 6), style),
    ]


def run_as_text(view: View) -> str:
    """Write the row of the run in front below its heads, between tabs."""
    run = view.runs[view.place]
    name = run.state.started.run if run.state.started else view.look.glyphs.dash
    heads = ["run", "differs in", "state", *(column.head for column in NUMBERS)]
    cells = [name, run.label, run.state.phase, *(column.cell(run, view)[0] for column in NUMBERS)]
    return "\n".join("\t".join(words) for words in (heads, cells))
