"""The console opened on a scripted run, at a fixed time, for tests that press keys."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from textual.pilot import Pilot

from fedlora_tui.console.app import ConsoleApp
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.widgets.lines import Lines
from fedlora_tui.protocol.handle import Forked, ListedRun
from tests.flows.scripted_run import SHOWN_AT, HandClock, ScriptedRace, ScriptedRun

UTF8 = {"LANG": "C.UTF-8", "TERM": "xterm-256color"}

PATIENCE = 60.0
"""Seconds after which what is waited for is thought never to come."""


LISTED = (
    ListedRun("1122-1402", "1402", "running", 6, 20, 2.868, 2.905, 3.412, SHOWN_AT - 62, SHOWN_AT),
    ListedRun("1122-1355-k7", "k7", "paused", 3, 20, 3.016, 3.046, 3.412, SHOWN_AT - 500, SHOWN_AT - 60),
    ListedRun("1122-f3", "f3", "failed", 12, 20, 2.7, 2.712, 3.412, SHOWN_AT - 4000, SHOWN_AT - 3000, "1122-1402", 3),
    ListedRun("1121-1750", "1750", "done", 20, 20, 2.82, 2.849, 3.412, SHOWN_AT - 74000, SHOWN_AT - 73822),
    ListedRun("1121-1300", "1300", "stale", 2, 20, 3.1, 3.118, 3.412, SHOWN_AT - 91000, SHOWN_AT - 90900),
    ListedRun("1120-0900", "0900", "unreadable", note="events.jsonl: a line is no event"),
)
"""Runs of a folder, one in each state."""


@dataclass
class ScriptedWheel:
    """Who steers, as a test wants it, and what the console said about it."""

    may_steer: bool = True
    only_watches: bool = False
    holder: str = "you"
    asked_by: str = ""
    asks: bool = False
    alone: bool = True
    seconds_to_refuse: float = 0.0
    process: int = 4711
    lives: bool = True
    words: list[str] = field(default_factory=list)

    def wheel(self, word: str) -> None:
        """Keep what was said."""
        self.words.append(word)


@dataclass
class ScriptedFork:
    """Starts nothing, keeps what was asked for, and answers when the test lets it."""

    answer: Forked = field(default_factory=lambda: Forked(run="1122-1403-new"))
    asked: list[tuple[str, int, tuple[str, ...]]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __call__(self, run: str, round: int, changes: Sequence[str]) -> Forked:
        """Take down what was asked for."""
        self.asked.append((run, round, tuple(changes)))
        assert self.may_answer.wait(PATIENCE)
        return self.answer


@dataclass
class ScriptedRuns:
    """A list of runs as a test wants it; it is read when the test lets it."""

    runs: Sequence[ListedRun] = LISTED
    place: str = "runs"
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()

    def __call__(self) -> Sequence[ListedRun]:
        """Give the list."""
        assert self.may_answer.wait(PATIENCE)
        return self.runs


def console_on(
    *runs: ScriptedRun,
    clock: HandClock,
    wheel: ScriptedWheel | None = None,
    fork: ScriptedFork | None = None,
    others: ScriptedRuns | None = None,
    terminal: Mapping[str, str] = UTF8,
    **options: Any,
) -> ConsoleApp:
    """Make a console that looks the same on every machine, on a terminal that its environment describes."""
    chosen = ConsoleOptions(**{"model": "gpt2", "bell": False, **options})
    look = look_for(chosen, terminal, "utf-8")
    return ConsoleApp(runs, chosen, wheel=wheel, fork=fork, others=others, clock=clock, look=look)


@dataclass
class Opened:
    """A console under a pilot, with its run (of a race the first one), its clock and all runs of the race."""

    app: ConsoleApp
    pilot: Pilot[str]
    run: ScriptedRun
    clock: HandClock
    racers: tuple[ScriptedRun, ...] = ()

    async def press(self, *keys: str) -> None:
        """Press keys and let what they ask for arrive."""
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause(0.06)

    async def at(self, t: float) -> None:
        """Move the clock's hand and let the console take in what happened."""
        self.clock.now = t
        await self.until(lambda: not self.run.started or self.app.session.state.t >= t - 1 or self.run.over)
        self.app.runs.poll()
        self.app.paint()
        await self.pilot.pause()

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something holds, and fail when it does not."""
        for _ in range(int(seconds / 0.02)):
            if condition():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"not within {seconds} s; the answer row says {self.said!r}")

    @property
    def said(self) -> str:
        """The words of the answer row."""
        return self.app.session.said.words if self.app.session.said else ""

    def text(self, part: str) -> str:
        """What a part of the screen shows."""
        lower = self.app.page
        return (self.app.screen if part == "dialog" else lower).query_one(f"#{part}", Lines).text


@asynccontextmanager
async def opened(
    size: tuple[int, int] = (80, 24),
    at: float = SHOWN_AT,
    options: dict[str, Any] | None = None,
    race: Mapping[str, float | dict[str, Any]] | None = None,
    wheel: ScriptedWheel | None = None,
    fork: ScriptedFork | None = None,
    others: ScriptedRuns | None = None,
    **script: Any,
) -> AsyncIterator[Opened]:
    """Open the console on a scripted run or a race, at the moment of the drawn screens unless told otherwise."""
    clock = HandClock(at)
    racers = ScriptedRace(clock, race, **script).racers if race else [ScriptedRun(clock, **script)]
    app = console_on(*racers, clock=clock, wheel=wheel, fork=fork, others=others, **(options or {}))
    async with app.run_test(size=size) as pilot:
        console = Opened(app, pilot, racers[0], clock, tuple(racers))
        await console.until(lambda: racers[0].started and (app.session.state.seq > 0 or not app.is_running))
        app.runs.poll()
        app.paint()
        await pilot.pause(0.05)
        yield console
