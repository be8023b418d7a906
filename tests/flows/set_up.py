"""The setup screen opened with a scripted adviser, at a fixed time, for tests that press keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from fedlora_tui.console.look import Look, look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.setup.app import SetupApp
from fedlora_tui.console.setup.offer import Choice, Chosen, Figures, Found, Judged, Lost
from fedlora_tui.console.widgets.lines import Lines
from fedlora_tui.init_command import offer, write
from tests.flows.opened import UTF8
from tests.flows.scripted_run import SHOWN_AT, HandClock

BASES = (
    Choice("embedded", "comes along"),
    Choice("./models/tiny", "folder, 12 MiB of weights"),
    Choice("gpt2", "in the hub cache, 523 MiB of weights"),
)
DEVICES = (
    Choice("auto", "one H100, 73.5 GiB free"),
    Choice("cpu", "processors, torch computes with 16 threads"),
    Choice("cuda:0", "one H100, 73.5 GiB free"),
)
FIGURES = Figures(
    *("cuda", 629_145_600, 248_879_616, 9_437_184, 2_147_483_648, 78_920_000_000, 131_072, 32_768),
    *(52_300_000_000_000, 6.4e14, 1.92e14, 5.6),
)
REMARKS = {"base": "124.4M parameters, 50,257 tokens", "rank": "adapters of 147,456 numbers, 0.12% of the base's"}


@dataclass
class ScriptedAdviser:
    """Tells what the test put there, and keeps what was asked."""

    asked: list[Chosen] = field(default_factory=list)
    waiting: list[Found | Judged | Lost] = field(default_factory=list)

    def ask(self, chosen: Chosen) -> None:
        """Take down what was asked for."""
        self.asked.append(chosen)

    def told(self) -> Sequence[Found | Judged | Lost]:
        """Give all that waits."""
        told, self.waiting = self.waiting, []
        return told


@dataclass
class SetUp:
    """A setup screen under a pilot, with its adviser and the file that it writes."""

    app: SetupApp
    pilot: Pilot[str]
    adviser: ScriptedAdviser
    out: Path

    async def press(self, *keys: str) -> None:
        """Press keys and let them be drawn."""
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause()

    async def tell(self, *told: Found | Judged | Lost) -> None:
        """Let the adviser tell something, and the screen take it in."""
        self.adviser.waiting += told
        self.app._listen()
        await self.pilot.pause()

    async def judge(self, **found: Any) -> None:
        """Let the adviser tell of what stands in the fields."""
        await self.tell(Judged(self.app.fields.chosen, **found))

    @property
    def text(self) -> str:
        """What the screen shows."""
        return self.app.screen_stack[0].query_one("#setup", Lines).text

    @property
    def dialog(self) -> str:
        """What the dialog shows."""
        return self.app.screen.query_one("#dialog", Lines).text

    @property
    def answer(self) -> str:
        """The words on the answer row."""
        return self.app._said.words if self.app._said is not None else ""


def setup_on(out: Path, adviser: ScriptedAdviser, look: Look | None = None, **options: Any) -> SetupApp:
    """Make a setup screen that looks the same on every machine, and calls its file config.toml."""
    chosen = ConsoleOptions(**options)
    given = replace(offer("config.toml"), write=partial(write, str(out)))
    look = look or look_for(chosen, UTF8, "utf-8")
    return SetupApp(given, adviser, chosen, clock=HandClock(SHOWN_AT), look=look)


@asynccontextmanager
async def set_up(folder: Path, size: tuple[int, int] = (120, 40), **options: Any) -> AsyncIterator[SetUp]:
    """Open a setup screen that writes into a folder."""
    adviser, out = ScriptedAdviser(), folder / "config.toml"
    app = setup_on(out, adviser, **options)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield SetUp(app, pilot, adviser, out)
