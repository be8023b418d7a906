"""The console opened on what was recorded, at the moments and with the keys that pictures and docs/screens.md show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from cells import Row, rows_of
from textual.pilot import Pilot

from fedlora_tui.console.app import ConsoleApp
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.player import Replay
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import Command
from fedlora_tui.protocol.events import Record, from_json
from fedlora_tui.protocol.handle import Forked, ListedRun
from fedlora_tui.protocol.state import RunState, fold
from fedlora_tui.protocol.trying import Answer, Question, answer_of

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "fedlora_tui" / "assets" / "demo" / "events.jsonl"
RECORDED = ROOT / "docs" / "pictures" / "recorded"
TERMINAL = {"LANG": "C.UTF-8", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
BETWEEN_SECONDS = 600.0
"""From the end of the race to the demo's beginning, in the list of runs."""

SIZES = {"compact": (80, 24), "normal": (120, 40)}

Moment = Callable[[ev.Event], bool]


def in_round(round: int, step: int) -> Moment:
    """Give the moment after the last organization made a local step of a round."""
    return lambda event: isinstance(event, ev.TrainStep) and (event.round, event.step) == (round, step)


def paused(event: ev.Event) -> bool:
    """Tell whether a pause began."""
    return isinstance(event, ev.RunPaused)


def reading(event: ev.Event) -> bool:
    """Tell whether the organizations' text is being read."""
    return isinstance(event, ev.Preparing) and (event.stage, event.state) == ("organizations", "working")


@dataclass(frozen=True)
class Scene:
    """What one screen shows: the last record of its moment is the last that came, and then keys are pressed.

    `of` is `run`, `start`, `race` or `replay`, which plays at a speed; `ready` tells when all stands there that is to
    be seen.
    """

    keys: Sequence[str] = ()
    until: Moment | None = None
    of: str = "run"
    speed: float = 1.0
    ready: Callable[[ConsoleApp], bool] = lambda app: True


SEVEN = in_round(7, 4)
"""A moment at which two changes wait for the next round."""

SCENES: dict[str, Scene] = {
    "start": Scene(until=reading, of="start"),
    "overview": Scene(["j", "j"], SEVEN),
    "paused": Scene(until=paused),
    "done": Scene(),
    "replay": Scene(
        ["space", *["right_square_bracket"] * 9],
        of="replay",
        ready=lambda app: app.session.state.round == 8,
    ),
    "organization": Scene(["j", "j", "enter"], SEVEN),
    "rounds": Scene(["r", "j", "j"], in_round(10, 4)),
    "log": Scene(["l"], in_round(10, 4)),
    "try": Scene(["t", "2", "enter"], paused, ready=lambda app: not app._asking.answering),
    "compare": Scene(["c", "j"], of="race"),
    "runs": Scene(["o", "j"], SEVEN, ready=lambda app: not app.runs.listing.reading),
    "tune": Scene(["comma", "right", "down", "down", *"5e-4"], SEVEN),
    "command": Scene(["colon", *"ra"], SEVEN),
    "add-by": Scene(["A", "right"], SEVEN),
    "faults": Scene(["j", "j", "j", "j", "x"], SEVEN),
    "drift": Scene(["b"], SEVEN),
    "export": Scene(["e"], SEVEN),
    "fork": Scene(["f", "tab", *"lora.rank=8"], SEVEN),
    "leave": Scene(["q"], SEVEN),
    "help": Scene(["question_mark"], SEVEN),
}


@dataclass
class Tried:
    """Answers every question with what was recorded."""

    recorded: Answer
    answer: Answer | None = None

    def ask(self, question: Question) -> None:
        """Give the whole answer at once."""
        self.answer = replace(self.recorded, number=question.number)

    def stop(self) -> None:
        """All is said already."""


@dataclass
class Recorded:
    """A run that has said what it will say, and still stands there."""

    records: Sequence[Record]
    label: str = ""
    tries: Tried | None = None
    over: bool = False
    refusal: str | None = None

    def start(self) -> None:
        """Nothing begins: all is said."""

    def drain(self) -> Sequence[Record]:
        """Give everything the first time, nothing after."""
        drained, self.records = self.records, ()
        return drained

    def send(self, command: Command) -> None:
        """Nobody is there to take it."""


@dataclass(frozen=True)
class Listed:
    """The list of all runs, as it would be read from their journals."""

    runs: Sequence[ListedRun]
    place: str = "runs"

    def __call__(self) -> Sequence[ListedRun]:
        """Give it."""
        return self.runs


class Alone:
    """The wheel of a run whose one console is this."""

    may_steer, only_watches, alone, lives = True, False, True, True
    holder, asked_by, asks = "you", "", False
    process, seconds_to_refuse = 1, 0.0

    def wheel(self, word: str) -> None:
        """Nobody else is there to hear it."""


def no_fork(run: str, round: int, changes: Sequence[str]) -> Forked:
    """Start nothing."""
    return Forked(refusal="no run of a picture forks")


@cache
def journal(file: Path) -> tuple[Record, ...]:
    """Read records as they were written down."""
    return tuple(from_json(line) for line in file.read_text(encoding="utf-8").splitlines())


def races() -> dict[str, Sequence[Record]]:
    """Give the recorded runs of the race by their labels, the lowest rank first, as if they were before the demo."""
    files = sorted((RECORDED / "race").glob("*.jsonl"), key=lambda file: int(file.stem.partition("-")[2]))
    found = {file.stem.replace("-", " "): journal(file) for file in files}
    later = max(records[-1].t for records in found.values()) + BETWEEN_SECONDS - journal(DEMO)[0].t
    return {label: [replace(one, t=one.t - later) for one in records] for label, records in found.items()}


async def shown(scene: Scene, sizes: Mapping[str, tuple[int, int]]) -> dict[str, list[Row]]:
    """Open the console on a scene, press its keys, and give what stands there at each size."""
    app = _console(scene)
    drawn = {}
    async with app.run_test(size=next(iter(sizes.values()))) as pilot:
        await _until(pilot, lambda: app.session.state.t > 0)
        for key in scene.keys:
            await pilot.press(key)
        await _until(pilot, lambda: scene.ready(app))
        for size, (width, height) in sizes.items():
            await pilot.resize_terminal(width, height)
            await pilot.pause(0.1)
            app.paint()
            await pilot.pause()
            drawn[size] = rows_of(app)
    return drawn


def _console(scene: Scene) -> ConsoleApp:
    options = ConsoleOptions(bell=False, runs_folder="runs", configuration="defaults")
    look = look_for(options, TERMINAL, "utf-8")
    if scene.of == "replay":
        return ConsoleApp([Replay(journal(DEMO), scene.speed)], options, look=look)
    handles = _handles(scene)
    last = max(handle.records[-1].t for handle in handles)
    others = Listed(_listed(handles[0].records, last))
    return ConsoleApp(handles, options, wheel=Alone(), fork=no_fork, others=others, clock=lambda: last, look=look)


def _handles(scene: Scene) -> list[Recorded]:
    if scene.of == "race":
        return [Recorded(records, label, over=True) for label, records in races().items()]
    records = journal(RECORDED / "start.jsonl" if scene.of == "start" else DEMO)
    if scene.until is not None:
        end = max(place for place, record in enumerate(records, 1) if scene.until(record.event))
        records = records[:end]
    tries = Tried(answer_of(json.loads((RECORDED / "tried.json").read_text(encoding="utf-8"))))
    return [Recorded(records, tries=tries, over=scene.until is None)]


def _listed(front: Sequence[Record], now: float) -> list[ListedRun]:
    """Give the line of the run in front, and those of the recorded race."""
    return [_line(records) for records in (front, *reversed(races().values()))]


def _line(records: Sequence[Record]) -> ListedRun:
    state = fold(RunState(), records)
    name = state.started.run if state.started is not None else ""
    newest = state.history[-1] if state.history else None
    return ListedRun(
        name,
        name,
        state.phase,
        newest.round if newest is not None else 0,
        state.rounds,
        newest.train_loss if newest is not None else None,
        newest.eval_loss if newest is not None else None,
        state.base_loss,
        records[0].t,
        records[-1].t,
    )


async def _until(pilot: Pilot[str], condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await pilot.pause(0.01)
    raise SystemExit("the console never showed what the scene waits for")


def captured(scene: Scene, sizes: Mapping[str, tuple[int, int]] = SIZES) -> dict[str, list[Row]]:
    """Do the same from outside of any loop."""
    return asyncio.run(shown(scene, sizes))
