"""The toasts over the screen's upper right: they cover, for a while, and move nothing."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, width_of
from fedlora_tui.console.toasts import Toast
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.lines import Lines

TOP = 2
"""The row of the first one: the state and the bar of rounds stay in sight."""

LONGEST = 76


class ToastLines(Lines):
    """Up to two lines that lie over all parts."""

    def place(self, view: View) -> None:
        """Lie where the newest of them ends at the right edge; nowhere while there are none."""
        toasts = () if view.layout.too_small else view.toasts
        self.display = bool(toasts)
        if not toasts:
            return
        written = [_words(toast, view) for toast in toasts]
        width = min(view.layout.width, LONGEST, max(width_of(*words) for words in written))
        self.styles.width, self.styles.height = width, len(written)
        self.styles.offset = (view.layout.width - width, TOP)
        self.show([_line(words, width, view) for words in written])


def _words(toast: Toast, view: View) -> list[Words]:
    glyphs = view.look.glyphs
    words: list[Words] = [(f" {glyphs.scroll_here} {toast.sign}", toast.style), f" {toast.words}"]
    often = f" {glyphs.times}{toast.count}" if toast.count > 1 else ""
    return [*words, (f"{often}  {view.key('back')} ", "quiet")]


def _line(words: list[Words], width: int, view: View) -> Text:
    *said, key = words
    row = Row(width, view.look.glyphs)
    row.at(0, *said, until=width - width_of(key))
    return row.to(width, key).text()
