"""The application: it drains the runs, paints what is due, and hands keys to the registry's actions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from fedlora_tui.console.actions.action import Each
from fedlora_tui.console.actions.key_names import key_of
from fedlora_tui.console.actions.registry import ACTIONS, keys_on
from fedlora_tui.console.actions.remapping import keymap_of
from fedlora_tui.console.command_line import Act, Ask, Read
from fedlora_tui.console.command_line import Look as LookCommand
from fedlora_tui.console.forking import Forking, forked_words
from fedlora_tui.console.listing import Listing
from fedlora_tui.console.look import Look, look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.outside import Outside
from fedlora_tui.console.pace import Pace
from fedlora_tui.console.player import Replay
from fedlora_tui.console.pressed import name_of
from fedlora_tui.console.replay_session import ReplaySession
from fedlora_tui.console.replaying import Playing
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.screens.add_by import AddByDialog
from fedlora_tui.console.screens.audit import AuditPage
from fedlora_tui.console.screens.command import CommandDialog
from fedlora_tui.console.screens.compare import Compare
from fedlora_tui.console.screens.dialog import Dialog, Sends
from fedlora_tui.console.screens.drift import DriftDialog
from fedlora_tui.console.screens.export import ExportDialog
from fedlora_tui.console.screens.faults import FaultsDialog
from fedlora_tui.console.screens.fork import Asked as ForkAsked
from fedlora_tui.console.screens.fork import ForkDialog
from fedlora_tui.console.screens.help import HelpDialog
from fedlora_tui.console.screens.leave import DETACH, Choice, LeaveDialog
from fedlora_tui.console.screens.log import LogPage
from fedlora_tui.console.screens.organization import OneOrganization
from fedlora_tui.console.screens.overview import Overview
from fedlora_tui.console.screens.page import Page
from fedlora_tui.console.screens.rounds_table import RoundsTable
from fedlora_tui.console.screens.runs_list import RunsList
from fedlora_tui.console.screens.try_it import TryIt
from fedlora_tui.console.screens.tune import TuneDialog
from fedlora_tui.console.session import Session
from fedlora_tui.console.taking_along import copy, keep_picture, place_for
from fedlora_tui.console.theme import FEW_COLOURS, THEME, theme_of
from fedlora_tui.console.toasts import Toasts, wheel_taken
from fedlora_tui.console.trying import Asking
from fedlora_tui.console.view import Steering, View
from fedlora_tui.console.who_steers import passed
from fedlora_tui.console.widgets.run_table import RunTable
from fedlora_tui.console.widgets.table import OrganizationTable
from fedlora_tui.protocol.commands import Finish, Stop
from fedlora_tui.protocol.handle import Fork, ListRuns, RunHandle, Wheel

DRAIN_SECONDS = 0.1
ANSWER_POLL_SECONDS = 0.03
TWICE_SECONDS = 2.0
"""Within how long a second ctrl+c counts as twice."""

PAGES: Mapping[str, type[Page]] = {page.NAME: page for page in (AuditPage, Compare, LogPage, RoundsTable, RunsList)}
"""The screens over the overview, by the action that opens them."""

DIALOGS: Mapping[str, Callable[[View], Dialog[Any]]] = {
    "help": HelpDialog,
    "export": ExportDialog,
    "faults": FaultsDialog,
    "drift": DriftDialog,
    "tune": TuneDialog,
    "add_by": AddByDialog,
}
"""The dialogs by the action that opens them; what they send goes to the run in front."""

FIRST_FRAME_SECONDS = 0.05
"""From the first paint to the start of the run: time for its bytes to reach the terminal."""


class ConsoleApp(App[str], inherit_bindings=False):
    """The console on a run or a race.

    Its value says how it was left: over, finish, stop, detached, resume, other, abandoned or refused. Left for an
    other run, `goes_to` says how it is to be shown, and which.
    """

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    CSS_PATH = "console.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "act('leave', '')", show=False, priority=True),
        Binding("ctrl+c", "act('leave', 'interrupt')", show=False, priority=True),
    ]

    def __init__(
        self,
        handles: Sequence[RunHandle],
        options: ConsoleOptions | None = None,
        *,
        wheel: Wheel | None = None,
        fork: Fork | None = None,
        others: ListRuns | None = None,
        clock: Callable[[], float] = time.time,
        look: Look | None = None,
    ) -> None:
        """`wheel` tells who steers, where the runs are of another process and go on without this console.

        `fork` starts a further run in a process of its own, `others` lists those that are there.

        Where what is shown is a `Replay`, its time is the clock.
        """
        self._options = options or ConsoleOptions()
        self.look = look or look_for(self._options)
        super().__init__(ansi_color=self.look.colours <= FEW_COLOURS)
        self.title = "fedlora-tui"
        self.runs = Runs(handles, self.look.glyphs, clock)
        self.runs.listing = None if others is None else Listing(others)
        self.goes_to: tuple[str, str] | None = None
        self._wheel = wheel
        self._fork_beside = fork
        self._forking: Forking | None = None
        self._steering: Steering | None = None
        self._replay = next((handle for handle in handles if isinstance(handle, Replay)), None)
        self._playing: Playing | None = None
        self._pace = Pace(
            self._options.seconds_between_paints(), self._options.allowance(), at_once=self._replay is None
        )
        self._clock = clock if self._replay is None else self._replay.time
        self.overview = Overview(self.look, self.runs)
        self._remapped = keymap_of(self._options.keys)
        self.overview.hold(self._remapped)
        self._pages: list[Page] = [self.overview]
        self._asking = Asking(self._options.prompts)
        self._asking_painted = -1e9
        self._toasts = Toasts()
        self._interrupted_at = -1e9
        self._typed: list[str] = []
        self._outside = Outside()

    @property
    def session(self) -> Session:
        """The session of the run in front."""
        return self.runs.front

    @property
    def page(self) -> Page:
        """The page in sight, or under the dialog that is open."""
        return self._pages[-1]

    def on_mount(self) -> None:
        """Show the overview, and let the run begin once its first frame is on the terminal."""
        if self.look.colours <= FEW_COLOURS:
            self.theme = "ansi-dark"
        else:
            self.register_theme(theme_of(self.look))
            self.theme = THEME
        if self.session.arriving is not None:
            # It runs already: the first frame shows it as it stands, as far as that is here by now.
            self.runs.poll()
        self.call_after_refresh(lambda: self.set_timer(FIRST_FRAME_SECONDS, self._begin))

    def _begin(self) -> None:
        self.runs.start()
        self.set_interval(DRAIN_SECONDS, self._tick)
        self._tick()

    def _tick(self) -> None:
        """Take in what the runs said, and paint what is due; nothing in a tick that comes while the app closes."""
        if not self.screen_stack:
            return
        answered = self.runs.poll() | self._look_at_the_wheel() | self._look_at_the_replay() | self._look_at_the_fork()
        answered |= self._look_at_the_answer()
        answered |= self._toasts.look(self.runs.surprises(), self._clock())
        if self.runs.ended and isinstance(self.screen, LeaveDialog):
            # It speaks of a run that goes on, and offers what no longer can be done.
            self.screen.dismiss(None)
        if self.runs.refusal is not None:
            self.exit("refused")
        elif self.runs.leaving and self.runs.ended:
            self.exit(self.runs.leaving)
        else:
            due = self._pace.due(self.runs.states, time.monotonic())
            if answered or due:
                self.paint(slow=answered or due == "all")

    def _look_at_the_wheel(self) -> bool:
        """Take in who steers; True where that has changed."""
        before, wheel = self._steering, self._wheel
        if wheel is not None:
            self._steering = Steering.of(wheel)
            if words := passed(before, self._steering, self._key("wheel")):
                (self.session.answer if self._steering.ours else self.session.refuse)(words)
        if before is not None and self._steering is not None and before.ours and self._steering.theirs:
            self._toasts.add(wheel_taken(self._steering.holder), self._clock())
        return self._steering != before

    def _look_at_the_replay(self) -> bool:
        """Take in whether it plays and how fast; True where that has changed."""
        before = self._playing
        self._playing = None if self._replay is None else self._replay.playing
        return self._playing != before

    def _look_at_the_fork(self) -> bool:
        """Say what became of a fork that was asked for; True when it is said."""
        answer = None if self._forking is None else self._forking.answer
        if answer is None:
            return False
        self._forking = None
        if answer.run:
            self.session.answer(forked_words(answer.run, self.session.state))
        else:
            self.session.refuse(f"no fork: {answer.refusal}")
        return True

    def _look_at_the_answer(self) -> bool:
        """Take in how the answer to a text stands, at the pace of data; True where it is to be painted."""
        asking, now = self._asking, time.monotonic()
        before, gone = asking.answering, self._steering is not None and not self._steering.lives
        told = asking.forget_process() if gone else asking.look()
        ended = before and not asking.answering
        if ended and asking.answer is not None and asking.answer.refusal:
            self.session.refuse(asking.answer.refusal)
        elif ended:
            self.session.answer(asking.outcome)
        if not ended and now - self._asking_painted < self._options.seconds_between_paints() - 0.01:
            # What is not painted now is told anew the next time.
            asking.unseen |= told
            return False
        told, asking.unseen = told or asking.unseen, False
        self._asking_painted = now if told else self._asking_painted
        return told and isinstance(self.page, TryIt)

    def _await_answer(self) -> None:
        """Look often for the answer to a command, so that it is on the screen at once."""
        if self.runs.poll():
            self.paint()
        if self.session.asking:
            self.set_timer(ANSWER_POLL_SECONDS, self._await_answer)

    def paint(self, *, slow: bool = True) -> None:
        """Draw the page, the dialog over it, and what stands outside the screen."""
        view = self.view(slow=slow)
        self.page.paint(view)
        if isinstance(self.screen, Dialog) and self.screen.is_mounted:
            self.screen.paint(view)
        if slow:
            self._pace.painted(self.runs.states, time.monotonic())
            self._tell_outside(view)

    def view(self, *, slow: bool = True) -> View:
        """Gather what the parts of the screen draw from."""
        session = self.session
        return View(
            state=session.state,
            now=self._clock(),
            look=self.look,
            layout=self.page.layout_for(session.state),
            order=session.shown,
            arrangement=session.arrangement,
            run_order=self.runs.order,
            open_field=self.page.field,
            x_axis=self.page.x_axis,
            toasts=self._toasts.standing(self._clock()),
            selected=session.selected,
            said=session.said,
            focused=self.page.focused_pane,
            run=self._options.run,
            runs_folder=self._options.runs_folder,
            model=self._options.model,
            configuration=self._options.configuration,
            leaving=self.runs.leaving,
            slow=slow,
            runs=self.runs.shown,
            place=self.runs.place,
            page=self.page.NAME,
            wheel=self._steering,
            replay=None if self._replay is None else self._replay.playing,
            keymap=self._remapped,
            arriving=session.arriving,
        )

    def action_act(self, name: str, argument: str = "") -> None:
        """Let an action of the registry act, or say why it cannot."""
        action, session = ACTIONS[name], self.session
        reason = action.reason(replace(self.view().situation, direction=argument))
        if reason is not None and argument != "interrupt":
            session.refuse(reason)
        elif action.command is not None and isinstance(session, ReplaySession):
            session.play(name, argument)
        elif name == "pause" and session.state.over:
            self.exit("resume")
        elif action.command is not None:
            session.send(action, argument)
            self._await_answer()
        elif name in self.page.verbs():
            self.page.verbs()[name](argument)
        elif name in PAGES:
            self._turn_to(PAGES[name])
        elif name in DIALOGS:
            self.push_screen(DIALOGS[name](self.view()), self._send)
        else:
            {
                "open": self._open,
                "flip": self._flip,
                "fork": self._fork,
                "try": self._try,
                "command": self._open_commands,
                "copy": self._copy,
                "wheel": self._ask_for_the_wheel,
                "back": self._back,
                "leave": self._leave,
            }[name](argument)
        self.paint()

    def _turn_to(self, kind: type[Page]) -> None:
        """Open a page over the one in sight; its own key goes back as esc does."""
        if isinstance(self.page, kind):
            self._back("")
        elif any(isinstance(page, kind) for page in self._pages):
            while not isinstance(self.page, kind):
                self._leave_page()
        else:
            self._pages.append(kind(self.look, self.runs))
            self.page.hold(self._remapped)
            self.push_screen(self.page)

    def _leave_page(self) -> None:
        self._pages.pop()
        self.pop_screen()

    def _back(self, argument: str) -> None:
        if self._toasts.clear() or self.page.back():
            return
        if len(self._pages) > 1:
            self._leave_page()
        else:
            self.session.refuse(f"nothing to leave here: {self._key('leave')} leaves the console")

    def _send(self, asked: Sends | Each | None) -> None:
        """Send what a dialog asks the run for."""
        if isinstance(asked, Each):
            self.session.ask_each(asked)
            self._await_answer()
        elif asked is not None:
            self.session.ask((asked.command, *asked.further), asked.words)
            self._await_answer()
        self.paint()

    def _open(self, argument: str) -> None:
        """Open the selected organization; where runs are compared, the run that was chosen."""
        if isinstance(self.page, Compare):
            self._leave_page()
            self._say_which()
        else:
            self._turn_to(OneOrganization)

    def on_dialog_asks(self, message: Dialog.Asks) -> None:
        """Send what a dialog asks the run for while it stays open."""
        self._send(message.asked)

    def _flip(self, direction: str) -> None:
        self.runs.show(self.runs.place + (1 if direction == "next" else -1))
        if self.page is self.overview:
            self._say_which()

    def _say_which(self) -> None:
        self.session.answer(f"{self.session.label} is shown, {self.runs.place + 1} of {len(self.runs.sessions)}")

    def _copy(self, what: str) -> None:
        """Take along what is selected as text, or the whole screen as a picture."""
        if not self.page.MAY_BE_KEPT:
            self.session.refuse("what is tried stays in this console: no file of it is written")
            return
        started = self.session.state.started
        folder = started.folder if started is not None and self._replay is None else ""
        place = place_for(folder, self._options.runs_folder)
        if what == "picture":
            outcome = keep_picture(self.export_screenshot(), place)
        else:
            text = self.screen.words if isinstance(self.screen, Dialog) else self.page.selection(self.view())
            outcome = copy(text, place, lambda sequence: self._driver.write(sequence) if self._driver else None)
        (self.session.answer if outcome.done else self.session.refuse)(outcome.words)

    def _fork(self, argument: str) -> None:
        if self._fork_beside is None:
            self.session.refuse("a run in the console's own process has no fork beside it: fedlora-tui fork RUN")
        elif self._forking is not None:
            self.session.refuse("a fork is being started already")
        else:
            self.push_screen(ForkDialog(self.view()), self._fork_chosen)

    def _fork_chosen(self, asked: ForkAsked | None) -> None:
        started = self.session.state.started
        if asked is not None and self._fork_beside is not None and started is not None:
            self.session.say(self.look.glyphs.none, "quiet", f"forking round {asked.round}{self.look.glyphs.ellipsis}")
            self._forking = Forking(self._fork_beside, started.run, asked.round, asked.changes)
        self.paint()

    def _try(self, argument: str) -> None:
        if isinstance(self.page, TryIt):
            self._back(argument)
        elif getattr(self.session.handle, "tries", None) is None:
            self.session.refuse("there is no model behind this console")
        else:
            self._pages.append(TryIt(self.look, self.runs, self._asking, self._ask))
            self.page.hold(self._remapped)
            self.push_screen(self.page)

    def _ask(self) -> None:
        """Ask the models of the run in front to go on with the text, or say why that cannot be."""
        asking, session = self._asking, self.session
        reason = ACTIONS["try"].reason(self.view().situation)
        if reason is None and not asking.text.strip():
            reason = "write how a text begins first"
        if reason is not None:
            session.refuse(reason)
        else:
            models = asking.ask(session.handle.tries)  # type: ignore[attr-defined]
            session.answer(f"answering with {models} models; esc stops")

    def _open_commands(self, argument: str) -> None:
        dialog = CommandDialog(self.view(), self._typed)
        self.push_screen(dialog, lambda asked: self._command_given(dialog.typed, asked))

    def _command_given(self, typed: str, asked: Read | None) -> None:
        """Do what was typed into the box of commands."""
        if asked is not None and typed not in self._typed[-1:]:
            self._typed.append(typed)
        if isinstance(asked, Ask):
            self.session.ask(asked.commands, asked.words)
            self._await_answer()
        elif isinstance(asked, LookCommand):
            self._look_otherwise(asked)
        elif isinstance(asked, Act) and asked.action == "leave" and self._leaves_at_once:
            self.session.refuse(f"{self._key('leave')} leaves: a command never does")
        elif isinstance(asked, Act):
            self.action_act(asked.action, asked.direction)
        self.paint()

    def _look_otherwise(self, asked: LookCommand) -> None:
        """Change the colours, or how often steps and states are painted."""
        if asked.setting == "hz":
            self._options = replace(self._options, refresh_hz=asked.hz or None)
            self._pace.seconds = self._options.seconds_between_paints()
            self._pace.allowance = self._options.allowance()
            self.session.answer(f"painted {1 / self._pace.seconds:g} times a second")
            return
        self._options = replace(self._options, theme=asked.theme)
        self.look = self.look.in_theme(asked.theme)
        if self.look.colours > FEW_COLOURS:
            self.register_theme(theme_of(self.look, name := f"{THEME}-{asked.theme}"))
            self.theme = name
        for page in self._pages:
            page.wear(self.look)
        self.session.answer(f"{asked.theme} colours")

    def _ask_for_the_wheel(self, argument: str) -> None:
        """Ask who steers for the wheel; who steers and is asked keeps it by the same key."""
        if self._wheel is not None and self._steering is not None:
            keeps = self._steering.ours
            self._wheel.wheel("keep" if keeps else "ask")
            words = "you keep the wheel" if keeps else f"asked {self._steering.holder} for the wheel"
            self.session.answer(words)

    @property
    def _leaves_at_once(self) -> bool:
        """True where nothing is asked before the console is left."""
        watches = self._steering is not None and not self._steering.ours
        return self.runs.ended or self._replay is not None or watches

    def _leave(self, argument: str) -> None:
        """Leave at once when nothing runs; ask when something does; a second ctrl+c stops, one more pair gives up."""
        now = time.monotonic()
        twice = argument == "interrupt" and now - self._interrupted_at < TWICE_SECONDS
        self._interrupted_at = now if argument == "interrupt" and not twice else -1e9
        if self.runs.ended or self._replay is not None:
            self.exit("over")
        elif self._steering is not None and not self._steering.ours:
            self.exit("detached")
        elif self.runs.leaving == "stop":
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

    def _key(self, name: str) -> str:
        """Give the key of an action that is in force, for a sentence that names it."""
        return key_of(name, self._remapped)

    @property
    def _stays_in_front(self) -> str:
        """What is said of the key that would put the console behind the shell."""
        leaves = "leaves the replay" if self._replay is not None else "then d leaves it running"
        return f"ctrl+z does nothing here: {self._key('leave')} {leaves}"

    def _close_dialog(self) -> None:
        if isinstance(self.screen, Dialog):
            self.pop_screen()

    def hang_up(self) -> None:
        """The terminal is gone: leave, and let the runs go on."""
        self.exit("detached")

    def _leave_chosen(self, choice: Choice) -> None:
        if choice == DETACH:
            self.exit("detached")
        elif isinstance(choice, Finish | Stop) and not self.runs.ended:
            self.runs.leave_by(choice)
            self._await_answer()
        self.paint()

    def on_page_needs_paint(self) -> None:
        """Paint in the new size, or with the new focus."""
        # At the end screens are taken away one by one, and the last one is resumed when there is nothing to draw on.
        if self.screen_stack:
            self.paint()

    def on_key(self, event: events.Key) -> None:
        """Hand a key to the dialog that is open, and answer one that does nothing.

        All keys pass here in the order in which they were typed, whichever screen was open when they came.
        """
        if event.key == "ctrl+z":
            self.session.refuse(self._stays_in_front)
            self.paint()
        elif isinstance(self.screen, Dialog):
            event.prevent_default()
            dialog = self.screen
            copied = ACTIONS["copy"].keys_in(self._remapped).get(event.key)
            if dialog.takes_letters:
                dialog.press(event)
            elif copied is not None:
                self._copy(copied)
                self.paint()
            elif event.key in ACTIONS["leave"].keys_in(self._remapped) and "leave" not in dialog.CLOSED_BY:
                self.action_act("leave")
            elif event.key in ACTIONS["wheel"].keys_in(self._remapped) and self._steering and self._steering.asked:
                self.action_act("wheel")
            else:
                dialog.press(event)
        elif self.page.press(event):
            event.prevent_default()
            self.paint()
        elif event.key not in keys_on(self.page.NAME, self._remapped):
            self.session.refuse(f"{name_of(event)} does nothing here: {self._key('help')} lists the keys")
            self.paint()

    def on_organization_table_pointed(self, message: OrganizationTable.Pointed) -> None:
        """Select what was pointed at."""
        if message.index is None:
            self.session.move(message.direction, 1)
        else:
            self.session.select(message.index)
        self.paint()

    def on_runs_list_chosen(self, message: RunsList.Chosen) -> None:
        """Leave for another run; those that are shown go on without this console, or are over."""
        if self.runs.leaving and not self.runs.ended:
            self.session.refuse("the runs are being ended: wait for that, or ctrl+c twice")
            self.paint()
        else:
            self.goes_to = message.how, message.run
            self.exit("other")

    def on_run_table_pointed(self, message: RunTable.Pointed) -> None:
        """Put the run in front that was pointed at."""
        if message.index is None:
            self.runs.move(message.direction, 1)
        elif message.index < len(self.runs.sessions):
            self.runs.point(message.index)
        self.paint()

    def _tell_outside(self, view: View) -> None:
        """Write the terminal's title; ring once when all runs are over, one failed, or they paused by themselves."""
        sequence = self._outside.title_sequence(view)
        if sequence and self._driver is not None and not self.is_headless:
            self._driver.write(sequence)
        if self._outside.calls(self.runs.calls) and self._options.bell and self._replay is None:
            self.bell()

    def get_default_screen(self) -> Screen[None]:
        """Give the overview: everything else lies over it."""
        return self.overview
