"""Pane 1 of the screen on which a text is tried: the text, and how it is to be answered."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cut_middle
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.trying import FIELDS, Asking
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.try_part import TryPart
from fedlora_tui.console.wording import finished_rounds

PRIVATE = "stays in this console: no journal, no event, no file"
NAME_WIDTH = 20
SEED, SEED_WIDTH = FIELDS.index("seed"), 12


class TypedText(TryPart):
    """The text with its caret, and the fields below it."""

    def draw(self, view: View) -> list[Text]:
        """Give the rule, the text, the fields, and free lines between them."""
        width, glyphs, asking = view.layout.width, view.look.glyphs, self.asking
        private = PRIVATE if width >= 100 else "stays in this console"
        lines = [rule(width, glyphs, "1 your text", (private, "quiet"), focused=asking.field is not None)]
        lines.append(_written(asking, view))
        if not self.room.tabs:
            lines.append(Text())
        return [*lines, _fields(asking, view)]


def _written(asking: Asking, view: View) -> Text:
    glyphs = view.look.glyphs
    row = Row(view.layout.width, glyphs).at(1, (glyphs.cursor if asking.writes else " ", "yours_bold"), " ")
    if not asking.text:
        caret = glyphs.caret if asking.writes else ""
        hint = f"write how a text begins, or 1..{len(asking.ready)} for one that is ready"
        return row.at(3, (caret, "yours_bold"), (hint, "quiet")).text()
    return row.at(3, *asking.line.words(view.layout.width - 4, glyphs, focused=asking.writes)).text()


def _fields(asking: Asking, view: View) -> Text:
    glyphs, narrow = view.look.glyphs, view.layout.width < 100
    row = Row(view.layout.width, glyphs)
    waited = None if asking.answer is None else asking.answer.waited
    seconds = numbers.duration(waited or 0.0, glyphs)
    tail: Words = (f"waits {seconds}" if narrow else f"training waits: {seconds}", "quiet" if not waited else "care")
    until = view.layout.width - 2 - len(tail[0])
    values = _values(asking, view, narrow)
    column = 1
    for place, (label, value) in enumerate(values, 1):
        here = asking.field == place
        row.at(column - 1, (glyphs.cursor if here else " ", "yours_bold"), (label, "quiet"), until=until)
        row.at(row.end + 1, (value, "yours_bold" if here else ""), until=until)
        column = row.end + (2 if narrow else 3)
    return row.to(view.layout.width - 1, tail).text()


def _values(asking: Asking, view: View, narrow: bool) -> list[tuple[str, str]]:
    glyphs = view.look.glyphs
    finished = finished_rounds(view.state)
    latest = str(finished[-1].round) if finished else glyphs.dash
    name = cut_middle(asking.org, 14 if narrow else NAME_WIDTH, glyphs) or glyphs.dash
    labels = dict.fromkeys(FIELDS, "") | {"org": "by" if narrow else "answer by"}
    labels["temperature"] = "temp." if narrow else "temperature"
    values = {
        "org": _choice(name, glyphs),
        "round": _choice(str(asking.round or latest), glyphs),
        "tokens": str(asking.tokens),
        "temperature": f"{asking.temperature:g}",
        "seed": "".join(words[0] for words in asking.seed_line.words(SEED_WIDTH, glyphs, focused=asking.field == SEED)),
    }
    return [(labels[field] or field, value) for field, value in values.items()]


def _choice(words: str, glyphs: Glyphs) -> str:
    return f"{glyphs.choice_left} {words} {glyphs.choice_right}"
