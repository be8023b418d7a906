"""What this terminal can show: its signs and its colours, chosen once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rich.theme import Theme

from fedlora_tui.console.drawing.glyphs import Glyphs, glyphs_for
from fedlora_tui.console.drawing.roles import Roles, roles_for
from fedlora_tui.console.options import ConsoleOptions

TRUE_COLOURS = 1 << 24
PLAIN_TERMINALS = ("linux", "xterm", "vt100", "vt220", "ansi", "screen", "tmux", "rxvt")
"""Names of TERM that promise 16 colours and no more."""


@dataclass(frozen=True)
class Look:
    """Signs, colours by role, and whether the background is dark; `colours` is how many the terminal has."""

    glyphs: Glyphs
    roles: Roles
    colours: int = TRUE_COLOURS
    dark: bool = True

    @property
    def palette(self) -> Theme:
        """The styles that drawn lines name: the roles, and each of them bold."""
        styles = {name: style or "none" for name, style in self.roles.items()}
        styles |= {f"{name}_bold": f"bold {style}".strip() for name, style in self.roles.items()}
        return Theme(styles, inherit=False)

    def in_theme(self, theme: str) -> Look:
        """Give the same signs on as many colours, for a dark or a light background."""
        dark = theme != "light"
        return replace(self, roles=roles_for(self.colours, dark), dark=dark)


def look_for(options: ConsoleOptions, environment: Mapping[str, str] = os.environ, encoding: str | None = None) -> Look:
    """Choose for the terminal that the environment describes."""
    if encoding is None:
        encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    colours = colours_of(environment)
    dark = options.theme != "light"
    return Look(glyphs_for(environment, encoding, options.ascii), roles_for(colours, dark), colours, dark)


def colours_of(environment: Mapping[str, str]) -> int:
    """Tell how many colours to use: none with NO_COLOR, 16 where TERM promises no more, else as many as there are."""
    if "NO_COLOR" in environment or environment.get("TERM") == "dumb":
        return 0
    if environment.get("COLORTERM") in ("truecolor", "24bit"):
        return TRUE_COLOURS
    return 16 if environment.get("TERM") in PLAIN_TERMINALS else TRUE_COLOURS
