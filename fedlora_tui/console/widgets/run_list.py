"""The list of all runs: a row each, the newest first, with a cursor, and what the keys would do with the chosen one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.apart import told_apart
from fedlora_tui.console.drawing.text import cut_middle, right
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.row_table import RowTable
from fedlora_tui.console.widgets.run_line import STATE_STYLES
from fedlora_tui.console.widgets.table import scroll_bar
from fedlora_tui.protocol.handle import ListedRun
from fedlora_tui.protocol.naming import called

LIVING = ("starting", "running", "paused")
ENDED_EARLY = ("stopped", "failed", "stale")
UNREADABLE = "unreadable"

STATE, RUN = 2, 15
RUN_WIDTHS = {"compact": 20, "normal": 26, "wide": 40}
COLUMNS = (("round", 8, 0), ("hold-out", 10, 0), ("gain", 8, 0), ("train", 8, 1), ("started", 14, 0), ("last", 14, 1))
"""Columns behind a run's id: head, width with the gap before it, and from which size on (0 compact, 1 normal)."""

NOW = "this one"


def own_run(view: View) -> str:
    """Give the id of the run in front."""
    return view.state.started.run if view.state.started is not None else view.run


def enter_words(found: ListedRun, view: View) -> str:
    """Say what enter does with a run."""
    if found.id == own_run(view) and view.replay is None:
        return "this run is the one that is shown"
    if found.state == UNREADABLE:
        return f"cannot be read: {found.note}"
    what = "watches it here" if found.state in LIVING else "replays its journal here"
    return f"{what}; {leaving_words(view)}"


def leaving_words(view: View) -> str:
    """Say what becomes of the run that is shown when this console goes to another."""
    if view.replay is not None:
        return "this replay ends"
    over = all(run.state.over for run in view.runs)
    which = (own_run(view) or "the run that starts") if not view.racing else f"all {len(view.runs)} runs shown"
    if over:
        return f"{which} {'is' if not view.racing else 'are'} over"
    return f"{which} {'goes' if not view.racing else 'go'} on without it"


def cannot_resume(found: ListedRun, view: View) -> str | None:
    """Say why a run cannot be resumed, None where it can."""
    if found.state in ENDED_EARLY:
        return None
    if found.state in LIVING:
        return f"{found.id} is at work: {view.key('open')} watches it"
    if found.state == UNREADABLE:
        return f"{found.id} cannot be read: {found.note}"
    run = called(Path(view.runs_folder) / found.id) if view.runs_folder else found.id
    return f"{found.id} is done: fedlora-tui fork {run} --round {found.round} goes on from there"


class RunList(RowTable):
    """The pane of all runs; the cursor stays on its run when others come."""

    class Pointed(RowTable.Pointed):
        """The pointer asks for a run."""

    listed: Sequence[ListedRun] | None = None
    trouble = ""
    place = ""
    chosen = ""

    @property
    def cursor(self) -> int:
        """The row of the cursor."""
        return next((row for row, run in enumerate(self.listed or ()) if run.id == self.chosen), 0)

    @property
    def under_cursor(self) -> ListedRun | None:
        """The run under the cursor, None where there is none."""
        return self.listed[self.cursor] if self.listed else None

    def choose(self, row: int) -> None:
        """Put the cursor on a row, the nearest one where there is no such row."""
        if self.listed:
            self.chosen = self.listed[max(0, min(len(self.listed) - 1, row))].id

    def draw(self, view: View) -> list[Text]:
        """Give the rule, the head and the runs in sight."""
        layout, found, glyphs = view.layout, self.listed or (), view.look.glyphs
        cursor = self.cursor
        self.keep_in_sight(cursor, len(found), layout.table)
        shown = found[self._top : self._top + layout.table]
        bar = scroll_bar(len(found), layout.table, self._top, view)
        names = _names(found, view)
        lines = [_row(run, names[run.id], view, self._top + y == cursor, bar[y]) for y, run in enumerate(shown)]
        if not shown:
            lines = [Row(layout.width, glyphs).at(2, (self._nothing(view), "quiet")).text()]
        blank = [Row(layout.width, glyphs).text()] * (layout.table - len(lines))
        return [self._title(view), _head(view), *lines, *blank]

    def _nothing(self, view: View) -> str:
        if self.trouble:
            return self.trouble
        return f"reading{view.look.glyphs.ellipsis}" if self.listed is None else "no run here yet"

    def _title(self, view: View) -> Text:
        parts: list[Words] = []
        if self.listed:
            counts = Counter(run.state for run in self.listed)
            told = [str(len(self.listed)), *(f"{counts[state]} {state}" for state in counts)]
            parts.append(f" {view.look.glyphs.none} ".join(told))
        if view.layout.columns != "compact":
            parts.append((f"   in {self.place}   newest first", "quiet"))
        return rule(view.layout.width, view.look.glyphs, "runs", *parts, focused=True)


def _columns(view: View) -> list[tuple[str, int]]:
    """Give the columns of numbers with the column before which each ends."""
    size = view.layout.columns
    end = RUN + RUN_WIDTHS[size]
    placed = []
    for head, width, least in COLUMNS:
        if least and size == "compact":
            continue
        end += width
        placed.append((head, end))
    return placed


def _head(view: View) -> Text:
    row = Row(view.layout.width, view.look.glyphs).at(STATE, ("state", "quiet")).at(RUN, ("run", "quiet"))
    for head, end in _columns(view):
        row.to(end, (head, "quiet"))
    if view.layout.columns != "compact":
        row.at(row.end + 2, ("parent, round", "quiet"))
    return row.text()


def _names(found: Sequence[ListedRun], view: View) -> dict[str, str]:
    """Give the runs' ids as they fit; that of the run in front leaves room for what is said of it."""
    own, width, glyphs = own_run(view), RUN_WIDTHS[view.layout.columns], view.look.glyphs
    ids = [run.id for run in found]
    names = told_apart(ids, width, glyphs)
    if own in names:
        names[own] = told_apart(ids, width - len(NOW) - 1, glyphs)[own]
    return names


def _row(found: ListedRun, name: str, view: View, chosen: bool, bar: str) -> Text:
    glyphs, size = view.look.glyphs, view.layout.columns
    row = Row(view.layout.width, glyphs).at(0, (glyphs.cursor if chosen else " ", "yours_bold"))
    sign = "!" if found.state == UNREADABLE else glyphs.run_state(found.state)
    style = "broken" if found.state == UNREADABLE else STATE_STYLES.get(found.state, "ink")
    row.at(STATE, (f"{sign} {found.state}", style))
    own = found.id == own_run(view)
    row.at(RUN, (name, "yours_bold" if chosen else ""))
    if own:
        row.at(row.end + 1, (NOW, "quiet"))
    for head, end in _columns(view):
        words, style = _cell(head, found, view)
        row.to(end, (words, "quiet" if words == glyphs.dash else style))
    if found.parent and size != "compact":
        row.at(row.end + 2, (f"{found.parent} {found.parent_round}", "quiet"), until=view.layout.width - 2)
    text = row.at(view.layout.width - 1, (bar, "quiet")).text()
    if chosen and not view.look.roles["held"]:
        text.stylize("reverse")
    return text


def _cell(head: str, found: ListedRun, view: View) -> tuple[str, str]:
    glyphs = view.look.glyphs
    known = found.base_loss is not None and found.eval_loss is not None
    gain = found.base_loss - found.eval_loss if known else None  # type: ignore[operator]
    cells = {
        "round": (numbers.of(found.round, found.rounds, glyphs) if found.rounds else glyphs.dash, ""),
        "hold-out": (numbers.loss(found.eval_loss, glyphs), "held"),
        "gain": (numbers.signed(gain, glyphs), "care" if gain is not None and gain < 0 else "held"),
        "train": (numbers.loss(found.train_loss, glyphs), "train"),
        "started": (_when(found.started, view), ""),
        "last": (_when(found.last, view), ""),
    }
    return cells[head]


def _when(t: float | None, view: View) -> str:
    return view.look.glyphs.dash if t is None else right(time.strftime("%m-%d %H:%M", time.localtime(t)), 11)


class RunKeys(Part):
    """The lines below the list: what enter and space would do with the run under the cursor."""

    chosen: ListedRun | None = None

    def draw(self, view: View) -> list[Text]:
        """Give a rule and two lines."""
        if not view.layout.at_round:
            return []
        glyphs, found, width = view.look.glyphs, self.chosen, view.layout.width
        if found is None:
            return [rule(width, glyphs, "no run"), *[Row(width, glyphs).text()] * 2]
        again = cannot_resume(found, view) or f"resumes it from its checkpoint, here; {leaving_words(view)}"
        lines = [
            Row(width, glyphs).at(2, (view.key("open"), "yours_bold")).at(9, enter_words(found, view)).text(),
            Row(width, glyphs).at(2, (view.key("resume_listed"), "yours_bold")).at(9, again).text(),
        ]
        return [rule(width, glyphs, cut_middle(found.id, 40, glyphs)), *lines]
