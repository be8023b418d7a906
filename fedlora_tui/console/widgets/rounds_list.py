"""All rounds of a run, newest first, with a cursor: what a round came to, who was out of it, what was turned in it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from fedlora_tui.console.curves import knobs_turned
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.columns import STATE_STYLES
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.rounds import ENDS, cells, under_way
from fedlora_tui.console.widgets.row_table import RowTable
from fedlora_tui.console.widgets.table import scroll_bar
from fedlora_tui.console.wording import knob_words
from fedlora_tui.protocol.state import RoundSummary, RunState

FAULTS, BEST = 73, 75
"""The columns before which faults end, and in which the best round is told."""

WORDS = {"normal": 81, "wide": 109}
"""The column in which a round's words begin; a compact terminal has them below the table alone."""

MORE = {"gain": 87, "k tok": 94, "saved": 104}
"""Further columns of numbers on a wide terminal."""

OUT = ("fault", "late")


@dataclass(frozen=True)
class Missing:
    """An organization whose reply is not in a round, and how that came."""

    name: str
    how: str


def all_rounds(view: View) -> list[RoundSummary]:
    """Give the rounds, newest first, the one under way before them and the base alone at the end."""
    return [*under_way(view), *view.state.history[::-1]]


Missed = Mapping[int, Sequence[Missing]]
"""Who is not in a round, by its number."""


def missing_from(state: RunState, first: int, last: int) -> Missed:
    """Name who was to be in the rounds `first` to `last` and is not: a reply refused, or late, or in quarantine."""
    found: defaultdict[int, list[Missing]] = defaultdict(list)
    for name, org in state.organizations.items():
        begin = bisect_left(org.history, first, key=lambda row: row.round)
        for row in org.history[begin : bisect_right(org.history, last, key=lambda row: row.round)]:
            if row.ended in OUT:
                found[row.round].append(Missing(name, row.ended))
        for since, until in org.held_out:
            for round in range(max(first, since), min(last, last if until is None else until) + 1):
                found[round].append(Missing(name, "quarantine"))
        told = state.round_finished or (bool(org.history) and org.history[-1].round == state.round)
        if org.state in ("fault", "late") and not told and first <= state.round <= last:
            found[state.round].append(Missing(name, org.state))
    return found


class RoundsList(RowTable):
    """The table of rounds; the cursor stays on its round while new ones come."""

    SLOW = True

    class Pointed(RowTable.Pointed):
        """The pointer asks for a round."""

    chosen: int | None = None
    """The round under the cursor, None for the newest, whichever that is."""

    def cursor(self, rounds: list[RoundSummary]) -> int:
        """Give the row of the cursor."""
        return next((place for place, row in enumerate(rounds) if row.round == self.chosen), 0)

    def choose(self, place: int, rounds: list[RoundSummary]) -> None:
        """Put the cursor on a row, the nearest one where there is no such row."""
        if rounds:
            place = max(0, min(len(rounds) - 1, place))
            self.chosen = rounds[place].round if place else None

    def draw(self, view: View) -> list[Text]:
        """Give the rule, the head and the rounds in sight."""
        layout, glyphs = view.layout, view.look.glyphs
        rounds = all_rounds(view)
        cursor = self.cursor(rounds)
        self.keep_in_sight(cursor, len(rounds), layout.table)
        shown = range(self._top, min(len(rounds), self._top + layout.table))
        bar = scroll_bar(len(rounds), layout.table, self._top, view)
        numbered = [rounds[place].round for place in shown]
        missed = missing_from(view.state, min(numbered), max(numbered)) if numbered else {}
        lines = [_row(rounds[place], view, missed, place == cursor, bar[place - self._top]) for place in shown]
        blank = [Row(layout.width, glyphs).text()] * (layout.table - len(lines))
        return [_title(view), _head(view), *lines, *blank]


def _title(view: View) -> Text:
    state, glyphs = view.state, view.look.glyphs
    parts: list[Words] = [f"{max((row.round for row in state.history), default=0)} of {state.rounds} finished"]
    if state.best is not None:
        best = f"best round {state.best.round}, hold-out {numbers.loss(state.best.eval_loss, glyphs)}"
        parts.append((f"   {best}", "held"))
    if view.layout.columns != "compact":
        parts.append(("   newest first", "quiet"))
    return rule(view.layout.width, glyphs, "rounds", *parts, focused=True)


def _head(view: View) -> Text:
    glyphs, size = view.look.glyphs, view.layout.columns
    row = Row(view.layout.width, glyphs)
    for name, end in ENDS.items():
        row.to(end, (name.replace("↑↓ ", "") if glyphs.ascii else name, "quiet"))
    row.to(FAULTS, ("faults", "quiet"))
    if size == "wide":
        for name, end in MORE.items():
            row.to(end, (name, "quiet"))
    if size in WORDS:
        row.at(WORDS[size], ("what was turned, and who was out", "quiet"))
    return row.text()


def _row(found: RoundSummary, view: View, missed: Missed, chosen: bool, bar: str) -> Text:
    state, glyphs, size = view.state, view.look.glyphs, view.layout.columns
    row = Row(view.layout.width, glyphs)
    row.at(0, (glyphs.cursor if chosen else " ", "yours_bold"))
    best = state.best is not None and found.round == state.best.round
    for name, (words, style) in cells(found, view).items():
        style = "quiet" if words == glyphs.dash else f"{style}_bold" if best and name == "hold-out" else style
        row.to(ENDS[name], (words, "yours_bold" if chosen and name == "round" else style))
    missing = missed.get(found.round, ())
    faults = [one for one in missing if one.how != "quarantine"]
    row.to(FAULTS, (numbers.faults(len(faults), glyphs), "care" if faults else "quiet"))
    row.at(BEST, ("best" if best else "", "held_bold"))
    if size == "wide":
        for name, words in _more(found, view).items():
            row.to(MORE[name], (words, "quiet" if words == glyphs.dash else ""))
    if size in WORDS:
        row.at(WORDS[size], *_what(found, missing, view), until=view.layout.width - 2)
    text = row.at(view.layout.width - 1, (bar, "quiet")).text()
    if chosen and not view.look.roles["held"]:
        text.stylize("reverse")
    return text


def _more(found: RoundSummary, view: View) -> dict[str, str]:
    glyphs, base = view.look.glyphs, view.state.base_loss
    gain = None if found.eval_loss is None or base is None or not found.round else base - found.eval_loss
    return {
        "gain": numbers.signed(gain, glyphs),
        "k tok": numbers.count(found.tokens / 1000 if found.tokens else None, glyphs),
        "saved": numbers.bytes_text(found.saved, glyphs),
    }


def _what(found: RoundSummary, missing: Sequence[Missing], view: View) -> list[Words]:
    """Say what was turned with a round, and who was out of it."""
    if not found.round:
        return [("the base alone", "quiet")]
    knobs, names = _knobs(found.round, view), _missing(missing, view)
    return [*knobs, *(["   "] if knobs and names else []), *names]


def _knobs(round: int, view: View) -> list[Words]:
    parts: list[Words] = []
    for mark in knobs_turned(view.state):
        if mark.round == round:
            gap = "   " if parts else ""
            parts += [(f"{gap}{view.look.glyphs.knob}", "yours"), f" {knob_words(mark, view.look.glyphs)}"]
    return parts


def _missing(missing: Sequence[Missing], view: View) -> list[Words]:
    parts: list[Words] = []
    for one in missing:
        sign = view.look.glyphs.organization_state(one.how)
        parts += ["   " if parts else "", (sign, STATE_STYLES.get(one.how, "ink")), f" {one.name}"]
    return parts


class RoundDetails(Part):
    """The lines below the table: all that is told of the chosen round."""

    SLOW = True

    chosen: RoundSummary | None = None

    def draw(self, view: View) -> list[Text]:
        """Give a rule and three lines."""
        if not view.layout.at_round:
            return []
        glyphs, found = view.look.glyphs, self.chosen
        if found is None:
            return [rule(view.layout.width, glyphs, "no round yet")]
        missed = missing_from(view.state, found.round, found.round)
        lines: list[tuple[str, list[Words]]] = [
            ("out", _missing(missed.get(found.round, ()), view) or [_nobody(found, view)]),
            ("turned", _knobs(found.round, view) or [(glyphs.dash, "quiet")]),
            ("saved", [_saved(found, view)]),
        ]
        rows = [Row(view.layout.width, glyphs).at(2, (name, "quiet")).at(11, *words).text() for name, words in lines]
        title = f"round {found.round}" if found.round else "round 0, the base alone"
        return [rule(view.layout.width, glyphs, title, *_ended_words(found, view)), *rows]


def _nobody(found: RoundSummary, view: View) -> Words:
    if not found.orgs:
        return ""
    if _goes_on(found, view):
        return f"nobody so far: {found.orgs} take part"
    return f"nobody: {found.orgs} {'replied' if found.round else 'measured'}"


def _goes_on(found: RoundSummary, view: View) -> bool:
    return found.round == view.state.round and not view.state.round_finished


def _ended_words(found: RoundSummary, view: View) -> list[Words]:
    return [("under way" if _goes_on(found, view) else f"ended {numbers.clock(found.t, view.look.glyphs)}", "quiet")]


def _saved(found: RoundSummary, view: View) -> Words:
    """Say whether its checkpoint was written, and what it trained on in what time."""
    glyphs = view.look.glyphs
    parts = [numbers.bytes_text(found.saved, glyphs) if found.saved is not None else glyphs.dash]
    if found.tokens and found.seconds:
        speed = numbers.rate(found.tokens / found.seconds, glyphs)
        parts.append(f"{numbers.count_short(found.tokens, glyphs)} tokens in {numbers.duration(found.seconds, glyphs)}")
        parts.append(f"{speed} tok/s")
    base = view.state.base_loss
    if found.round and found.eval_loss is not None and base is not None:
        parts.append(f"gain {numbers.signed(base - found.eval_loss, glyphs)}")
    return "   ".join(parts)
