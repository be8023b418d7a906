"""What every part of the screen has in common on which a text is tried."""

from __future__ import annotations

from rich.theme import Theme

from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cut_middle
from fedlora_tui.console.try_layout import TryLayout
from fedlora_tui.console.trying import Asking
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.protocol.trying import ALL, Voice


class TryPart(Part):
    """A part that draws what is asked, and how the answer stands; `room` is set before each paint."""

    def __init__(self, palette: Theme, asking: Asking, *, id: str) -> None:
        super().__init__(palette, id=id)
        self.asking = asking
        self.room = TryLayout(tabs=False)


def short_name(voice: Voice, width: int, glyphs: Glyphs) -> str:
    """Give a model's name where there is little room."""
    return "all" if voice.name == ALL else cut_middle(voice.name, width, glyphs)


def plain(text: str) -> str:
    """Give what a model said without what a terminal would act on: its lines and printable characters."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
