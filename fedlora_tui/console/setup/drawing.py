"""The setup screen drawn: the fields, what is to be said of one, the estimate, the lines that would be written."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cells
from fedlora_tui.console.layout import LAST_ROWS, LEAST_HEIGHT, LEAST_WIDTH, NORMAL_WIDTH
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule, width_of
from fedlora_tui.console.setup.fields import OWN, Fields
from fedlora_tui.console.setup.figures import LABEL_COLUMN, draw_figures
from fedlora_tui.console.setup.offer import (
    BASE,
    DATA,
    DEVICE,
    FIELDS,
    METHOD,
    NOISE,
    ORGANIZATIONS,
    PATH,
    PROTECTION,
    PROTECTIONS,
    RANK,
    ROUNDS,
    SECURE_SUM,
    SOURCES,
    UNPROTECTED,
    Chosen,
    Figures,
    Judged,
    Offer,
)
from fedlora_tui.console.typed_line import TypedLine
from fedlora_tui.console.view import Said

VALUE_COLUMN, REMARK_COLUMN = 17, 66
LEAST_PREVIEW = 5
VALUE_WIDTH = 20
COSTS = {
    UNPROTECTED: "whoever has the adapter can probe it for text",
    NOISE: "costs learning: 32 organizations are too few",
    SECURE_SUM: "costs a few KiB a round; the sum itself is seen",
}
"""What each protection costs (docs/privacy.md, docs/secure-sum.md)."""

FOOTER = (("↑↓", "field"), ("←→", "choice"), ("enter", "write"), ("esc", "leave, nothing written"))


@dataclass(frozen=True)
class Setup:
    """All that the screen is drawn from.

    `complaints` are those of the words alone, `judged` is what was found out about just this choice, None where that is
    not known yet; `lost` is why nobody looks any more; `said` is the answer to the last key.
    """

    offer: Offer
    fields: Fields
    complaints: Mapping[str, str] = field(default_factory=dict)
    judged: Judged | None = None
    lost: str = ""
    said: Said | None = None

    @property
    def chosen(self) -> Chosen:
        """What the fields say."""
        return self.fields.chosen

    @property
    def figures(self) -> Figures | None:
        """The estimate, None where there is none."""
        return self.judged.figures if self.judged is not None and not self.complaints else None

    @property
    def why_unknown(self) -> str:
        """Say why there is no estimate, or no speed in it yet."""
        if self.complaints or (self.judged is not None and self.judged.complaints):
            return "first what is not allowed above"
        if self.lost:
            return self.lost
        if self.judged is None or not self.judged.settled:
            return "looking"
        if self.figures is not None:
            return "unknown: nothing could be measured here"
        if self.chosen.organizations is None:
            return "unknown while it is not known how many organizations there are"
        return "unknown while the base is not on this disk"

    def complaint(self, name: str) -> str:
        """Say why a field cannot be as it is, empty where it can."""
        found = self.judged.complaints if self.judged is not None else {}
        return self.complaints.get(name) or found.get(name, "")

    def remark(self, name: str) -> str:
        """Say what is known of what a field holds."""
        found = self.judged.remarks.get(name, "") if self.judged is not None else ""
        return found or _known(self, name)


def draw(setup: Setup, width: int, height: int, glyphs: Glyphs) -> list[Text]:
    """Draw the screen, a line for every row of the terminal; one line where it is too small for more."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return [Row(width, glyphs).at(0, f"{glyphs.run['starting']} setup (terminal too small)").text()]
    lines = [_first_row(setup, width, glyphs), *_body(setup, width, height - 1 - LAST_ROWS, glyphs)]
    lines += [Row(width, glyphs).text()] * (height - LAST_ROWS - len(lines))
    return [*lines, _looked_at(setup, width, glyphs), _answer(setup, width, glyphs), _footer(width, glyphs)]


def _body(setup: Setup, width: int, free: int, glyphs: Glyphs) -> list[Text]:
    """Give what there is room for: gaps fall away first, then the bar, comments, what figures are made of, rules."""
    empty = Row(width, glyphs).text()
    bar = [Row(width, glyphs).at(1, (glyphs.bar_rest * (width - 2), "quiet")).text()]
    head = [rule(width, glyphs, "1 a run", _here(setup), focused=True)]
    rows = [_field(setup, name, width, glyphs) for name in FIELDS]
    comment, remark = _about(setup, width, glyphs)
    figures = draw_figures(setup.figures, setup.chosen.rounds, setup.why_unknown, width, glyphs)
    short = [figures[1], figures[-1]]
    whole = [*bar, *head, *rows, empty, comment, *_on_two_lines(setup, width, glyphs, remark), *figures]
    preview = [empty, *_preview(setup, width, glyphs)]
    ways = (
        [*whole, *preview[: max(LEAST_PREVIEW, free - len(whole))]],
        whole,
        [*bar, *head, *rows, comment, remark, *figures],
        [*head, *rows, remark, *figures],
        [*head, *rows, remark, figures[0], *short],
        [*head, *rows, remark, *short],
    )
    in_sight = free - 1 - len(short)
    first = max(0, min(FIELDS.index(setup.fields.cursor) - in_sight + 1, len(rows) - in_sight))
    return next((way for way in ways if len(way) <= free), [*rows[first:][:in_sight], remark, *short])


def _first_row(setup: Setup, width: int, glyphs: Glyphs) -> Text:
    row = Row(width, glyphs).at(1, (f"{glyphs.run['starting']} setup", "quiet"))
    row.at(13, f"writes {setup.offer.out}, starts nothing")
    return row.to(width - 1, ("fedlora-tui init", "quiet")).text()


def _here(setup: Setup) -> Words:
    others = len(setup.fields.bases) - 1
    return (f"{others} base{'' if others == 1 else 's'} on this disk" if others else "enter writes it down", "quiet")


def _field(setup: Setup, name: str, width: int, glyphs: Glyphs) -> Text:
    fields, here = setup.fields, setup.fields.cursor == name
    label = fields.label(name)
    row = Row(width, glyphs).at(0, (glyphs.cursor if here else " ", "yours_bold"))
    row.at(LABEL_COLUMN, (label, "yours_bold" if here else "quiet"), until=VALUE_COLUMN)
    end = REMARK_COLUMN - 2 if width >= NORMAL_WIDTH else width - 1
    row.at(VALUE_COLUMN, *_value(fields, setup, name, end - VALUE_COLUMN, glyphs), until=end)
    complaint = setup.complaint(name)
    if width >= NORMAL_WIDTH:
        words = (f"{glyphs.refused} {complaint}", "care") if complaint else (setup.remark(name), "quiet")
        row.at(REMARK_COLUMN, words, until=width - 1)
    elif complaint:
        row.to(width - 1, (glyphs.refused, "care_bold"))
    return row.text()


def _value(fields: Fields, setup: Setup, name: str, room: int, glyphs: Glyphs) -> list[Words]:
    here = fields.cursor == name
    chosen = setup.chosen
    if name == BASE:
        own = _typed(fields.typed[BASE], fields.base_place == len(fields.bases), here, room, glyphs)
        return _choices([*(choice.name for choice in fields.bases), own], fields.base_place, room, glyphs, here)
    if name == DATA:
        return _choices(SOURCES, SOURCES.index(chosen.source), room, glyphs, here)
    if name == DEVICE:
        names = [choice.name for choice in fields.devices]
        return _choices(names, names.index(chosen.device), room, glyphs, here)
    if name == PROTECTION:
        names = [f"{NOISE} {_epsilon(fields, here, glyphs)}" if one == NOISE else one for one in PROTECTIONS]
        return _choices(names, PROTECTIONS.index(chosen.protection), room, glyphs, here)
    if name == METHOD:
        return [(setup.offer.method, "quiet")]
    if name == PATH:
        if chosen.source == "synthetic":
            return [(glyphs.dash, "quiet")]
        if not (here or fields.typed[PATH].text):
            return [(glyphs.dash, "quiet")]
        return fields.typed[PATH].words(room, glyphs, focused=here, style="yours_bold" if here else "")
    return _number(fields, chosen, name, glyphs, here)


def _number(fields: Fields, chosen: Chosen, name: str, glyphs: Glyphs, here: bool) -> list[Words]:
    if fields.typed[name].text:
        return fields.typed[name].words(VALUE_WIDTH, glyphs, focused=here, style="yours_bold" if here else "")
    usual = {ORGANIZATIONS: chosen.organizations, RANK: chosen.rank}.get(name, chosen.rounds)
    words = "all" if usual is None else numbers.whole(usual, glyphs)
    return [(f"{words}{glyphs.caret}", "yours_bold") if here else words]


def _epsilon(fields: Fields, here: bool, glyphs: Glyphs) -> str:
    """Give the budget, with the caret where digits are written into it."""
    if not (here and fields.chosen.protection == NOISE):
        return fields.epsilon
    if not fields.typed[PROTECTION].text:
        return f"{fields.epsilon}{glyphs.caret}"
    words = fields.typed[PROTECTION].words(VALUE_WIDTH, glyphs, focused=True)
    return "".join(part if isinstance(part, str) else part[0] for part in words)


def _typed(line: TypedLine, chosen: bool, here: bool, room: int, glyphs: Glyphs) -> str:
    """Give the words of the base that is typed, as much of them as there is room for."""
    if not (line.text or (chosen and here)):
        return glyphs.dash if chosen else OWN
    words = line.words(max(1, room - 11), glyphs, focused=chosen and here)
    return "".join(part if isinstance(part, str) else part[0] for part in words)


def _choices(names: Sequence[str], place: int, room: int, glyphs: Glyphs, here: bool) -> list[Words]:
    """Give choices side by side with the chosen one between marks and in sight; what has no room is a sign."""
    first = 0
    while True:
        line: list[Words] = [(f"{glyphs.ellipsis}   ", "quiet")] if first else []
        for number, name in enumerate(names[first:], first):
            gap = "   " if number > first else ""
            if number == place:
                line += [gap, (f"{glyphs.choice_left} {name} {glyphs.choice_right}", "yours_bold" if here else "")]
                if first >= place or width_of(*line) <= room - 4:
                    end = len(line)
                    line += [part for other in names[number + 1 :] for part in ("   ", (other, "quiet"))]
                    return _fitting(line, end, room, glyphs)
            else:
                line += [gap, (name, "quiet")]
        first += 1


def _fitting(line: list[Words], end: int, room: int, glyphs: Glyphs) -> list[Words]:
    """Leave the last choices out, those after `end`, that have no room whole."""
    if width_of(*line) <= room:
        return line
    while len(line) > end and width_of(*line) > room - 3 - cells(glyphs.ellipsis):
        line = line[:-2]
    return [*line, (f"   {glyphs.ellipsis}", "quiet")]


def _about(setup: Setup, width: int, glyphs: Glyphs) -> tuple[Text, Text]:
    """Say of the field under the cursor which key it is, and what is known of it or why it cannot be so."""
    name = setup.fields.cursor
    key, comment = setup.offer.keys[name]
    first = Row(width, glyphs).at(LABEL_COLUMN, (key, "quiet")).at(0)
    first.at(max(VALUE_COLUMN, first.end + 2), (comment, "quiet"), until=width - 1)
    second = Row(width, glyphs)
    if wrong := _wrong(setup, glyphs):
        second.at(LABEL_COLUMN, (wrong, "care"), until=width - 1)
    else:
        second.at(LABEL_COLUMN, setup.remark(name), until=width - 1)
    return first.text(), second.text()


def _wrong(setup: Setup, glyphs: Glyphs) -> str:
    """Say what is wrong with the field under the cursor, else with another; empty where nothing is."""
    name = setup.fields.cursor
    shown = next((each for each in (name, *FIELDS) if setup.complaint(each)), "")
    of = "" if shown == name else f"{setup.fields.label(shown)}: "
    return f"{glyphs.refused} {of}{setup.complaint(shown)}" if shown else ""


def _on_two_lines(setup: Setup, width: int, glyphs: Glyphs, remark: Text) -> tuple[Text, Text]:
    """Give the remark and an empty line, or a long reason on both: what is wrong often stands at its end."""
    wrong, first, second = _wrong(setup, glyphs), Row(width, glyphs), Row(width, glyphs)
    room = width - 1 - LABEL_COLUMN
    if cells(wrong) <= room:
        return remark, second.text()
    begin = textwrap.wrap(wrong, room, expand_tabs=False, replace_whitespace=False, break_long_words=False)[0]
    first.at(LABEL_COLUMN, (begin, "care"), until=width - 1)
    second.at(LABEL_COLUMN + 2, (wrong[len(begin) :].lstrip(), "care"), until=width - 1)
    return first.text(), second.text()


def _known(setup: Setup, name: str) -> str:
    """Say what is to be said of a field without looking at anything."""
    chosen, fields = setup.chosen, setup.fields
    if name == BASE:
        return fields.base_choices[fields.base_place].remark
    if name == DATA:
        return {
            "synthetic": "invented records of different trades",
            "folder": "a file or a sub-folder an organization",
            "table": "one file; a column says whose row it is",
            "hub": "only named here: it is looked at when a run starts",
        }[chosen.source]
    if name == ORGANIZATIONS and chosen.source != "synthetic":
        return "all that there are" if chosen.organizations is None else "the first ones by name"
    if name == ROUNDS:
        return "" if fields.typed[ROUNDS].text else "as usual with this base"
    if name == PROTECTION:
        return COSTS[chosen.protection]
    if name == METHOD:
        return "docs/methods.md has the others"
    if name == DEVICE:
        return next(choice.remark for choice in fields.devices if choice.name == chosen.device)
    return ""


def _preview(setup: Setup, width: int, glyphs: Glyphs) -> list[Text]:
    """Give the lines of the file that hold what was chosen."""
    lines = [rule(width, glyphs, f"3 what {setup.offer.out} would hold", ("beside every other key", "quiet"))]
    if setup.complaints:
        return [*lines, Row(width, glyphs).at(LABEL_COLUMN, (glyphs.dash, "quiet")).text()]
    for line in setup.offer.lines(setup.chosen):
        code, sign, comment = line.partition("  # ")
        row = Row(width, glyphs).at(LABEL_COLUMN, code)
        lines.append(row.at(row.end, (f"{sign}{comment}", "quiet"), until=width - 1).text())
    return lines


def _looked_at(setup: Setup, width: int, glyphs: Glyphs) -> Text:
    row = Row(width, glyphs)
    if setup.judged is not None and setup.judged.doing:
        row.at(1, ("looking at", "quiet"), f"   {setup.judged.doing}{glyphs.ellipsis}", until=width - 1)
    return row.text()


def _answer(setup: Setup, width: int, glyphs: Glyphs) -> Text:
    row = Row(width, glyphs)
    if setup.said is not None:
        row.at(1, (setup.said.sign, setup.said.style), " ", (numbers.clock(setup.said.t, glyphs), "quiet"))
        row.at(row.end, f" {setup.said.words}", until=width - 1)
    return row.text()


def _footer(width: int, glyphs: Glyphs) -> Text:
    row = Row(width, glyphs).at(0, " ")
    arrows = {"↑↓": f"{glyphs.up} {glyphs.down}", "←→": f"{glyphs.left} {glyphs.right}"}
    for place, (key, word) in enumerate(FOOTER):
        row.at(row.end + (2 if place else 0), (arrows.get(key, key), "yours_bold"), f" {word}")
    return row.text()
