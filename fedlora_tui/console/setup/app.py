"""The application of the setup screen: it hands keys to the fields, asks the adviser, writes once, and leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType

from fedlora_tui.console.layout import arrange
from fedlora_tui.console.look import Look, look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.pressed import name_of
from fedlora_tui.console.screens.dialog import Dialog
from fedlora_tui.console.setup.drawing import Setup, draw
from fedlora_tui.console.setup.fields import Fields
from fedlora_tui.console.setup.offer import EMBEDDED, FIELDS, READ, UNPROTECTED, Adviser, Chosen, Found, Judged, Offer
from fedlora_tui.console.setup.overwrite import OverwriteDialog
from fedlora_tui.console.theme import FEW_COLOURS, THEME, theme_of
from fedlora_tui.console.view import Said, View
from fedlora_tui.console.widgets.lines import Lines
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.state import RunState

WRITTEN, LEFT, INTERRUPTED = "written", "left", "interrupted"
LOOK_SECONDS = 0.1
"""How often it is looked whether the adviser has told something."""


class SetupApp(App[str], inherit_bindings=False):
    """The setup screen; its value says how it was left: written, left or interrupted."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    CSS_PATH = "../console.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "leave('left')", show=False, priority=True),
        Binding("ctrl+c", "leave('interrupted')", show=False, priority=True),
    ]

    def __init__(
        self,
        offer: Offer,
        adviser: Adviser,
        options: ConsoleOptions | None = None,
        *,
        clock: Callable[[], float] = time.time,
        look: Look | None = None,
    ) -> None:
        """`look` and `clock` are the terminal's own, but in tests."""
        self.look = look or look_for(options or ConsoleOptions())
        super().__init__(ansi_color=self.look.colours <= FEW_COLOURS)
        self.title = "fedlora-tui"
        self.fields = Fields(offer)
        self._offer = offer
        self._adviser = adviser
        self._clock = clock
        self._asked: Chosen | None = None
        self._judged: Judged | None = None
        self._lost = ""
        self._said: Said | None = None
        self._writes_when_known = False

    def compose(self) -> ComposeResult:
        """Give the one part, which fills the terminal."""
        yield Lines(self.look.palette, id="setup")

    def on_mount(self) -> None:
        """Put the colours on, and begin to look at what is here."""
        if self.look.colours <= FEW_COLOURS:
            self.theme = "ansi-dark"
        else:
            self.register_theme(theme_of(self.look))
            self.theme = THEME
        self.set_interval(LOOK_SECONDS, self._listen)
        self.paint()

    def on_resize(self, event: events.Resize) -> None:
        """Draw in the new size."""
        self.call_after_refresh(self.paint)

    @property
    def setup(self) -> Setup:
        """All that is drawn."""
        chosen = self.fields.chosen
        judged = self._judged if self._judged is not None and self._judged.chosen == chosen else None
        complaints = self._offer.complaints(chosen)
        return Setup(self._offer, self.fields, complaints, judged, self._lost, self._said)

    def paint(self) -> None:
        """Draw what changed, and the dialog over it."""
        self._ask()
        width, height = self.size
        for lines in self.screen_stack[0].query("#setup").results(Lines):
            lines.styles.height = height
            lines.show(draw(self.setup, width, height, self.look.glyphs))
        if isinstance(self.screen, Dialog):
            self.screen.paint(self._view())

    def on_key(self, event: events.Key) -> None:
        """Take a key, in the order in which they were typed."""
        event.prevent_default()
        if isinstance(self.screen, Dialog):
            self.screen.press(event)
            return
        if event.key == "escape":
            self.exit(LEFT)
        elif event.key == "enter":
            self._enter()
        else:
            self._press(event)
        self.paint()

    def on_paste(self, event: events.Paste) -> None:
        """Take what is pasted as if it was typed."""
        if not isinstance(self.screen, Dialog):
            self._take(" ".join(event.text.split()))
            self.paint()

    def action_leave(self, how: str) -> None:
        """Leave with nothing written."""
        self.exit(how)

    def _press(self, event: events.Key) -> None:
        character = event.character if event.is_printable and event.character else ""
        if event.key in ("down", "tab"):
            self.fields.move(1)
        elif event.key in ("up", "shift+tab"):
            self.fields.move(-1)
        elif self.fields.edit(event):
            self._changed("")
        elif event.key in ("left", "right"):
            self._changed(self.fields.turn(1 if event.key == "right" else -1))
        elif character:
            self._take(character)
        else:
            self._refuse(f"{name_of(event)} does nothing here")

    def _take(self, text: str) -> None:
        self._changed(self.fields.type(text))

    def _changed(self, reason: str) -> None:
        """Take back an answer that is about what stood there before, or say why nothing changed."""
        self._writes_when_known = False
        self._said = None
        if reason:
            self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        self._said = Said("!", "care_bold", self._clock(), reason)

    def _enter(self) -> None:
        """Write, or say what is in the way; where that is not known yet, write when it is."""
        setup = self.setup
        if wrong := next((name for name in FIELDS if setup.complaint(name)), ""):
            self._refuse(f"{self.fields.label(wrong)}: {setup.complaint(wrong)}")
        elif self._known(setup):
            self._write(over=False)
        else:
            self._writes_when_known = True
            what = setup.chosen.path or setup.chosen.base
            words = f"{what} is looked at first; then it is written"
            self._said = Said(self.look.glyphs.none, "quiet", self._clock(), words)

    def _known(self, setup: Setup) -> bool:
        """Tell whether all is known that could be in the way; an unprotected run of the embedded base has nothing."""
        chosen = setup.chosen
        plain = chosen.base == EMBEDDED and chosen.source not in READ and chosen.protection == UNPROTECTED
        return plain or bool(self._lost) or (setup.judged is not None and setup.judged.settled)

    def _write(self, *, over: bool) -> None:
        self._writes_when_known = False
        try:
            self._offer.write(self.fields.chosen, over)
        except FileExistsError:
            self.push_screen(OverwriteDialog(self._view(), self._offer.out), self._overwrite)
        except UserError as error:
            self._refuse(str(error))
        else:
            self.exit(WRITTEN)

    def _overwrite(self, wanted: bool | None) -> None:
        if wanted:
            self._write(over=True)
        else:
            self._said = Said(self.look.glyphs.none, "quiet", self._clock(), f"{self._offer.out} stays as it was")
        self.paint()

    def _ask(self) -> None:
        """Let what is chosen be looked at, unless the words alone are wrong or nobody looks."""
        chosen = self.fields.chosen
        if chosen != self._asked and not self._lost and not self._offer.complaints(chosen):
            self._asked = chosen
            self._adviser.ask(chosen)

    def _listen(self) -> None:
        """Take in what the adviser told, and write where that was waited for."""
        told = self._adviser.told()
        for one in told:
            if isinstance(one, Found):
                self.fields.found(one)
            elif isinstance(one, Judged):
                self._judged = one
            else:
                self._lost = one.reason
        if told and self._writes_when_known and self._known(self.setup):
            self._writes_when_known = False
            self._enter()
        if told:
            self.paint()

    def _view(self) -> View:
        """Give what dialogs are drawn from; there is no run."""
        return View(RunState(), self._clock(), self.look, arrange(*self.size))
