"""`bench console`: what the console costs while a run trains, and how soon it shows what a key does.

Every run is `fedlora-tui` in a process of its own, on a pseudo-terminal of 120x40. Some are only watched: what is
written, what the console takes of a processor, and how long a round lasts against `fedlora-tui run`, which has no
console. In another one keys are pressed. Reading the screen takes time of its own, so a watched run's is not read.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from fedlora_tui.benchmarks.keys import ESCAPE, Stroke, Typist, percentile
from fedlora_tui.benchmarks.process import run_process
from fedlora_tui.benchmarks.pseudo_terminal import PseudoTerminal, pseudo_terminal, rate, share
from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.benchmarks.rounds import knowing
from fedlora_tui.benchmarks.ways import furthest, tolerance
from fedlora_tui.config import Config, to_toml
from fedlora_tui.console.pace import SETTLE_SECONDS
from fedlora_tui.engine import journal
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Event, Record

ROUNDS = 40
"""Rounds of a run where the configuration does not say."""

REST_SECONDS = 8.0
"""How long a run at rest is watched."""

START_SECONDS = 900.0
"""How long the start of a run, or one of its rounds, may take."""

POLL_SECONDS = 0.25
SEEN_SECONDS = 0.5
"""Within how long the console surely knows what the journal says: it looks ten times a second."""

LEAST_KEYS = 20
HEADINGS = {
    "name": "",
    "p50_ms": "key p50 ms",
    "p95_ms": "p95 ms",
    "max_ms": "max ms",
    "bytes_per_s": "bytes/s",
    "bytes_at_rest": "at rest",
    "cpu_busy": "cpu busy",
    "cpu_idle": "cpu idle",
    "round_seconds": "a round s",
    "alone_seconds": "without",
}

Say = Callable[[str], None]
ENDS = (ev.RunFinished, ev.RunStopped, ev.RunFailed)


@dataclass(frozen=True)
class Rest:
    """What a run at rest cost: bytes written, and the share of a processor that the console took."""

    size: int
    cpu: float | None


@dataclass(frozen=True)
class Watched:
    """A run that was watched: bytes a second and share of a processor while it trained, then its rest.

    `records` are its events, in order.
    """

    bytes_per_s: float
    cpu: float | None
    rest: Rest
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Typed:
    """A run in which keys were pressed: each key's answer, and the rest of its pause."""

    strokes: tuple[Stroke, ...]
    rest: Rest


@dataclass(frozen=True)
class Pair:
    """The same run with and without its console: seconds of the median round, the largest difference of losses."""

    console: float
    alone: float
    difference: float

    @property
    def slowdown(self) -> float:
        """How many times as long a round takes with the console."""
        return self.console / self.alone


@dataclass(frozen=True)
class Costs:
    """What was measured at one number of organizations; no pairs where only the console was looked at."""

    organizations: int
    watched: tuple[Watched, ...]
    typed: Typed
    pairs: tuple[Pair, ...] = ()


@dataclass
class ConsoleBench:
    """The benchmark: a configuration, numbers of organizations, repetitions of the smallest, whom to tell."""

    config: Config
    organizations: tuple[int, ...]
    repeats: int
    say: Say
    _load: tuple[float, ...] = field(default_factory=os.getloadavg)

    def report(self) -> Report:
        """Measure everything and lay it out. Raises UserError where a run fails, or the losses are not the same."""
        if not self.organizations or min(self.organizations) < 2:
            raise UserError("bench console: --organizations needs numbers from 2: a key moves from one to another")
        with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as folder:
            costs = [self._costs(number, Path(folder)) for number in sorted(self.organizations)]
        slowdown = statistics.median(pair.slowdown for pair in costs[0].pairs)
        rows = [row_of(own) for own in costs]
        return Report("console", rows, {"slowdown": slowdown}, self._notes(costs), headings=HEADINGS)

    def _costs(self, number: int, folder: Path) -> Costs:
        config, words = self._running(number), f"{number:,} organizations"
        repeats = self.repeats if number == min(self.organizations) else 0
        file = folder / f"{number}.toml"
        file.write_text(to_toml(config), encoding="utf-8")
        watched: list[Watched] = []
        alone: list[tuple[Record, ...]] = []
        for repeat in range(repeats or 1):
            turns: list[Callable[[Path], None]] = [lambda runs: watched.append(watch(file, runs))]
            if repeats:
                turns.append(lambda runs: alone.append(without_console(file, runs)))
            # Who begins changes: what the machine does more and more, or less and less, meets both.
            for turn in turns[:: 1 - 2 * (repeat % 2)]:
                face = "the console" if turn is turns[0] else "no console"
                self.say(f"{words}, {repeat + 1} of {repeats or 1}: {face}")
                with tempfile.TemporaryDirectory(dir=folder) as runs:
                    turn(Path(runs))
        self.say(f"{words}: keys")
        with tempfile.TemporaryDirectory(dir=folder) as runs:
            typed = type_keys(file, Path(runs), config.federation.seed)
        pairs = tuple(compared(own.records, other) for own, other in zip(watched, alone, strict=False))
        return Costs(number, tuple(watched), typed, pairs)

    def _running(self, number: int) -> Config:
        """Give the run at so many organizations, of which as many train as there are in the smallest one."""
        config = knowing(self.config, number, min(self.organizations))
        rounds = self.config.federation.rounds if "federation.rounds" in self.config.given else ROUNDS
        return replace(config, federation=replace(config.federation, rounds=rounds))

    def _notes(self, costs: Sequence[Costs]) -> list[str]:
        smallest, federation = costs[0], self._running(costs[0].organizations).federation
        ratios = ", ".join(f"{pair.slowdown:.3f}" for pair in smallest.pairs)
        keys = ", ".join(f"{len(own.typed.strokes):,} at {own.organizations:,} organizations" for own in costs)
        escapes = [stroke.seconds * 1000 for own in costs for stroke in own.typed.strokes if stroke.key == ESCAPE]
        escape = f"{statistics.median(escapes):.0f} ms" if escapes else "not pressed"
        furthest_off = max((pair.difference for pair in smallest.pairs), default=0.0)
        return [
            f"runs of {federation.rounds} rounds of {federation.local_steps} steps on a terminal of 120x40, "
            f"{smallest.organizations} organizations a round; load when it began: {self._load[0]:.2f}",
            f"key: from writing j, k, g, G or ? on the terminal to reading the first output that shows its answer "
            f"({keys}); esc ({escape}, median) is not counted: other keys begin with it, and Textual waits for more",
            "bytes/s, cpu busy: from the second round to the end, no key pressed; at rest: bytes, and cpu idle, in "
            f"{REST_SECONDS:g} s of a pause and of a finished run, the worse of the two",
            "cpu: share of one processor that the console's process took, without the run's own",
            f"slowdown: a round's seconds over those of fedlora-tui run, median of {len(smallest.pairs)} pairs "
            f"({ratios}) at {smallest.organizations} organizations, medians from the second round; "
            f"losses {furthest_off:.2g} apart at most",
        ]


def watch(file: Path, runs: Path) -> Watched:
    """Watch a run with its console, from its start to its end and some seconds of rest."""
    with _console(file, runs) as (terminal, followed):
        _until(terminal.read, followed, *ENDS)
        followed.check()
        rest = _rest(terminal, terminal.read)
        terminal.leave("q")
    records = tuple(followed.records)
    begin, end = training(records)
    return Watched(rate(terminal.written, begin, end), share(terminal.worked, begin, end), rest, records)


def without_console(file: Path, runs: Path) -> tuple[Record, ...]:
    """Go through the same run by `fedlora-tui run`; give its events."""
    run_process("fedlora-tui run", ["-m", "fedlora_tui", "run", *_arguments(file, runs)], watched=False)
    return tuple(record for folder in runs.iterdir() for record in journal.read(folder))


def type_keys(file: Path, runs: Path, seed: int) -> Typed:
    """Pause a run in its first round, let it rest, and press keys from then on until it ends."""
    with _console(file, runs) as (terminal, followed):
        typist = Typist(terminal, seed)
        _until(typist.read, followed, ev.TrainStep, *ENDS)
        typist.read(SEEN_SECONDS)
        terminal.press(" ")
        _until(typist.read, followed, ev.RunPaused, *ENDS)
        rest = _rest(terminal, typist.read)
        if not followed.ended:
            terminal.press(" ")
            typist.type_while(lambda: not followed.look().ended)
        followed.check()
        terminal.leave("q")
    return Typed(tuple(typist.strokes), rest)


class Followed:
    """A run's journal, read while it grows."""

    def __init__(self, runs: Path) -> None:
        self.records: list[Record] = []
        self._runs = runs
        self._read = 0

    @property
    def ended(self) -> bool:
        """True once the run is over."""
        return self.has(*ENDS)

    def has(self, *kinds: type[Event]) -> bool:
        """Tell whether something of these kinds happened."""
        return any(isinstance(record.event, kinds) for record in self.records)

    def look(self) -> Followed:
        """Read the lines that came since the last look."""
        for file in self._runs.glob(f"*/{journal.NAME}"):
            with file.open("rb") as lines:
                lines.seek(self._read)
                whole = lines.read().rpartition(b"\n")[0]
            if whole:
                self._read += len(whole) + 1
                self.records += [ev.from_json(line.decode()) for line in whole.split(b"\n")]
        return self

    def check(self) -> None:
        """Raise UserError unless the run ended as it should."""
        last = self.records[-1].event
        if not self.has(ev.RunFinished):
            raise UserError(f"fedlora-tui: the run ended as {last.type}: {getattr(last, 'reason', '')}")


@contextmanager
def _console(file: Path, runs: Path) -> Iterator[tuple[PseudoTerminal, Followed]]:
    # What a console that had to be ended leaves lying goes with the rest of the benchmark's files.
    temporary = {"TMPDIR": str(file.parent)}
    with pseudo_terminal("fedlora-tui", ["-m", "fedlora_tui", *_arguments(file, runs)], temporary) as terminal:
        yield terminal, Followed(runs)


def _arguments(file: Path, runs: Path) -> list[str]:
    return ["-c", str(file), "--runs-dir", str(runs)]


def _until(read: Callable[[float], object], followed: Followed, *kinds: type[Event]) -> None:
    """Read what the terminal is sent until the run tells something of these kinds."""
    end, told = time.monotonic() + START_SECONDS, 0
    while not followed.look().has(*kinds):
        if len(followed.records) > told:
            end, told = time.monotonic() + START_SECONDS, len(followed.records)
        elif time.monotonic() > end:
            raise UserError(f"fedlora-tui told nothing for {START_SECONDS:g} s")
        read(POLL_SECONDS)


def _rest(terminal: PseudoTerminal, read: Callable[[float], object]) -> Rest:
    """Watch a run that came to rest just now, once its last measurements are painted."""
    read(SETTLE_SECONDS + 1.5)
    begin, so_far = time.time(), len(terminal.written)
    read(REST_SECONDS)
    sizes = [piece.size for piece in terminal.written[so_far:]]
    return Rest(sum(sizes), share(terminal.worked, begin, time.time()))


def training(records: Sequence[Record]) -> tuple[float, float]:
    """Give when the second round (of one alone: the first) began and the last one ended, in seconds since 1970."""
    begins = [record.t for record in records if isinstance(record.event, ev.RoundStarted)]
    ends = [record.t for record in records if isinstance(record.event, ev.RoundFinished)]
    return begins[min(1, len(begins) - 1)], ends[-1]


def compared(console: Sequence[Record], alone: Sequence[Record]) -> Pair:
    """Set a run with its console against the same one without. Raises UserError where they reached other losses."""
    apart = furthest(losses(alone), losses(console))
    dtype = next(record.event.dtype for record in alone if isinstance(record.event, ev.RunStarted))
    allowed = tolerance(getattr(torch, dtype))
    if not apart <= allowed:
        raise UserError(
            f"bench console: with the console a run reached other losses than without ({apart:.2g} apart, "
            f"{allowed:g} allowed): they did not train the same"
        )
    return Pair(round_seconds(console), round_seconds(alone), apart)


def losses(records: Sequence[Record]) -> Mapping[str, float]:
    """Give every organization's losses, trained and measured, in each round."""
    found = {}
    for record in records:
        event = record.event
        if isinstance(event, ev.UpdateReceived | ev.OrgEvaluated):
            found[f"{event.type} {event.round} {event.org}"] = float("nan") if event.loss is None else event.loss
    return found


def round_seconds(records: Sequence[Record]) -> float:
    """Give the seconds of the median round from the second on: the first one loads what the others find."""
    seconds = [record.event.seconds for record in records if isinstance(record.event, ev.RoundFinished)]
    return statistics.median(seconds[1:] or seconds)


def row_of(costs: Costs) -> dict[str, Cell]:
    """Lay out what was measured at one number of organizations. Raises UserError where hardly a key was pressed."""
    seconds = [stroke.seconds * 1000 for stroke in costs.typed.strokes if stroke.key != ESCAPE]
    if len(seconds) < LEAST_KEYS:
        raise UserError(f"bench console: training ended after {len(seconds)} keys; give it more --rounds")
    rests = [*(own.rest for own in costs.watched), costs.typed.rest]
    pairs = costs.pairs
    return {
        "name": f"{costs.organizations:,} organizations",
        "organizations": costs.organizations,
        "keys": len(seconds),
        "p50_ms": percentile(seconds, 0.5),
        "p95_ms": percentile(seconds, 0.95),
        "max_ms": max(seconds),
        "bytes_per_s": statistics.median(own.bytes_per_s for own in costs.watched),
        "bytes_at_rest": max(rest.size for rest in rests),
        "cpu_busy": _known(statistics.median, [own.cpu for own in costs.watched]),
        "cpu_idle": _known(max, [rest.cpu for rest in rests]),
        "round_seconds": statistics.median(round_seconds(own.records) for own in costs.watched),
        "alone_seconds": statistics.median(pair.alone for pair in pairs) if pairs else None,
    }


def _known(of: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return of(known) if known else None
