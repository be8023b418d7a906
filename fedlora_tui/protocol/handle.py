"""How a face holds a run: it drains records and sends commands, and never learns what is behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fedlora_tui.protocol.commands import Command
from fedlora_tui.protocol.events import Record


class RunHandle(Protocol):
    """A run that goes on somewhere else: in a thread of this process, in another process, or in a journal."""

    def start(self) -> None:
        """Let the run begin. A face calls it after its first frame, for the heavy imports come with it."""

    def drain(self) -> Sequence[Record]:
        """Give the records that came since the last call, oldest first, and never wait."""

    def send(self, command: Command) -> None:
        """Hand a command over without waiting; the answer comes as a record."""

    @property
    def over(self) -> bool:
        """True once the run has ended, well or badly, and no further record will come."""

    @property
    def refusal(self) -> str | None:
        """The one line that says why the run could not begin (bad data, no such model), else None."""


class RacerHandle(RunHandle, Protocol):
    """A run that may go beside others of the same federation; `label` says what tells it from them, else it is empty.

    What is sent to one acts on all, but exports, and any of them starts all.
    """

    label: str


class Wheel(Protocol):
    """Who of several consoles steers the runs."""

    @property
    def may_steer(self) -> bool:
        """True where what is asked here is done."""

    @property
    def only_watches(self) -> bool:
        """True for a console that never steers."""

    @property
    def holder(self) -> str:
        """Who steers, empty where nobody does."""

    @property
    def asked_by(self) -> str:
        """Who asks for the wheel now, empty where nobody does."""

    @property
    def asks(self) -> bool:
        """True where that is this console."""

    @property
    def alone(self) -> bool:
        """True where no other console watches."""

    @property
    def process(self) -> int:
        """The number of the process that the runs are in."""

    @property
    def lives(self) -> bool:
        """True where that process is there."""

    @property
    def seconds_to_refuse(self) -> float:
        """How long the one who steers may still refuse."""

    def wheel(self, word: str) -> None:
        """Say `ask`, `keep` or `give` about the wheel."""


@dataclass(frozen=True)
class Forked:
    """The id of a run that has begun as a fork, or the one line that says why there is none."""

    run: str = ""
    refusal: str = ""


@dataclass(frozen=True)
class ListedRun:
    """One run in the list of all: losses are those of its last finished round, times are seconds since the epoch.

    `state` is starting, running or paused while a process writes it; else done, stopped, failed, stale where its
    process ended without a word, or unreadable (`note` says why).
    """

    id: str
    name: str
    state: str
    round: int = 0
    rounds: int = 0
    train_loss: float | None = None
    eval_loss: float | None = None
    base_loss: float | None = None
    started: float | None = None
    last: float | None = None
    parent: str = ""
    parent_round: int | None = None
    note: str = ""


class ListRuns(Protocol):
    """Lists the runs of a folder, the newest first; `place` names the folder."""

    place: str

    def __call__(self) -> Sequence[ListedRun]:
        """Read the list; that may take a while."""


class Fork(Protocol):
    """Starts a run of its own, in another process, with a finished round of one that is shown."""

    def __call__(self, run: str, round: int, changes: Sequence[str]) -> Forked:
        """Start it with changes like `lora.rank=8`; it takes seconds until it has begun."""
