"""All that a part of the screen needs to draw itself, gathered for one paint."""

from __future__ import annotations

from dataclasses import dataclass, field

from fedlora_tui.console.actions.action import Situation
from fedlora_tui.console.actions.key_names import key_of
from fedlora_tui.console.actions.keymap import USUAL, Keymap
from fedlora_tui.console.arrangement import Arrangement
from fedlora_tui.console.layout import Layout
from fedlora_tui.console.look import Look
from fedlora_tui.console.replaying import Playing
from fedlora_tui.console.run_order import RunOrder
from fedlora_tui.console.toasts import Toast
from fedlora_tui.protocol.handle import Wheel
from fedlora_tui.protocol.state import RunState

STALE_SECONDS = 10.0
OF_ORGANIZATIONS = ("overview", "organization")
"""The pages on which an organization is selected."""


@dataclass(frozen=True)
class Said:
    """What the answer row says: its sign, the sign's style, when, and the words; `hints` are actions good now."""

    sign: str
    style: str
    t: float
    words: str
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """A field that is open on the answer row: its sign, what was typed, the caret, and what there is to say of it."""

    sign: str
    typed: str
    caret: int
    note: str = ""
    bad: bool = False


@dataclass(frozen=True)
class OneRun:
    """One of the runs that the console has: what tells it from the others (empty where it is alone), how it stands."""

    label: str
    state: RunState


@dataclass(frozen=True)
class Steering:
    """Who steers the runs: this console (`ours`), or the `holder`; who asks for the wheel, and for how long still.

    `asks` is True where this one does.
    `alone` is True where no other console watches, `readonly` where this one never steers. `process` is
    the runs' own, and `lives` where it is there.
    """

    ours: bool = True
    holder: str = ""
    asked_by: str = ""
    asks: bool = False
    seconds: float = 0.0
    alone: bool = True
    readonly: bool = False
    process: int = 0
    lives: bool = True

    @classmethod
    def of(cls, wheel: Wheel) -> Steering:
        """Take down how the wheel stands now."""
        return cls(
            ours=wheel.may_steer,
            holder=wheel.holder,
            asked_by=wheel.asked_by,
            asks=wheel.asks,
            seconds=float(round(wheel.seconds_to_refuse)),
            alone=wheel.alone,
            readonly=wheel.only_watches,
            process=wheel.process,
            lives=wheel.lives,
        )

    @property
    def asked(self) -> bool:
        """True where another asks this console for the wheel."""
        return self.ours and bool(self.asked_by)

    def watching(self, keymap: Keymap = USUAL) -> str:
        """Say why this console changes nothing, empty where it does."""
        if self.readonly:
            return "this console only watches (--readonly)"
        return "" if self.ours else f"{self.holder} steers: {key_of('wheel', keymap)} takes the wheel"

    @property
    def theirs(self) -> bool:
        """True where another steers who is there."""
        return not self.ours and self.lives and bool(self.holder)

    @property
    def standing(self) -> str:
        """Give how the wheel stands, in the registry's word."""
        if self.readonly:
            return "readonly"
        if not self.ours:
            return "theirs"
        return "asked" if self.asked_by else "alone" if self.alone else "ours"


@dataclass(frozen=True)
class View:
    """The run and what the console adds to it; `slow` is False when only steps and states are to be drawn anew.

    `leaving` is empty, `finish` or `stop`. `runs` are all runs of a race, `place` is that of the run in front, whose
    state is `state`; `runs_folder` is where their folders stand. `page` is the screen that is shown. `wheel` is who
    steers, where several consoles can. `replay` is how a replay stands; `now` is then the time in the recording.
    `order` are the organizations whose rows are shown, as `arrangement` wants them, and `run_order` is that of the
    runs. `open_field` stands on the answer row, and `x_axis` is what the page's chart goes by. `arriving` tells, while
    the history of a run that was attached to is still coming, how many of its records are here, of how many.
    """

    state: RunState
    now: float
    look: Look
    layout: Layout
    order: tuple[str, ...] = ()
    selected: str | None = None
    said: Said | None = None
    focused: str = "table"
    run: str = ""
    runs_folder: str = ""
    model: str = ""
    configuration: str = "config.toml"
    leaving: str = ""
    slow: bool = True
    runs: tuple[OneRun, ...] = ()
    place: int = 0
    page: str = "overview"
    wheel: Steering | None = None
    replay: Playing | None = None
    keymap: Keymap = USUAL
    arrangement: Arrangement = field(default_factory=Arrangement)
    run_order: RunOrder = field(default_factory=RunOrder)
    open_field: Field | None = None
    x_axis: str = ""
    toasts: tuple[Toast, ...] = ()
    arriving: tuple[int, int] | None = None

    def key(self, name: str, direction: str = "") -> str:
        """Give the key of an action that is in force, for a sentence that names it."""
        return key_of(name, self.keymap, direction)

    @property
    def situation(self) -> Situation:
        """What the registry of actions judges by."""
        selected = self.selected if self.page in OF_ORGANIZATIONS else None
        return Situation(
            self.state,
            selected,
            self.leaving == "stop",
            runs=len(self.runs),
            page=self.page,
            watching="" if self.wheel is None else self.wheel.watching(self.keymap),
            wheel="alone" if self.wheel is None else self.wheel.standing,
            apart=self.wheel is not None,
            replay=self.replay,
            gone=self.wheel is not None and not self.wheel.lives,
            keymap=self.keymap,
            marked=self.marked,
        )

    @property
    def marked(self) -> tuple[str, ...]:
        """The organizations that an action for several takes here."""
        if self.page != "overview":
            return ()
        return tuple(name for name in self.state.organizations if name in self.arrangement.marked)

    @property
    def silent_for(self) -> float | None:
        """For how many seconds a run at work in another process has said nothing, None where that is not long.

        At work it looks at the machine once a second.
        """
        silent = self.now - self.state.t
        at_work = self.state.phase in ("running", "pausing", "finishing")
        told = self.wheel is not None and self.arriving is None
        return silent if told and at_work and silent >= STALE_SECONDS else None

    @property
    def racing(self) -> bool:
        """True where the run in front has others beside it."""
        return len(self.runs) > 1

    @property
    def label(self) -> str:
        """What tells the run in front from the others, empty where it is alone."""
        return self.runs[self.place].label if self.runs else ""

    @property
    def others(self) -> list[OneRun]:
        """The runs beside the one in front."""
        return [run for place, run in enumerate(self.runs) if place != self.place]

    @property
    def going(self) -> RunState:
        """How the run in front stands, or where that is over, the first one that still goes on."""
        return next((run.state for run in self.runs if self.state.over and not run.state.over), self.state)
