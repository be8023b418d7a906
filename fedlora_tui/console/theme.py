"""The colours that Textual itself paints with: those of the look."""

from __future__ import annotations

from textual.theme import Theme

from fedlora_tui.console.drawing.roles import DARK_BACKGROUND, LIGHT_BACKGROUND
from fedlora_tui.console.look import Look

THEME = "fedlora"
FEW_COLOURS = 16
"""With so few the terminal's own colours are taken, and no theme."""


def theme_of(look: Look, name: str = THEME) -> Theme:
    """Give Textual the true colours of the look."""
    background = DARK_BACKGROUND if look.dark else LIGHT_BACKGROUND
    return Theme(
        name=name,
        primary=look.roles["yours"],
        foreground=look.roles["ink"],
        background=background,
        surface=background,
        panel=background,
        dark=look.dark,
    )
