"""What stands outside the screen: the terminal's title, and the bell."""

from __future__ import annotations

from fedlora_tui.console.standing import title
from fedlora_tui.console.view import View


class Outside:
    """Remembers what the title says and what was rung for: either is written when it changes."""

    def __init__(self) -> None:
        self._title = ""
        self._rung_for: frozenset[str] = frozenset()

    def title_sequence(self, view: View) -> str:
        """Write the sequence that sets the title, empty where it says so already."""
        before, self._title = self._title, title(view)
        return f"\x1b]0;{self._title}\x07" if self._title != before else ""

    def calls(self, calls: frozenset[str]) -> bool:
        """Tell whether the operator is to be called for something new."""
        before, self._rung_for = self._rung_for, calls
        return bool(calls - before)
