"""`bench console`: what the console costs while a run trains, and how soon it shows what a key does.

Every run is `fedlora-tui` in a process of its own, on a pseudo-terminal of 120x40. One is only watched: what is
written, and what the console takes of a processor. In another one keys are pressed. Reading the screen takes time of
its own, so a watched run's is not read. What the console costs a round is seen where it comes and goes
(coming_and_going.py).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedlora_tui.benchmarks.coming_and_going import ENDLESS, LOOKED_AT, Visit, come_and_go
from fedlora_tui.benchmarks.followed import Followed
from fedlora_tui.benchmarks.keys import ESCAPE, Stroke, Typist, percentile
from fedlora_tui.benchmarks.pseudo_terminal import PseudoTerminal, pseudo_terminal, rate, share
from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.benchmarks.rounds import knowing
from fedlora_tui.config import Config, to_toml
from fedlora_tui.console.pace import SETTLE_SECONDS
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Event, Record

ROUNDS = 40
"""Rounds of a run where the configuration does not say."""

REST_SECONDS = 8.0
"""How long a run at rest is watched."""

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
class Costs:
    """What was measured at one number of organizations; no visits where only the console was looked at."""

    organizations: int
    watched: Watched
    typed: Typed
    visits: tuple[Visit, ...] = ()


@dataclass
class ConsoleBench:
    """The benchmark: a configuration, numbers of organizations, visits to the smallest, whom to tell."""

    config: Config
    organizations: tuple[int, ...]
    repeats: int
    say: Say
    _load: tuple[float, ...] = field(default_factory=os.getloadavg)

    def report(self) -> Report:
        """Measure everything and lay it out. Raises UserError where a run fails."""
        if not self.organizations or min(self.organizations) < 2:
            raise UserError("bench console: --organizations needs numbers from 2: a key moves from one to another")
        with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as folder:
            costs = [self._costs(number, Path(folder)) for number in sorted(self.organizations)]
        slowdown = statistics.median(visit.slowdown for visit in costs[0].visits)
        rows = [row_of(own) for own in costs]
        return Report("console", rows, {"slowdown": slowdown}, self._notes(costs), headings=HEADINGS)

    def _costs(self, number: int, folder: Path) -> Costs:
        config, words = self._running(number), f"{number:,} organizations"
        file = folder / f"{number}.toml"
        file.write_text(to_toml(config), encoding="utf-8")
        self.say(f"{words}: the console")
        with tempfile.TemporaryDirectory(dir=folder) as runs:
            watched = watch(file, Path(runs))
        self.say(f"{words}: keys")
        with tempfile.TemporaryDirectory(dir=folder) as runs:
            typed = type_keys(file, Path(runs), config.federation.seed)
        visits: tuple[Visit, ...] = ()
        if number == min(self.organizations):
            endless = replace(config, federation=replace(config.federation, rounds=ENDLESS))
            file.write_text(to_toml(endless), encoding="utf-8")
            with tempfile.TemporaryDirectory(dir=folder) as runs:
                visits = come_and_go(file, Path(runs), self.repeats, lambda text: self.say(f"{words}: {text}"))
        return Costs(number, watched, typed, visits)

    def _running(self, number: int) -> Config:
        """Give the run at so many organizations, of which as many train as there are in the smallest one."""
        config = knowing(self.config, number, min(self.organizations))
        rounds = self.config.federation.rounds if "federation.rounds" in self.config.given else ROUNDS
        return replace(config, federation=replace(config.federation, rounds=rounds))

    def _notes(self, costs: Sequence[Costs]) -> list[str]:
        smallest, federation = costs[0], self._running(costs[0].organizations).federation
        ratios = sorted(visit.slowdown for visit in smallest.visits)
        keys = ", ".join(f"{len(own.typed.strokes):,} at {own.organizations:,} organizations" for own in costs)
        escapes = [stroke.seconds * 1000 for own in costs for stroke in own.typed.strokes if stroke.key == ESCAPE]
        escape = f"{statistics.median(escapes):.0f} ms" if escapes else "not pressed"
        return [
            f"runs of {federation.rounds} rounds of {federation.local_steps} steps on a terminal of 120x40, "
            f"{smallest.organizations} organizations a round; load when it began: {self._load[0]:.2f}",
            f"key: from writing j, k, g, G or ? on the terminal to reading the first output that shows its answer "
            f"({keys}); esc ({escape}, median) is not counted: other keys begin with it, and Textual waits for more",
            "bytes/s, cpu busy: from the second round to the end, no key pressed; at rest: bytes, and cpu idle, in "
            f"{REST_SECONDS:g} s of a pause and of a finished run, the worse of the two",
            "cpu: share of one processor that the console's process took, without the run's own",
            f"slowdown: a round's seconds with the console over those before it came and after it left, in one run of "
            f"{smallest.organizations} organizations; medians of {LOOKED_AT} rounds each, then of {len(ratios)} visits "
            f"(from {ratios[0]:.3f} to {ratios[-1]:.3f}, half of them from {percentile(ratios, 0.25):.3f} to "
            f"{percentile(ratios, 0.75):.3f})",
        ]


def watch(file: Path, runs: Path) -> Watched:
    """Watch a run with its console, from its start to its end and some seconds of rest."""
    with _console(file, runs) as (terminal, followed):
        _until(terminal.read, followed, *ev.ENDS)
        followed.check()
        rest = _rest(terminal, terminal.read)
        terminal.leave("q")
    records = tuple(followed.records)
    begin, end = training(records)
    return Watched(rate(terminal.written, begin, end), share(terminal.worked, begin, end), rest, records)


def type_keys(file: Path, runs: Path, seed: int) -> Typed:
    """Pause a run in its first round, let it rest, and press keys from then on until it ends."""
    with _console(file, runs) as (terminal, followed):
        typist = Typist(terminal, seed)
        _until(typist.read, followed, ev.TrainStep, *ev.ENDS)
        typist.read(SEEN_SECONDS)
        terminal.press(" ")
        _until(typist.read, followed, ev.RunPaused, *ev.ENDS)
        rest = _rest(terminal, typist.read)
        if not followed.ended:
            terminal.press(" ")
            typist.type_while(lambda: not followed.look().ended)
        followed.check()
        terminal.leave("q")
    return Typed(tuple(typist.strokes), rest)


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
    followed.wait(lambda: followed.has(*kinds), read)


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


def row_of(costs: Costs) -> dict[str, Cell]:
    """Lay out what was measured at one number of organizations. Raises UserError where hardly a key was pressed."""
    seconds = [stroke.seconds * 1000 for stroke in costs.typed.strokes if stroke.key != ESCAPE]
    if len(seconds) < LEAST_KEYS:
        raise UserError(f"bench console: training ended after {len(seconds)} keys; give it more --rounds")
    rests = [costs.watched.rest, costs.typed.rest]
    visits = costs.visits
    return {
        "name": f"{costs.organizations:,} organizations",
        "organizations": costs.organizations,
        "keys": len(seconds),
        "p50_ms": percentile(seconds, 0.5),
        "p95_ms": percentile(seconds, 0.95),
        "max_ms": max(seconds),
        "bytes_per_s": costs.watched.bytes_per_s,
        "bytes_at_rest": max(rest.size for rest in rests),
        "cpu_busy": costs.watched.cpu,
        "cpu_idle": max((rest.cpu for rest in rests if rest.cpu is not None), default=None),
        "round_seconds": statistics.median(visit.console for visit in visits) if visits else None,
        "alone_seconds": statistics.median(visit.alone for visit in visits) if visits else None,
    }
