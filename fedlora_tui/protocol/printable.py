"""Text of another's making, as it can be shown: what a terminal would do in place of printing it is not in it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Give a text with a question mark for each character that is none to be seen."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)
