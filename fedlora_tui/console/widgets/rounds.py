"""The pane of rounds on a wide terminal: one line a round, newest first, and below them what they come to."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from fedlora_tui.console.curves import knobs_turned
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.trend import trend
from fedlora_tui.console.layout import CHART_WIDE
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.wording import finished_rounds, turned_words
from fedlora_tui.protocol.state import RoundSummary, RunState

ENDS = {
    "round": 7,
    "train": 15,
    "hold-out": 25,
    "change": 33,
    "drift": 40,
    "cos": 46,
    "↑↓ MiB": 54,
    "sec": 60,
    "orgs": 66,
}
"""The column before which each column of numbers ends."""

TREND_WIDTH = 12
BELOW_WIDE = 2
"""Lines that stay free below the summary of a high chart."""


class Rounds(Part):
    """The pane of rounds."""

    SLOW = True
    can_focus = True

    def draw(self, view: View) -> list[Text]:
        """Give the rule, the head, the rounds and the summary."""
        width, glyphs = view.layout.rounds_width, view.look.glyphs
        if not width:
            return []
        title = rule(width, glyphs, "5 rounds", ("newest first", "quiet"), focused=view.focused == "rounds")
        head = Row(width, glyphs)
        for name, end in ENDS.items():
            head.to(end, (name.replace("↑↓ ", "") if glyphs.ascii else name, "quiet"))
        below = _summary(view)
        rows = [*under_way(view), *view.state.history[::-1]]
        lines = [_line(row, view) for row in rows[: view.layout.chart - 1 - len(below)]]
        blank = [Text("")] * (view.layout.chart - 1 - len(lines) - len(below))
        return [title, head.text(), *lines, *blank, *below]


def under_way(view: View) -> list[RoundSummary]:
    """Give what is known of the round that goes on: its train loss so far, how long it lasts, who takes part."""
    state = view.state
    if state.round_finished or state.round_since is None or not (state.round_curve or state.deployed):
        return []
    loss = state.train_loss if state.round_curve else None
    taking_part = sum(own.state not in ("absent", "joining", "quarantine") for own in state.organizations.values())
    stands = state.phase_since if state.phase == "paused" else state.t if state.over else None
    seconds = max(0.0, (view.now if stands is None else stands) - state.round_since)
    return [RoundSummary(state.round, loss, None, seconds=seconds, orgs=taking_part, t=view.now)]


def cells(summary: RoundSummary, view: View) -> dict[str, tuple[str, str]]:
    """Give what is told of a round in numbers, each with its style, by the heads of the columns."""
    glyphs, going = view.look.glyphs, summary.round > max((row.round for row in view.state.history), default=-1)
    before = next((row.eval_loss for row in view.state.history if row.round == summary.round - 1), None)
    change = None if before is None or summary.eval_loss is None else summary.eval_loss - before
    return {
        "round": (numbers.whole(summary.round, glyphs), ""),
        "train": (numbers.loss(summary.train_loss, glyphs), "train"),
        "hold-out": (numbers.loss(summary.eval_loss, glyphs), "held"),
        "change": (numbers.signed(change, glyphs), "care" if change is not None and change > 0 else "held"),
        "drift": (numbers.drift(summary.drift, glyphs), ""),
        "cos": (numbers.hundredths(summary.cosine, glyphs), ""),
        "↑↓ MiB": (numbers.mebibytes(None if going else summary.bytes_up + summary.bytes_down, glyphs), ""),
        "sec": (numbers.seconds(summary.seconds, glyphs), ""),
        "orgs": (numbers.whole(summary.orgs, glyphs), ""),
    }


def _line(summary: RoundSummary, view: View) -> Text:
    row = Row(view.layout.rounds_width, view.look.glyphs)
    for name, (words, style) in cells(summary, view).items():
        row.to(ENDS[name], (words, style))
    return row.text()


def _summary(view: View) -> list[Text]:
    """Say how drift and cosines went, which round is the best, what was changed, which checkpoint is the last."""
    best, saved = _best_and_saved(view)
    if view.layout.chart < CHART_WIDE:
        return [Text(""), best, saved]
    rounds = finished_rounds(view.state)
    drift = _trend(view, "drift", [row.drift for row in rounds], 3, "of the ideal update lost")
    cosine = _trend(view, "cos", [row.cosine for row in rounds], 2, "organizations pull together")
    return [Text(""), drift, cosine, Text(""), best, _knobs(view), saved, *[Text("")] * BELOW_WIDE]


def _trend(view: View, name: str, values: list[float | None], decimals: int, meaning: str) -> Text:
    """Draw how a number of the rounds went, and say what it began and stands at; a dash where it was never known."""
    glyphs = view.look.glyphs
    row = Row(view.layout.rounds_width, glyphs).at(2, (name, "quiet"))
    known = [value for value in values if value is not None]
    if not known:
        return row.at(9, (glyphs.dash, "quiet")).text()
    low, high = min(known), max(known)
    # A point for every cell, so that a round fills its own share of the width.
    parts = -(-TREND_WIDTH // len(values))
    points = [
        (number + (part + 1) / parts, value)
        for number, value in enumerate(values)
        if value is not None
        for part in range(parts)
    ]
    row.at(9, trend(points, TREND_WIDTH, len(values), low, high, glyphs))
    first, last = (numbers.fixed(value, decimals, glyphs) for value in (known[0], known[-1]))
    return row.at(11 + TREND_WIDTH, f"{first} {glyphs.right} {last} ", (meaning, "quiet")).text()


def _knobs(view: View) -> Text:
    """Name the settings that changed, the newest first, as many as fit whole."""
    glyphs, width = view.look.glyphs, view.layout.rounds_width
    row = Row(width, glyphs).at(2, ("knobs", "quiet"))
    marks = knobs_turned(view.state)[::-1]
    if not marks:
        return row.at(9, (glyphs.dash, "quiet")).text()
    for place, mark in enumerate(marks):
        column, words = 9 if not place else row.end + 3, turned_words(mark, glyphs)
        if place and column + 2 + cell_len(words) > width:
            break
        row.at(column, (glyphs.knob, "yours"), f" {words}")
    return row.text()


def _best_and_saved(view: View) -> list[Text]:
    state, glyphs = view.state, view.look.glyphs
    best = saved = glyphs.dash
    if state.best is not None:
        best = f"round {state.best.round}, hold-out {numbers.loss(state.best.eval_loss, glyphs)}"
        best += "   (e exports best or latest)" if view.replay is None else ""
    if state.checkpoint is not None:
        saved = ", ".join(_checkpoint_words(state, view))
    rows = (("best", best), ("saved", saved))
    return [Row(view.layout.rounds_width, glyphs).at(2, (name, "quiet")).at(9, words).text() for name, words in rows]


def _checkpoint_words(state: RunState, view: View) -> list[str]:
    glyphs, checkpoint = view.look.glyphs, state.checkpoint
    if checkpoint is None:
        return []
    size, took = numbers.bytes_text(checkpoint.bytes, glyphs), numbers.milliseconds(checkpoint.seconds, glyphs)
    return [f"round {checkpoint.round}", numbers.clock(state.checkpoint_t, glyphs), size, took]
