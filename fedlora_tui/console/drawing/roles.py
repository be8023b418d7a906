"""Colours by role: each says one thing everywhere, and a terminal without colour still says it by its sign.

In truecolour the hues are those of Okabe and Ito's set for colour-blind readers (Color Universal Design, 2008),
darkened on a light background until text in them has a contrast of 4.5 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping

Roles = Mapping[str, str]

NAMES = ("ink", "quiet", "yours", "train", "held", "care", "broken", "guard")

OKABE_ITO = {
    "orange": "#e69f00",
    "sky blue": "#56b4e9",
    "bluish green": "#009e73",
    "yellow": "#f0e442",
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "reddish purple": "#cc79a7",
}

DARK_BACKGROUND = "#0d1014"
LIGHT_BACKGROUND = "#fbfbf9"

DARK: Roles = {
    "ink": "#e6e8ea",
    "quiet": "#98a1aa",
    "yours": OKABE_ITO["yellow"],
    "train": OKABE_ITO["sky blue"],
    "held": OKABE_ITO["bluish green"],
    "care": OKABE_ITO["orange"],
    "broken": OKABE_ITO["vermillion"],
    "guard": OKABE_ITO["reddish purple"],
}

LIGHT: Roles = {
    "ink": "#1a1d21",
    "quiet": "#5a636c",
    "yours": "#6e6706",
    "train": OKABE_ITO["blue"],
    "held": "#007d5b",
    "care": "#8a5f00",
    "broken": "#b85100",
    "guard": "#a8447a",
}

# Bright black would be the obvious quiet one, but some themes paint it in the colour of the background.
SIXTEEN: Roles = {
    "ink": "default",
    "quiet": "dim",
    "yours": "cyan",
    "train": "blue",
    "held": "green",
    "care": "yellow",
    "broken": "red",
    "guard": "magenta",
}

NO_COLOUR: Roles = {
    "ink": "",
    "quiet": "dim",
    "yours": "bold",
    "train": "",
    "held": "",
    "care": "bold",
    "broken": "reverse",
    "guard": "",
}


def roles_for(colours: int, dark: bool = True) -> Roles:
    """Rich styles by role for a terminal with so many colours: 0 or 1 is none, up to 16 its own, above truecolour."""
    if colours < 8:
        return NO_COLOUR
    if colours <= 16:
        return SIXTEEN
    return DARK if dark else LIGHT
