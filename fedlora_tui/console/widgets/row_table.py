"""What tables whose rows are pointed at have in common: the pointer's rows, and which rows are in sight."""

from __future__ import annotations

from rich.theme import Theme
from textual import events
from textual.message import Message

from fedlora_tui.console.widgets.part import Part

HEAD_ROWS = 2


def moved(place: int, direction: str, page: int) -> int:
    """Give the row that a key goes to from a place: up, down, page_up, page_down, first, last; it may be outside."""
    return {"up": place - 1, "down": place + 1, "page_up": place - page, "page_down": place + page, "first": 0}.get(
        direction, 10**9
    )


class RowTable(Part):
    """A table with a cursor; who owns it moves the cursor to what is pointed at."""

    HEAD_ROWS = HEAD_ROWS

    class Pointed(Message):
        """The pointer asks for a row: its number, or one up or down when it is None."""

        def __init__(self, index: int | None, direction: str = "") -> None:
            super().__init__()
            self.index = index
            self.direction = direction

    def __init__(self, palette: Theme, *, id: str | None = None) -> None:
        super().__init__(palette, id=id)
        self._top = 0

    def on_click(self, event: events.Click) -> None:
        """Ask for the row under the pointer."""
        if event.y >= self.HEAD_ROWS:
            self.post_message(self.Pointed(self._top + event.y - self.HEAD_ROWS))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Ask for the next row."""
        self.post_message(self.Pointed(None, "down"))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Ask for the row before."""
        self.post_message(self.Pointed(None, "up"))

    def keep_in_sight(self, cursor: int, total: int, rows: int) -> None:
        """Scroll no further than it takes for the cursor's row to be among the `rows` that are shown."""
        self._top = max(min(self._top, cursor, max(0, total - rows)), cursor - rows + 1, 0)
