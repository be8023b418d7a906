"""What may be told of one organization's text, in counts, and the ledger of all that ever left it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.bars import share_bar
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cut_end
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.answers import wrapped
from fedlora_tui.console.widgets.own_figures import shown
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.protocol.organization import OrganizationState

VALUES, SECOND = 13, 22
"""The columns of values, and of what stands behind them."""

BAR = 12
SMALL = 0.01
"""Shares below it are written with hundredths of a percent."""

NUMBER_BYTES = 8
"""What a number in a reply weighs."""


class Pane(Part):
    """A pane of labels and values; where it stands on the right it has no margin."""

    SLOW = True
    TITLE = ""
    MEANING = ""

    def draw(self, view: View) -> list[Text]:
        """Give the rule and as many lines as there is room for."""
        width, height = view.layout.boxes.get(self.id or "", (0, 0))
        if not height:
            return []
        glyphs = view.look.glyphs
        meaning: tuple[Words, ...] = ((self.MEANING, "quiet"),) if self.MEANING else ()
        title = rule(width, glyphs, self.TITLE, *meaning, focused=view.focused == self.id)
        margin = 2 if width == view.layout.width else 0
        rows = []
        for words in self.lines(view, width - margin)[: height - 1]:
            row = Row(width, glyphs)
            for column, parts in words:
                row.at(column + margin, *parts)
            rows.append(row.text())
        return [title, *rows, *[Row(width, glyphs).text()] * (height - 1 - len(rows))]

    def lines(self, view: View, width: int) -> list[list[tuple[int, list[Words]]]]:
        """Give the lines: parts by the column in which they begin."""
        raise NotImplementedError


Line = list[tuple[int, list[Words]]]


class ItsData(Pane):
    """Its data's statistics; its text has no way here."""

    TITLE = "2 its data, never its text"

    def lines(self, view: View, width: int) -> list[Line]:
        """Give counts, shares and distances."""
        org, glyphs = shown(view), view.look.glyphs
        counts, read = org.counts, org.documents > 0
        dash = glyphs.dash
        words: list[tuple[str, str, str]] = [
            ("documents", numbers.count(org.documents, glyphs) if read else dash, _dropped(org, view)),
            ("tokens", _short(org.tokens, read, view), f"longest {_count(counts.longest if counts else None, view)}"),
            ("hold-out", _short(org.holdout_tokens, read, view), _holdout_share(org, view)),
        ]
        lines = [_line(label, value, (behind, "")) for label, value, behind in words]
        filled = numbers.percent(counts.filled, glyphs) if counts is not None else dash
        length = _max_length(view)
        lines.append(_line("rows", f"{filled} full, {length} tokens" if length else f"{filled} full"))
        weight = f"{numbers.fixed(100 * org.weight, 1, glyphs)}%" if org.weight is not None else dash
        lines.append(_bar("weight", weight, org.weight, "", view))
        if not view.state.deployed:
            lines.append(_bar("skew", numbers.hundredths(org.skew, glyphs), org.skew, "from all", view))
            lines.append([])
        known = view.state.started.vocabulary if view.state.started is not None else 0
        of = f" of {numbers.count_short(known, glyphs)} tokens seen" if known else " tokens seen"
        kinds = numbers.count_short(counts.kinds, glyphs) if counts is not None else dash
        lines.append(_line("vocabulary", f"{kinds}{of}"))
        epochs = org.ledger.trained / org.tokens if org.tokens else None
        # Of much data little is seen for long: that must not read as none.
        passes = numbers.fixed(epochs, 2 if epochs is not None and epochs < 1 else 1, glyphs)
        lines.append(_line("epochs", f"{passes} through its data so far"))
        # How far the others' text is from its own nobody here can tell; what its node allows it has told.
        room = view.layout.boxes.get(self.id or "", (0, 0))[1] - 1 - len(lines)
        return [*lines, *_allows(org, width - VALUES, room, glyphs)] if view.state.deployed else lines


def _allows(org: OrganizationState, width: int, room: int, glyphs: Glyphs) -> list[Line]:
    """Write what its node allows in as many lines as there is room for, the last one cut where that is not enough."""
    said = list(wrapped(org.policy or "everything", width))
    if len(said) > room > 0:
        said = [*said[: room - 1], cut_end(" ".join(said[room - 1 :]), width, glyphs)]
    return [_line("" if place else "allows", words) for place, words in enumerate(said)]


def _line(label: str, value: str, behind: Words = "") -> Line:
    line: Line = [(0, [(label, "quiet")]), (VALUES, [value])]
    return [*line, (SECOND, [behind])] if behind else line


def _bar(label: str, value: str, share: float | None, meaning: str, view: View) -> Line:
    done, rest = share_bar(share, BAR, view.look.glyphs)
    bar: list[Words] = [done, (rest, "quiet")] if share is not None else []
    return [
        (0, [(label, "quiet")]),
        (VALUES, [value]),
        (VALUES + 6, [*bar, (f" {meaning}" if meaning else "", "quiet")]),
    ]


def _dropped(org: OrganizationState, view: View) -> str:
    if org.counts is None:
        return f"dropped {view.look.glyphs.dash}"
    total = sum(org.counts.dropped.values())
    reasons = ", ".join(sorted(org.counts.dropped, key=lambda reason: -org.counts.dropped[reason]))  # type: ignore[union-attr]
    return f"dropped {numbers.count(total, view.look.glyphs)}" + (f" ({reasons})" if reasons else "")


def _short(count: int, read: bool, view: View) -> str:
    return numbers.count_short(count, view.look.glyphs) if read else view.look.glyphs.dash


def _count(count: int | None, view: View) -> str:
    return numbers.count(count or None, view.look.glyphs)


def _holdout_share(org: OrganizationState, view: View) -> str:
    whole = org.tokens + org.holdout_tokens
    share = org.holdout_tokens / whole if whole else 0.0
    written = numbers.percent if share >= SMALL else numbers.percent_fine
    return written(share, view.look.glyphs) if whole else ""


def _max_length(view: View) -> int:
    """Give the tokens of a full row, as the run's configuration says; 0 where it does not."""
    config: Mapping[str, Any] = view.state.started.config if view.state.started is not None else {}
    section = config.get("model")
    length = section.get("max_length") if isinstance(section, Mapping) else None
    return length if isinstance(length, int) else 0


class WhatLeft(Pane):
    """The ledger: adapters, numbers, and the text, which is none."""

    TITLE = "4 what left it"
    MEANING = "ledger"

    def lines(self, view: View, width: int) -> list[Line]:
        """Give what left it, with what that weighed, and what came to it."""
        org, glyphs = shown(view), view.look.glyphs
        ledger, times = org.ledger, glyphs.times
        tensors = numbers.whole(ledger.tensors or None, glyphs)
        adapters = f"{ledger.replies} {times} {tensors} tensors" if ledger.replies else "none yet"
        known = ledger.numbers or not ledger.replies
        told = numbers.count(ledger.numbers, glyphs) if known else glyphs.dash
        weighed = ledger.numbers * NUMBER_BYTES if known else None
        refused = f"{org.refused} {'reply' if org.refused == 1 else 'replies'}"
        end = min(width, 39)
        return [
            _weighed("adapters", adapters, numbers.bytes_text(org.bytes_up, glyphs), end),
            _weighed("numbers", told, numbers.bytes_text(weighed, glyphs), end),
            _weighed("text", "0", "0 B", end),
            _weighed("refused", refused, numbers.bytes_text(ledger.lost, glyphs) if ledger.lost else "", end),
            _factors(ledger.left, view),
            _weighed("came to it: adapters", f"{ledger.came} {times}", numbers.bytes_text(org.bytes_down, glyphs), end),
        ]


def _factors(left: Mapping[str, int], view: View) -> Line:
    """Give the bytes of either factor that left it, and of what is on no list; nothing where none was told."""
    parts = [
        f"{kind} {numbers.bytes_text(left[kind], view.look.glyphs)}" for kind in ("A", "B", "other") if left.get(kind)
    ]
    return [(0, [("of it: ", "quiet"), "  ".join(parts)])] if parts else []


def _weighed(label: str, value: str, weight: str, end: int) -> Line:
    line: Line = [(0, [(label, "quiet")]), (max(VALUES - 2, len(label) + 1), [value])]
    return [*line, (end - len(weight), [weight])] if weight else line
