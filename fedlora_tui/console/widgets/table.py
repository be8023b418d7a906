"""The table of organizations: one row each, sorted anew only when a round is over, the cursor on its organization."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from rich.text import Text

from fedlora_tui.console.arrangement import STATES
from fedlora_tui.console.curves import organization_points, rounds_so_far
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.trend import scale, trend
from fedlora_tui.console.look import Look
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule, width_of
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.columns import Placed, placed_columns
from fedlora_tui.console.widgets.row_table import RowTable

TITLE = "2 organizations"
DRAWN_SCALE = 100
"""Up to how many organizations the scale of trends is that of their drawn cells; above, that of their losses."""


class OrganizationTable(RowTable):
    """The pane of organizations."""

    can_focus = True

    class Pointed(RowTable.Pointed):
        """The pointer asks for an organization."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look.palette, id=id)
        self._trends: dict[str, str] = {}
        self._known_extremes: dict[str, tuple[object, tuple[float, ...]]] = {}

    def draw(self, view: View) -> list[Text]:
        """Give the rule, the head and the rows that are in sight."""
        width = view.layout.width
        columns = placed_columns(view.layout.columns, width)
        more_below = bool(view.layout.box) and len(view.order) > view.layout.table
        rows = view.layout.table - (1 if more_below else 0)
        cursor = view.order.index(view.selected) if view.selected in view.order else 0
        self.keep_in_sight(cursor, len(view.order), rows)
        shown = view.order[self._top : self._top + rows]
        if view.slow or any(name not in self._trends for name in shown):
            self._trends = self._draw_trends(view, columns, shown)
        lines = [_title(view), _head(view, columns)]
        bar = scroll_bar(len(view.order), rows, self._top, view)
        for y, name in enumerate(shown):
            lines.append(self._row(view, columns, name, "" if more_below else bar[y]))
        if not view.order and view.state.organizations:
            lines.append(
                Row(width, view.look.glyphs)
                .at(columns[0].start, (f"none passes the filter: {view.key('back')} clears it", "quiet"))
                .text()
            )
        hidden = len(view.order) - self._top - len(shown)
        if more_below and hidden:
            words = (f"{hidden} more below", "quiet")
            lines.append(Row(width, view.look.glyphs).at(columns[0].start, words).text())
        return lines

    def _draw_trends(self, view: View, columns: list[Placed], names: Sequence[str]) -> dict[str, str]:
        """Draw the trends in sight, on the one scale of all."""
        width = next((placed.width for placed in columns if placed.column.head == "trend"), 0)
        organizations = view.state.organizations
        if not width:
            return dict.fromkeys(names, "")
        span = max(rounds_so_far(view.state), 1e-6)
        points = {name: organization_points(organizations[name], view.state) for name in names}
        if len(organizations) <= DRAWN_SCALE:
            others = (organization_points(org, view.state) for name, org in organizations.items() if name not in points)
            low, high = scale([*points.values(), *others], width, span)
        else:
            low, high = self._extremes(view)
        return {name: trend(series, width, span, low, high, view.look.glyphs) for name, series in points.items()}

    def _extremes(self, view: View) -> tuple[float, float]:
        """Give the lowest and the highest loss of all; what is behind is looked at once a round."""
        losses: list[float] = []
        for name, org in view.state.organizations.items():
            known = self._known_extremes.get(name)
            if known is None or known[0] is not org.history:
                curve = [loss for row in org.history for loss in row.curve]
                known = org.history, (min(curve), max(curve)) if curve else ()
                self._known_extremes[name] = known
            losses += known[1]
            losses += [total / count for total, count in org.round_curve if count]
        return (min(losses), max(losses)) if losses else (0.0, 1.0)

    def _row(self, view: View, columns: list[Placed], name: str, bar: str) -> Text:
        organization = view.state.organizations[name]
        selected = name == view.selected
        row = Row(view.layout.width, view.look.glyphs)
        if selected:
            row.at(columns[0].start - 2, (view.look.glyphs.cursor, "yours_bold"))
        if name in view.arrangement.marked:
            row.at(columns[0].start - (1 if selected else 2), (view.look.glyphs.marked, "yours_bold"))
        for placed in columns:
            words, style = placed.cell(organization, view)
            if placed.column.head == "trend":
                words = self._trends.get(name, "")
            elif selected and placed.column.head == "organization":
                style = "yours_bold"
            row.at(placed.start, (words, style))
        row.at(view.layout.width - 1, (bar, "quiet"))
        text = row.text()
        if selected and not view.look.roles["held"]:
            text.stylize("reverse")
        elif not selected and organization.state in ("absent", "stopped"):
            text.stylize("quiet", 0, columns[0].start + columns[0].width)
        return text


def scroll_bar(total: int, rows: int, top: int, view: View) -> list[str]:
    """Give one sign a row: where one is, where there is more; blank when all rows are in sight."""
    if total <= rows or rows < 1:
        return [""] * max(0, rows)
    length = max(1, rows * rows // total)
    start = round(top * (rows - length) / (total - rows))
    glyphs = view.look.glyphs
    return [glyphs.scroll_here if start <= y < start + length else glyphs.scroll_rest for y in range(rows)]


def _title(view: View) -> Text:
    organizations = view.state.organizations.values()
    counts = Counter(org.state for org in organizations)
    present = sum(count for state, count in counts.items() if state != "joining")
    dot = f" {view.look.glyphs.none} "
    counted = dot.join([str(present), *(f"{counts[state]} {state}" for state in STATES if counts[state])])
    spread = _spread(view) if view.layout.columns == "wide" else ""
    usual = view.arrangement.usual(view.state)
    style, words = "quiet" if usual else "yours", view.arrangement.words(view.state)
    ordered: Words = ({"wide": 6, "normal": 8, "compact": 3}[view.layout.columns] * " " + words, style)
    beside = [*_kept_out(view), *_asked(view)]
    # What is told elsewhere, too, gives way first.
    choices: list[list[Words]] = [[counted, ordered], [(words, style)], [counted], [(words.split(",")[0], style)]]
    if spread:
        choices.insert(0, [counted, f"      {spread}", ordered])
    if view.layout.columns == "compact" and usual:
        choices = [[counted]]
    free = view.layout.width - width_of(TITLE, *beside) - 8
    right = next((choice for choice in choices if width_of(*choice) <= free), [])
    focused = view.focused == "table"
    return rule(view.layout.width, view.look.glyphs, TITLE, *right, focused=focused, beside=beside)


def _kept_out(view: View) -> list[Words]:
    """Say how often nodes were refused, where any was."""
    count = view.state.refused
    return [(f"   {view.look.glyphs.refused} nodes refused: {count:,}", "broken")] if count else []


def _asked(view: View) -> list[Words]:
    """Say how many are marked, how many of how many are shown, and the filter."""
    arrangement, organizations = view.arrangement, view.state.organizations
    marked = sum(name in organizations for name in arrangement.marked)
    asked: list[Words] = [(f"   {view.look.glyphs.marked} {marked} marked", "yours")] if marked else []
    if not arrangement.filter.empty:
        asked.append((f"   {len(view.order)} of {len(organizations)} / {arrangement.typed.strip()}", "yours"))
    return asked


def _spread(view: View) -> str:
    losses = [org.holdout for org in view.state.organizations.values() if org.holdout is not None]
    if not losses:
        return ""
    least, middle, most = (numbers.loss(x, view.look.glyphs) for x in (min(losses), median(losses), max(losses)))
    return f"hold-out least {least}   median {middle}   most {most}"


def _head(view: View, columns: list[Placed]) -> Text:
    row = Row(view.layout.width, view.look.glyphs)
    for placed in columns:
        row.at(placed.start, (placed.head(view.look.glyphs, view.state.deployed), "quiet"))
    return row.text()
