"""Panes 2 to 4 of the screen on which a text is tried: what each model goes on with, side by side or behind tabs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text
from rich.theme import Theme
from textual import events
from textual.message import Message

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.bars import share_bar
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cut_end, cut_middle
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.trying import Asking
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.try_part import TryPart, plain, short_name
from fedlora_tui.protocol.trying import ALL, BASE, Voice

FIRST_PANE = 2
EDGES = 3
"""Columns of a pane that hold no words."""

MODELS = 3
WIDTH_OF_NOTE = 112


class Answers(TryPart):
    """The answers; they scroll together side by side, and each by itself behind tabs."""

    class Scrolled(Message):
        """The pointer scrolls, up or down."""

        def __init__(self, direction: str) -> None:
            super().__init__()
            self.direction = direction

    def __init__(self, palette: Theme, asking: Asking, *, id: str) -> None:
        super().__init__(palette, asking, id=id)
        self._said: dict[int, list[str]] = {}

    def read_on(self, direction: str) -> bool:
        """Scroll what is in sight; False where none of it is longer than its room."""
        moved = [
            self.asking.readings[place].move(direction, lines, self.room.words) for place, lines in self._said.items()
        ]
        return any(moved)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Ask for the next line."""
        self.post_message(self.Scrolled("down"))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Ask for the line before."""
        self.post_message(self.Scrolled("up"))

    def draw(self, view: View) -> list[Text]:
        """Give every model's pane, or the tabs and the one that is chosen."""
        self._said = {}
        return self._tabs(view) if self.room.tabs else self._side_by_side(view)

    def _side_by_side(self, view: View) -> list[Text]:
        width = view.layout.width
        starts = [width * place // MODELS for place in range(MODELS)]
        ends = [*(start - 1 for start in starts[1:]), width]
        voices = self.asking.voices
        panes = [
            list(self._pane(view, voices[place] if place < len(voices) else None, place, ends[place] - starts[place]))
            for place in range(MODELS)
        ]
        return [Text(" ", end="").join(parts) for parts in zip(*panes, strict=True)]

    def _pane(self, view: View, voice: Voice | None, place: int, width: int) -> Iterator[Text]:
        """Give a model's rule, its words, its loss on the typed text with a bar, and its speed."""
        glyphs, asking = view.look.glyphs, self.asking
        blank = Row(width, glyphs).text()
        if voice is None:
            yield rule(width, glyphs, f"{FIRST_PANE + place} no organization is chosen")
            yield from [blank] * (self.room.answers - 1)
            return
        yield rule(width, glyphs, f"{FIRST_PANE + place} {_title(voice, width - 8, glyphs)}")
        yield blank
        yield from self._words(view, voice, place, width)
        yield Row(width, glyphs).at(1, (self._where(place), "quiet")).text()
        base = asking.voices[0]
        yield _loss_line(voice, base, width, glyphs)
        yield _loss_bar(voice, asking.voices, width, glyphs)
        yield blank
        yield Row(width, glyphs).at(1, (_speed(voice, asking.wanted, glyphs), "quiet")).text()
        yield blank

    def _tabs(self, view: View) -> list[Text]:
        width, glyphs, asking = view.layout.width, view.look.glyphs, self.asking
        if asking.answer is None and not asking.answering:
            return [rule(width, glyphs, "6 prompts"), *prompt_lines(self, view)[: self.room.answers - 1]]
        voices = asking.voices
        chosen = min(asking.tab, len(voices) - 1)
        row = Row(width, glyphs)
        for place, voice in enumerate(voices):
            here = place == chosen
            line, style = (glyphs.rule_focused, "yours") if here else (glyphs.rule, "quiet")
            words = f" {FIRST_PANE + place} {short_name(voice, 14, glyphs)} {numbers.loss(voice.loss, glyphs)} "
            row.at(row.end, (line, style), (words, "yours_bold" if here else "ink"), (line, style))
        row.at(row.end, (glyphs.rule * (width - row.end), "quiet"))
        voice = voices[chosen]
        lines = [row.text(), *self._words(view, voice, chosen, width)]
        if self.room.answers > self.room.words + 1:
            last = Row(width, glyphs).at(1, (_speed(voice, asking.wanted, glyphs), "quiet"))
            lines.append(last.to(width - 1, (self._where(chosen), "quiet")).text())
        return lines

    def _words(self, view: View, voice: Voice, place: int, width: int) -> list[Text]:
        """Write what a model says into its rows: where it is longer, the part that the reader has in sight."""
        glyphs, rows = view.look.glyphs, self.room.words
        caret = "" if voice.over or voice.lacks or not self.asking.answering else glyphs.caret
        style = "quiet" if voice.lacks else "ink"
        lines = list(wrapped(plain(voice.lacks or voice.text.removeprefix(" ")) + caret, width - EDGES))
        self._said[place] = lines
        top = self.asking.readings[place].top(lines, rows)
        shown = lines[top : top + rows]
        if top:
            shown[0] = glyphs.ellipsis + shown[0][len(glyphs.ellipsis) :]
        if top + rows < len(lines):
            shown[-1] = cut_end(shown[-1] + glyphs.ellipsis, width - EDGES, glyphs)
        drawn = [Row(width, glyphs).at(1, (line, style)).text() for line in shown]
        return [*drawn, *[Row(width, glyphs).text()] * (rows - len(drawn))]

    def _where(self, place: int) -> str:
        """Say which lines are in sight, empty where all are."""
        lines, rows, reading = self._said[place], self.room.words, self.asking.readings[place]
        if len(lines) <= rows:
            return ""
        top = reading.top(lines, rows)
        follows = ", follows" if reading.follows and self.asking.answering else ""
        return f"lines {top + 1} to {top + rows} of {len(lines)}{follows}"


class Prompts(TryPart):
    """Pane 6: the texts that are ready."""

    def draw(self, view: View) -> list[Text]:
        """Give the rule and a line a text."""
        ready = len(self.asking.ready)
        words = f"1..{ready} in an empty line takes one; add yours in [console] prompts"
        return [rule(view.layout.width, view.look.glyphs, "6 prompts", (words, "quiet")), *prompt_lines(self, view)]


def prompt_lines(part: TryPart, view: View) -> list[Text]:
    """Give a line for each text that is ready."""
    glyphs, asking = view.look.glyphs, part.asking
    lines = []
    for place, text in enumerate(asking.ready):
        row = Row(view.layout.width, glyphs).at(1, (str(place + 1), "yours_bold")).at(4, text)
        if place == asking.own and view.layout.width >= WIDTH_OF_NOTE:
            row.at(max(60, row.end + 2), ("none of these comes from an organization's text", "quiet"))
        lines.append(row.text())
    return lines


def _title(voice: Voice, width: int, glyphs: Glyphs) -> str:
    if voice.name == BASE:
        return BASE
    if voice.name == ALL:
        return f"{ALL}, round {voice.round}" if voice.round else ALL
    return f"{cut_middle(voice.name, width - 9, glyphs)}, its own"


def wrapped(text: str, width: int) -> Iterator[str]:
    """Break a text into lines of so many cells at most, between words where that can be."""
    for line in text.split("\n"):
        row = ""
        for word in re.findall(r"\s*\S+|\s+$", line):
            if row and cell_len(row + word) > width:
                yield row
                row, word = "", word.lstrip()
            while cell_len(word) > width:
                head = _fitting(word, width)
                yield head
                word = word[len(head) :]
            row += word
        yield row


def _fitting(word: str, width: int) -> str:
    """Give as much of a word's start as a line holds, a letter at least."""
    end = 1
    while end < len(word) and cell_len(word[: end + 1]) <= width:
        end += 1
    return word[:end]


def _loss_line(voice: Voice, base: Voice, width: int, glyphs: Glyphs) -> Text:
    row = Row(width, glyphs).at(1, ("your text: ", "quiet"), f"loss {numbers.loss(voice.loss, glyphs)}")
    if voice is base:
        return row.at(row.end, (", less is better" if voice.loss is not None else "", "quiet")).text()
    if voice.loss is not None and base.loss is not None:
        change = voice.loss - base.loss
        words: Words = (numbers.signed(change, glyphs), "held" if change < 0 else "care")
        row.at(row.end + 3, words)
    return row.text()


def _loss_bar(voice: Voice, voices: tuple[Voice, ...], width: int, glyphs: Glyphs) -> Text:
    """Draw a loss against the largest one."""
    row = Row(width, glyphs)
    losses = [own.loss for own in voices if own.loss is not None and own.loss == own.loss]
    if voice.loss is None or not losses:
        return row.text()
    done, rest = share_bar(voice.loss / (max(losses) or 1.0), width - EDGES, glyphs)
    return row.at(1, (done, "held"), (rest, "quiet")).text()


def _speed(voice: Voice, wanted: int, glyphs: Glyphs) -> str:
    if voice.lacks:
        return ""
    rate = voice.tokens / voice.seconds if voice.seconds and voice.tokens else None
    return f"{numbers.rate(rate, glyphs)} tok/s   {numbers.of(voice.tokens, wanted, glyphs)}"
