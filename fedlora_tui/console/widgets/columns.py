"""The columns of the table of organizations: which there are at a width, where they stand, what a cell says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cut_end, cut_middle, right
from fedlora_tui.console.since import since_of
from fedlora_tui.console.view import View
from fedlora_tui.console.wording import short_reason
from fedlora_tui.protocol.organization import OrganizationState

Words = tuple[str, str]

STATE_STYLES = {
    "training": "train",
    "testing": "train",
    "done": "held",
    "joining": "yours",
    "leaving": "yours",
    "late": "care",
    "fault": "broken_bold",
    "quarantine": "broken_bold",
    "waiting": "quiet",
    "absent": "quiet",
    "stopped": "quiet",
}
LAST_TO_LEAVE = (
    *(
        "note",
        "k tok",
        "weight %",
        "skew",
        "faults",
        "cos",
        "rank",
        "↑↓ MiB",
        "↓ MiB",
        "↑ MiB",
        "trend",
        "step",
        "gain",
    ),
)
"""The columns in the order in which they fall away when it is narrow."""


@dataclass(frozen=True)
class Column:
    """A column: its head, its width by size (0 where it has no place), and what a cell says.

    A column without `cell` keeps its place blank. Numbers stand right.
    """

    head: str
    compact: int
    normal: int
    wide: int
    cell: Callable[[OrganizationState, View], Words] | None = None
    numeric: bool = True

    def width(self, size: str) -> int:
        """Give its width at a size."""
        return {"compact": self.compact, "normal": self.normal, "wide": self.wide}[size]


@dataclass(frozen=True)
class Placed:
    """A column where it stands."""

    column: Column
    start: int
    width: int

    def head(self, glyphs: Glyphs, deployed: bool = False) -> str:
        """Give the head as it stands over the cells; where no step is told, that column says since when."""
        words = self.column.head if self.column.cell is not None else ""
        words = "since" if deployed and words == "step" else words
        if glyphs.ascii:
            words = words.replace("↑↓ ", "").replace("↑", "up").replace("↓", "dn")
        return right(words, self.width, glyphs) if self.column.numeric else cut_end(words, self.width, glyphs)

    def cell(self, organization: OrganizationState, view: View) -> Words:
        """Give what the cell says of an organization, fitted to its width."""
        if self.column.cell is None:
            return "", ""
        glyphs = view.look.glyphs
        words, style = self.column.cell(organization, view)
        if words == glyphs.dash:
            style = "quiet"
        if self.column.head == "organization":
            return cut_middle(words, self.width, glyphs), style
        if self.column.head == "step" and len(words) > self.width:
            words = numbers.whole(organization.step, glyphs)
        return (right(words, self.width, glyphs) if self.column.numeric else cut_end(words, self.width, glyphs)), style


def _state(org: OrganizationState, view: View) -> Words:
    sign = view.look.glyphs.organization_state(org.state)
    return f"{sign} {org.state}", STATE_STYLES.get(org.state, "ink")


def _step(org: OrganizationState, view: View) -> Words:
    """Give how far it is; of one on a machine of its own, whose steps nobody here sees, since when it is at it."""
    if since := since_of(org):
        return since[: len("15:04")], "quiet"
    return (
        numbers.of(org.step, org.steps, view.look.glyphs)
        if org.steps and not view.state.deployed
        else view.look.glyphs.dash
    ), ""


def _loss(org: OrganizationState, view: View) -> Words:
    return numbers.loss(org.loss, view.look.glyphs), "train"


def _holdout(org: OrganizationState, view: View) -> Words:
    return numbers.loss(org.holdout, view.look.glyphs), "held"


def _gain(org: OrganizationState, view: View) -> Words:
    measured = any(row.round > 0 and row.holdout is not None for row in reversed(org.history))
    gain = org.gain if measured else None
    return numbers.signed(gain, view.look.glyphs), "care" if gain is not None and gain < 0 else "held"


def _cosine(org: OrganizationState, view: View) -> Words:
    return numbers.hundredths(org.cosine, view.look.glyphs), ""


def _rank(org: OrganizationState, view: View) -> Words:
    return numbers.whole(org.rank or view.state.ranks.of(org.name), view.look.glyphs), ""


def _sum(org: OrganizationState, view: View) -> Words:
    return numbers.mebibytes(org.bytes_up + org.bytes_down, view.look.glyphs), ""


def _up(org: OrganizationState, view: View) -> Words:
    return numbers.mebibytes(org.bytes_up, view.look.glyphs), ""


def _down(org: OrganizationState, view: View) -> Words:
    return numbers.mebibytes(org.bytes_down, view.look.glyphs), ""


def _weight(org: OrganizationState, view: View) -> Words:
    return numbers.fixed(None if org.weight is None else 100 * org.weight, 1, view.look.glyphs), ""


def _tokens(org: OrganizationState, view: View) -> Words:
    return (numbers.count(org.tokens / 1000) if org.tokens else view.look.glyphs.dash), ""


def _skew(org: OrganizationState, view: View) -> Words:
    return numbers.hundredths(org.skew, view.look.glyphs), ""


def _faults(org: OrganizationState, view: View) -> Words:
    return numbers.faults(org.faults, view.look.glyphs), "care" if org.faults else "quiet"


COLUMNS = (
    Column("organization", 15, 18, 20, lambda org, view: (org.name, ""), numeric=False),
    Column("state", 12, 12, 12, _state, numeric=False),
    Column("step", 5, 6, 6, _step),
    Column("loss", 5, 6, 6, _loss),
    Column("trend", 11, 17, 24, lambda org, view: ("", "train"), numeric=False),
    Column("hold-out", 8, 8, 8, _holdout),
    Column("gain", 6, 6, 6, _gain),
    Column("cos", 0, 5, 5, _cosine),
    Column("rank", 0, 4, 4, _rank),
    Column("↑↓ MiB", 6, 6, 0, _sum),
    Column("↑ MiB", 0, 0, 6, _up),
    Column("↓ MiB", 0, 0, 6, _down),
    Column("weight %", 0, 0, 8, _weight),
    Column("k tok", 0, 0, 6, _tokens),
    Column("skew", 0, 0, 5, _skew),
    Column("faults", 0, 6, 6, _faults),
    Column("note", 0, 0, 10, lambda org, view: (short_reason(org.note), "quiet"), numeric=False),
)


def placed_columns(size: str, width: int) -> list[Placed]:
    """Place the columns of a size in a width: some fall away when they do not fit, at last the name is cut."""
    lead, gap = (2, 1) if size == "compact" else (3, 2)
    columns = [column for column in COLUMNS if column.width(size)]
    free = width - lead - 2
    for head in LAST_TO_LEAVE:
        if _sum_of_widths(columns, size, gap) <= free:
            break
        columns = [column for column in columns if column.head != head]
    over = max(0, _sum_of_widths(columns, size, gap) - free)
    placed, start = [], lead
    for column in columns:
        taken = column.width(size) - (over if column.head == "organization" else 0)
        if column.head == "note":
            taken = width - 1 - start
        placed.append(Placed(column, start, taken))
        start += taken + gap
    return placed


def _sum_of_widths(columns: list[Column], size: str, gap: int) -> int:
    return sum(column.width(size) for column in columns) + gap * (len(columns) - 1)


def rows_as_text(names: Sequence[str], view: View) -> str:
    """Write organizations' rows with all that a wide table says of them: a line each below the heads, between tabs."""
    wide = [column for column in COLUMNS if column.wide and column.cell is not None and column.head != "trend"]
    lines = [[column.head for column in wide]]
    for name in names:
        organization = view.state.organizations[name]
        lines.append([column.cell(organization, view)[0] for column in wide if column.cell is not None])
    return "\n".join("\t".join(words) for words in lines) if names else ""
