"""Pane 5 of the screen on which a text is tried: the loss of each token of the text, a row a model."""

from __future__ import annotations

import math

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import left, right
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.try_part import TryPart, plain, short_name
from fedlora_tui.protocol.trying import Voice

NAME_WIDTH, CELL, MEAN_WIDTH = 14, 9, 8
NOTABLE = 0.5
"""Nats by which a loss has to differ from the base's to be marked."""

MODELS = 3


class TokenTable(TryPart):
    """Where the models part, token by token."""

    def draw(self, view: View) -> list[Text]:
        """Give the rule, the tokens, and a row of losses for each model."""
        glyphs, asking, width = view.look.glyphs, self.asking, view.layout.width
        pieces = () if asking.answer is None else asking.answer.pieces
        fits = self.fits(width)
        asking.offset = max(0, min(asking.offset, len(pieces) - fits))
        some = slice(asking.offset, asking.offset + fits)
        note = "loss of each token of your text, nats" if width >= 100 else "nats a token"
        if len(pieces) > fits:
            moves = "" if asking.field is not None else f", {glyphs.left} {glyphs.right} moves"
            note = f"tokens {asking.offset + 1} to {min(len(pieces), some.stop)} of {len(pieces)}{moves}; {note}"
        head = Row(width, glyphs).at(1, (left("token", NAME_WIDTH, glyphs), "quiet"))
        for piece in pieces[some]:
            head.at(head.end, right(_shown(piece), CELL, glyphs))
        if pieces:
            head.at(head.end, (right("mean", MEAN_WIDTH + 2, glyphs), "quiet"))
        lines = [rule(width, glyphs, "5 where they part", (note, "quiet")), head.text()]
        voices = asking.voices if pieces else ()
        lines += [_row(view, voice, voices[0], some) for voice in voices]
        return [*lines, *[Text()] * (MODELS + 2 - len(lines))]

    @staticmethod
    def fits(width: int) -> int:
        """Tell how many tokens a width has room for."""
        return max(1, (width - 1 - NAME_WIDTH - MEAN_WIDTH - 3) // CELL)


def _shown(piece: str) -> str:
    """Write a token: what is nothing but space by its sign."""
    words = plain(piece).replace("\n", "\\n")
    return words.strip() or ("_" * len(words) if words else "?")


def _row(view: View, voice: Voice, base: Voice, some: slice) -> Text:
    glyphs = view.look.glyphs
    row = Row(view.layout.width, glyphs).at(1, left(short_name(voice, NAME_WIDTH - 1, glyphs), NAME_WIDTH, glyphs))
    if voice.lacks:
        return row.at(row.end + 2, (voice.lacks, "quiet")).text()
    # The first token is predicted by nothing.
    losses: list[float | None] = [None, *(math.nan if loss is None else loss for loss in voice.losses)]
    bases: list[float | None] = [None, *(math.nan if loss is None else loss for loss in base.losses)]
    for loss, beside in list(zip(losses, bases, strict=False))[some]:
        row.at(row.end, _cell(loss, beside, glyphs, bare=not view.look.roles["held"]))
    return row.at(row.end, right(numbers.loss(voice.loss, glyphs), MEAN_WIDTH + 2, glyphs)).text()


def _cell(loss: float | None, base: float | None, glyphs: Glyphs, *, bare: bool) -> Words:
    """Write a loss, marked where it differs from the base's: by a sign where there are no colours."""
    number = numbers.fixed(loss, 1, glyphs)
    words = right(number, CELL, glyphs)
    if loss is None or base is None or not abs(loss - base) >= NOTABLE:
        return words
    if bare:
        return right(f"{glyphs.falls if loss < base else '!'} {number}", CELL, glyphs)
    return words, "held" if loss < base else "care"
