"""The screen of the log: a run's events in words, or its engine.log, with a filter, following the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.widget import Widget

from fedlora_tui.console.filtering import parsed
from fedlora_tui.console.layout import Layout
from fedlora_tui.console.layout_of_pages import arrange_list
from fedlora_tui.console.log_file import LogFile
from fedlora_tui.console.log_lines import EventLines, LogLine, file_lines, filtered
from fedlora_tui.console.look import Look
from fedlora_tui.console.run_folder import folder_of
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.screens.page import Page, bindings
from fedlora_tui.console.screens.whole_line import WholeLine
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.log_list import EVENTS, FILE, LogList
from fedlora_tui.console.widgets.row_table import HEAD_ROWS, moved
from fedlora_tui.protocol.state import RunState

JOURNAL = "events.jsonl"


class LogPage(Page):
    """The log of the run in front; of one that has failed, its engine.log first, for the traceback is there."""

    NAME: ClassVar[str] = "log"
    BINDINGS: ClassVar[list[BindingType]] = bindings("log")

    def __init__(self, look: Look, runs: Runs) -> None:
        super().__init__(look, runs)
        self._view: View | None = None
        self._list = LogList(look.palette, id="log-list")
        self._list.source = FILE if runs.front.state.phase == "failed" else EVENTS
        self._file: LogFile | None = None
        self._events = EventLines()

    def parts(self) -> Iterable[Widget]:
        """Give its own parts from top to bottom."""
        yield self._list

    def layout_for(self, state: RunState) -> Layout:
        """Divide the terminal as it is now."""
        return arrange_list(self.app.size.width, self.app.size.height)

    def rows(self, layout: Layout, starting: bool) -> Mapping[str, int]:
        """Give the height of each of its parts."""
        return {"log-list": layout.table + HEAD_ROWS}

    def paint(self, view: View) -> None:
        """Draw the lines that there are now."""
        self._view = view
        if view.slow:
            self._gather(view)
        super().paint(view)

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what it does by itself."""
        return {
            "move": self._move,
            "open": self._open,
            "panes": self._other,
            "filter": self._filter,
            "follow": self._follow,
        }

    def press(self, event: events.Key) -> bool:
        """Take a key into the filter, while it is typed."""
        table = self._list
        if not table.typing:
            return False
        if event.key in ("enter", "escape", "down", "up", "tab"):
            table.typing = False
        else:
            table.line.press(event)
        return True

    def on_paste(self, event: events.Paste) -> None:
        """Take what is pasted into the filter, while it is typed."""
        if self._list.typing:
            self._list.line.paste(event.text)
            self.post_message(self.NeedsPaint())

    def back(self) -> bool:
        """Clear the filter."""
        had = self._list.line.text
        self._list.line.put("")
        return bool(had)

    def on_log_list_pointed(self, message: LogList.Pointed) -> None:
        """Put the cursor on what was pointed at."""
        if message.index is None:
            self._move(message.direction)
        else:
            self._list.choose(message.index)
        self.post_message(self.NeedsPaint())

    def _gather(self, view: View) -> None:
        """Take in what the run, or its file, says by now."""
        table, glyphs = self._list, view.look.glyphs
        table.trouble = ""
        if table.source == EVENTS:
            log = self._runs.front.log
            lines, table.capped = self._events.look(log, view.state, glyphs, view.keymap), log.capped
        else:
            file = self._opened(view)
            file.look()
            lines, table.trouble, table.capped = file_lines(file), file.trouble, file.capped
        table.total = len(lines)
        table.lines = filtered(lines, parsed(table.line.text), glyphs)
        if table.capped and lines:
            words = f"older ones stand in {folder_of(view) / (JOURNAL if table.source == EVENTS else FILE)}"
            table.lines = [LogLine(lines[0].number - 1, None, words), *table.lines]

    def _opened(self, view: View) -> LogFile:
        """Give the engine.log of the run in front."""
        folder = folder_of(view)
        if self._file is None or self._file.path != folder / FILE:
            self._file = LogFile(folder / FILE)
        return self._file

    def _move(self, direction: str) -> None:
        table = self._list
        table.choose(moved(table.cursor, direction, max(1, self.layout_for(self._runs.front.state).table)))

    def _open(self, argument: str) -> None:
        table = self._list
        if not table.lines or self._view is None:
            self._runs.front.refuse("there is no line to show")
            return
        line = table.lines[table.cursor]
        self.app.push_screen(WholeLine(self._view, line.said(self._look.glyphs)))

    def _other(self, direction: str) -> None:
        self._list.source = EVENTS if self._list.source == FILE else FILE
        self._list.chosen = None

    def _filter(self, argument: str) -> None:
        self._list.typing = True
        self._runs.front.say(
            "/", "yours_bold", f"words, !word leaves out; enter keeps it, then {self.key('back')} clears it"
        )

    def _follow(self, argument: str) -> None:
        table = self._list
        if table.chosen is None and table.lines:
            table.chosen = table.lines[-1].number
            self._runs.front.say(
                self._look.glyphs.answered, "held", f"it stands here; {self.key('follow')} follows the end again"
            )
        else:
            table.chosen = None
            self._runs.front.say(self._look.glyphs.answered, "held", "it follows the end")
