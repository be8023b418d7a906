"""The application: it drains the run, paints what is due, and hands keys to the registry's actions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme

from fedlora_tui.console.actions import ACTIONS, KEYS
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.roles import DARK_BACKGROUND, LIGHT_BACKGROUND
from fedlora_tui.console.look import Look, look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.pace import Pace
from fedlora_tui.console.screens.dialog import Dialog
from fedlora_tui.console.screens.export import ExportDialog
from fedlora_tui.console.screens.help import HelpDialog
from fedlora_tui.console.screens.leave import LeaveDialog
from fedlora_tui.console.screens.overview import Overview
from fedlora_tui.console.session import Session
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.table import OrganizationTable
from fedlora_tui.protocol.commands import Export, Finish, Stop
from fedlora_tui.protocol.handle import RunHandle

THEME = "fedlora"
FEW_COLOURS = 16
DRAIN_SECONDS = 0.1
ANSWER_POLL_SECONDS = 0.03
TWICE_SECONDS = 2.0
"""Within how long a second ctrl+c counts as twice."""

FIRST_FRAME_SECONDS = 0.05
"""From the first paint to the start of the run: time for its bytes to reach the terminal."""


class ConsoleApp(App[str], inherit_bindings=False):
    """The console on one run; its return value says how it was left: over, finish, stop, abandoned or refused."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    CSS_PATH = "console.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "act('leave', '')", show=False, priority=True),
        Binding("ctrl+c", "act('leave', 'interrupt')", show=False, priority=True),
    ]

    def __init__(
        self,
        handle: RunHandle,
        options: ConsoleOptions | None = None,
        *,
        clock: Callable[[], float] = time.time,
        look: Look | None = None,
    ) -> None:
        self._options = options or ConsoleOptions()
        self.look = look or look_for(self._options)
        super().__init__(ansi_color=self.look.colours <= FEW_COLOURS)
        self.title = "fedlora-tui"
        self.session = Session(handle, self.look.glyphs, clock)
        self._clock = clock
        self._pace = Pace(self._options.seconds_between_paints())
        self._overview = Overview(self.look)
        self._interrupted_at = -1e9
        self._title_shown = ""
        self._rung_for = ""

    def on_mount(self) -> None:
        """Show the overview, and let the run begin once its first frame is on the terminal."""
        if self.look.colours <= FEW_COLOURS:
            self.theme = "ansi-dark"
        else:
            self.register_theme(_theme(self.look))
            self.theme = THEME
        self.call_after_refresh(lambda: self.set_timer(FIRST_FRAME_SECONDS, self._begin))

    def _begin(self) -> None:
        self.session.handle.start()
        self.set_interval(DRAIN_SECONDS, self._tick)
        self._tick()

    def _tick(self) -> None:
        """Take in what the run said, and paint what is due."""
        answered = self.session.poll()
        if self.session.ended and isinstance(self.screen, LeaveDialog):
            # It speaks of a run that goes on, and offers what no longer can be done.
            self.screen.dismiss(None)
        if self.session.handle.refusal is not None:
            self.exit("refused")
        elif self.session.leaving and self.session.ended:
            self.exit(self.session.leaving)
        else:
            due = self._pace.due(self.session.state, time.monotonic())
            if answered or due:
                self.paint(slow=answered or due == "all")

    def _await_answer(self) -> None:
        """Look often for the answer to a command, so that it is on the screen at once."""
        if self.session.poll():
            self.paint()
        if self.session.asking:
            self.set_timer(ANSWER_POLL_SECONDS, self._await_answer)

    def paint(self, *, slow: bool = True) -> None:
        """Draw the overview and the dialog over it, and what stands outside the screen."""
        view = self.view(slow=slow)
        self._overview.paint(view)
        if isinstance(self.screen, Dialog) and self.screen.is_mounted:
            self.screen.paint(view)
        if slow:
            self._pace.painted(self.session.state, time.monotonic())
            self._show_title(view)
            self._ring()

    def view(self, *, slow: bool = True) -> View:
        """Gather what the parts of the screen draw from."""
        session = self.session
        return View(
            state=session.state,
            now=self._clock(),
            look=self.look,
            layout=self._overview.layout_for(session.state.phase),
            order=session.order,
            selected=session.selected,
            said=session.said,
            focused=self._overview.focused_pane,
            run=self._options.run,
            model=self._options.model,
            configuration=self._options.configuration,
            leaving=session.leaving,
            slow=slow,
        )

    def action_act(self, name: str, argument: str = "") -> None:
        """Let an action of the registry act, or say why it cannot."""
        action = ACTIONS[name]
        reason = action.refusal(replace(self.session.situation, direction=argument))
        if reason is not None and argument != "interrupt":
            self.session.refuse(reason)
        elif action.command is not None:
            self.session.send(action, argument)
            self._await_answer()
        else:
            {
                "move": self._move,
                "panes": self._next_pane,
                "export": self._export,
                "help": self._help,
                "back": self._back,
                "leave": self._leave,
            }[name](argument)
        self.paint()

    def _move(self, direction: str) -> None:
        self.session.move(direction, max(1, self._overview.layout_for(self.session.state.phase).table))

    def _next_pane(self, direction: str) -> None:
        if direction == "previous":
            self._overview.focus_previous()
        else:
            self._overview.focus_next()

    def _back(self, argument: str) -> None:
        if self._overview.focused_pane not in ("", "table"):
            self._overview.query_one("#table").focus()
        else:
            self.session.refuse("nothing to leave here: q leaves the console")

    def _help(self, argument: str) -> None:
        self.push_screen(HelpDialog(self.view()))

    def _export(self, argument: str) -> None:
        self.push_screen(ExportDialog(self.view()), self._export_chosen)

    def _export_chosen(self, export: Export | None) -> None:
        if export is not None:
            self.session.command(export, "writing the adapter")
            self._await_answer()
        self.paint()

    def _leave(self, argument: str) -> None:
        """Leave at once when nothing runs; ask when something does; a second ctrl+c stops, one more pair gives up."""
        now = time.monotonic()
        twice = argument == "interrupt" and now - self._interrupted_at < TWICE_SECONDS
        self._interrupted_at = now if argument == "interrupt" and not twice else -1e9
        if self.session.ended:
            self.exit("over")
        elif self.session.leaving == "stop":
            if twice:
                self.exit("abandoned")
            else:
                self.session.refuse("stopping already: ctrl+c twice leaves without waiting")
        elif twice:
            self._close_dialog()
            self._leave_chosen(Stop())
        elif not isinstance(self.screen, LeaveDialog):
            self._close_dialog()
            self.push_screen(LeaveDialog(self.view()), self._leave_chosen)

    def _close_dialog(self) -> None:
        if isinstance(self.screen, Dialog):
            self.pop_screen()

    def _leave_chosen(self, choice: Finish | Stop | None) -> None:
        if choice is not None and not self.session.ended:
            self.session.leave_by(choice)
            self._await_answer()
        self.paint()

    def on_overview_needs_paint(self) -> None:
        """Paint in the new size, or with the new focus."""
        self.paint()

    def on_key(self, event: events.Key) -> None:
        """Hand a key to the dialog that is open, and answer one that does nothing.

        All keys pass here in the order in which they were typed, whichever screen was open when they came.
        """
        if isinstance(self.screen, Dialog):
            event.prevent_default()
            if event.key == "q" and event.key not in self.screen.CLOSED_BY:
                self.action_act("leave")
            else:
                self.screen.press(event)
        elif event.key not in KEYS:
            name = event.character if event.is_printable and event.character else event.key
            self.session.refuse(f"{name} does nothing here: ? lists the keys")
            self.paint()

    def on_organization_table_pointed(self, message: OrganizationTable.Pointed) -> None:
        """Select what was pointed at."""
        if message.index is None:
            self.session.move(message.direction, 1)
        else:
            self.session.select(message.index)
        self.paint()

    def _show_title(self, view: View) -> None:
        """Write the terminal's title: state, round, loss."""
        state, glyphs = view.state, self.look.glyphs
        title = f"{glyphs.run_state(state.phase)} fedlora"
        if state.rounds:
            rounds = numbers.of(state.round, state.rounds, glyphs)
            title = f"{glyphs.run_state(state.phase)} {rounds} {numbers.loss(state.eval_loss, glyphs)} fedlora"
        if title != self._title_shown and self._driver is not None and not self.is_headless:
            self._title_shown = title
            self._driver.write(f"\x1b]0;{title}\x07")

    def _ring(self) -> None:
        """Ring once when the run is done, has failed or has paused by itself."""
        state = self.session.state
        rings = state.phase in ("done", "failed") or (state.phase == "paused" and bool(state.reason))
        if rings and self._rung_for != state.phase and self._options.bell:
            self.bell()
        self._rung_for = state.phase if rings else ""

    def get_default_screen(self) -> Screen[None]:
        """Give the overview: everything else lies over it."""
        return self._overview


def _theme(look: Look) -> Theme:
    """Give Textual the true colours of the look."""
    background = DARK_BACKGROUND if look.dark else LIGHT_BACKGROUND
    return Theme(
        name=THEME,
        primary=look.roles["yours"],
        foreground=look.roles["ink"],
        background=background,
        surface=background,
        panel=background,
        dark=look.dark,
    )
