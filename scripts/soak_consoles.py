"""Many rounds with random faults, settings turned, and two consoles that come, go and take the wheel from one another.

    python scripts/soak_consoles.py --rounds 500     what `make soak ARGS=consoles` does

The run is `fedlora-tui run --detach` over a tiny base; consoles are attached on pseudo-terminals. It ends with 1 where
the engine's memory, descriptors or threads grew, where the journal has holes or tells a round's end twice, or where a
command was not answered exactly once. Fewer than 100 rounds say nothing of memory: then it is told and not judged.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from fedlora_tui.attached import Link, attach  # noqa: E402
from fedlora_tui.benchmarks.pseudo_terminal import PseudoTerminal  # noqa: E402
from fedlora_tui.engine.journal import read  # noqa: E402
from fedlora_tui.errors import UserError  # noqa: E402
from fedlora_tui.protocol import commands as ask  # noqa: E402
from fedlora_tui.protocol import events as ev  # noqa: E402
from fedlora_tui.protocol.control_place import found_socket  # noqa: E402
from fedlora_tui.protocol.state import RunState, fold  # noqa: E402
from tests.tiny_models import write_base, write_texts  # noqa: E402

NAMES = ("alpha", "beta", "delta", "epsilon", "gamma", "zeta")
FAULTS = ("nan for 1 round", "crash for 1 round", "garbage for 2 rounds", "dropout for 1 round", "poison x2")
VIEW_KEYS = ("j", "k", "G", "g", "?", "\x1b", "\t", "b", "\x1b")
FEWEST_JUDGED = 100
MOST_GROWTH = 0.05
PATIENCE = 600.0


@dataclass(frozen=True)
class Look:
    """The engine's process at one moment: bytes resident, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


@dataclass
class Watcher:
    """A console on a pseudo-terminal, read all the time."""

    folder: Path
    runs: int = 0
    _terminal: PseudoTerminal | None = None

    def come(self) -> None:
        """Attach."""
        words = ["-m", "fedlora_tui", "attach", str(self.folder), "--ascii"]
        self._terminal = PseudoTerminal("console", words, {"PYTHONPATH": str(ROOT)})
        self.runs += 1
        threading.Thread(target=self._read, args=(self._terminal,), daemon=True).start()

    def press(self, keys: str) -> None:
        """Press keys, if it is there."""
        if self._terminal is not None:
            with contextlib.suppress(UserError):
                self._terminal.press(keys)

    def go(self) -> None:
        """Leave the run going: `d` answers the question that is asked of who steers."""
        terminal, self._terminal = self._terminal, None
        if terminal is None:
            return
        with contextlib.suppress(UserError):
            terminal.press("\x1b")
            time.sleep(0.3)
            terminal.press("q")
            time.sleep(0.3)
            terminal.press("d")
        with contextlib.suppress(subprocess.TimeoutExpired):
            terminal._process.wait(20)
        terminal.close()

    def _read(self, terminal: PseudoTerminal) -> None:
        with contextlib.suppress(UserError, OSError, ValueError):
            while True:
                terminal.read(1.0)


@dataclass
class Soak:
    """The run, who watches it, and what was seen."""

    folder: Path
    rounds: int
    choose: random.Random
    link: Link
    state: RunState = field(default_factory=RunState)
    sent: int = 0
    answered: int = 0
    looks: list[Look] = field(default_factory=list)
    alone: Look | None = None
    done: Counter[str] = field(default_factory=Counter)

    def go_through(self) -> None:
        """Disturb the run until it is over."""
        engine = psutil.Process(self.link.process)
        self._take_in()
        self.alone = look(engine)
        watchers = [Watcher(self.folder), Watcher(self.folder)]
        for watcher in watchers:
            watcher.come()
        until, looked, passed = time.monotonic() + PATIENCE, 0.0, time.monotonic()
        while not self.link.runs[0].over:
            if time.monotonic() > until:
                raise SystemExit(f"soak: the run does not end: {self.state.phase} {self.state.reason}")
            self._take_in()
            self._disturb(watchers)
            if time.monotonic() - passed > 20:
                passed = time.monotonic()
                self._pass_the_wheel(watchers[0])
            if time.monotonic() - looked > 1:
                looked = time.monotonic()
                self.looks.append(look(engine))
            time.sleep(0.15)
        self._take_in()
        for watcher in watchers:
            watcher.press("q")
            watcher.go()
        time.sleep(1.0)
        self.looks.append(look(engine))
        self.done["attached"] += sum(watcher.runs for watcher in watchers)

    def _take_in(self) -> None:
        records = self.link.runs[0].drain()
        self.state = fold(self.state, records)
        self.answered += sum(isinstance(r.event, ev.CommandAcknowledged | ev.CommandRefused) for r in records)

    def send(self, command: ask.Command) -> None:
        """Ask the run for something."""
        self.sent += 1
        self.done[command.name] += 1
        self.link.ask(0, command)

    def _disturb(self, watchers: Sequence[Watcher]) -> None:
        if self.state.phase == "paused":
            self._put_right()
            return
        what = self.choose.random()
        if what < 0.10:
            self.send(ask.Fault(self.choose.choice(FAULTS), self.choose.choice(NAMES)))
        elif what < 0.14:
            self.send(ask.Rank(self.choose.choice((1, 2, 3, 4, 8))))
        elif what < 0.17:
            self.send(ask.Rate(self.choose.choice((1e-3, 2e-3, 5e-4))))
        elif what < 0.20:
            self.send(ask.DropOrganization(self.choose.choice(NAMES)))
        elif what < 0.25:
            self.send(ask.AddOrganization(self.choose.choice(NAMES)))
        elif what < 0.27:
            self.send(ask.Undo())
        elif what < 0.29:
            self.send(ask.Pause())
        elif what < 0.31:
            self.send(ask.Release(self.choose.choice(NAMES)))
        elif what < 0.32:
            self._talk_nonsense()
        elif what < 0.33:
            watchers[1].go()
            watchers[1].come()
        elif what < 0.6:
            self.choose.choice(watchers).press(self.choose.choice(VIEW_KEYS))

    def _put_right(self) -> None:
        """Let everybody in again, and go on."""
        for name, own in self.state.organizations.items():
            if own.state == "quarantine":
                self.send(ask.Release(name))
        for name in NAMES:
            if name not in self.state.organizations:
                self.send(ask.AddOrganization(name))
        self.send(ask.Resume())
        time.sleep(0.3)

    def _pass_the_wheel(self, watcher: Watcher) -> None:
        """Let a console have the wheel, then ask for it and get it when nobody refuses."""
        watcher.press("\x1b")
        time.sleep(0.2)
        watcher.press("w")
        self._wait(lambda: not self.link.steers.yours)
        self.link.wheel("ask")
        self._wait(lambda: self.link.steers.yours)
        self.done["wheel"] += self.link.steers.yours

    def _wait(self, comes: object, seconds: float = 8.0) -> None:
        until = time.monotonic() + seconds
        while not comes() and time.monotonic() < until:  # type: ignore[operator]
            self._take_in()
            time.sleep(0.1)

    def _talk_nonsense(self) -> None:
        path = found_socket(self.folder)
        self.done["nonsense"] += 1
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
            one.settimeout(2)
            one.connect(str(path))
            one.sendall(self.choose.randbytes(self.choose.randint(1, 400)) + b"\n")
            one.recv(1)

    def faults(self) -> Iterator[str]:
        """Say what did not hold."""
        self._wait(lambda: self.answered >= self.sent)
        if self.answered != self.sent:
            yield f"{self.sent} commands were sent and {self.answered} answered"
        records = list(read(self.folder))
        if [record.seq for record in records] != list(range(1, len(records) + 1)):
            yield "the journal's numbers have holes"
        ended = [record.event.round for record in records if isinstance(record.event, ev.RoundFinished)]
        if ended != list(range(1, self.rounds + 1)):
            yield f"rounds did not end once each, in order: {len(ended)} ends"
        if fold(RunState(), records).history != self.state.history:
            yield "an attached console holds another history than the journal"
        assert self.alone is not None
        if self.looks[-1].descriptors > self.alone.descriptors:
            yield f"{self.looks[-1].descriptors} descriptors are open at the end, {self.alone.descriptors} at the start"
        if self.looks[-1].threads > self.alone.threads:
            yield f"{self.looks[-1].threads} threads at the end, {self.alone.threads} at the start"
        if self.rounds >= FEWEST_JUDGED and self.growth > MOST_GROWTH:
            yield f"memory grew by {self.growth:.1%}"

    @property
    def growth(self) -> float:
        """How much more memory the engine had in the last fifth of the looks than in the second one, by medians."""
        second, last = (statistics.median(own.memory for own in self.fifth(number)) for number in (1, 4))
        return last / second - 1

    def fifth(self, number: int) -> list[Look]:
        """Give a fifth of the looks, counted from 0."""
        looks = self.looks[:-1] or self.looks
        share = max(1, len(looks) // 5)
        return looks[number * share : (number + 1) * share] or looks[-1:]


def look(process: psutil.Process) -> Look:
    """Look at a process."""
    with process.oneshot():
        return Look(process.memory_info().rss, process.num_fds(), process.num_threads())


def started(home: Path, rounds: int) -> Path:
    """Begin the run; give its folder."""
    settings = {
        "model.base": write_base(home / "base"),
        "model.device": "cpu",
        "model.max_length": 24,
        "data.source": "folder",
        "data.path": write_texts(home / "texts", NAMES),
        "federation.rounds": rounds,
        "federation.local_steps": 12,
        "federation.batch_size": 2,
        "runs.dir": home / "runs",
    }
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    begun = subprocess.run(
        [sys.executable, "-m", "fedlora_tui", "run", "--detach", "--wait", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return home / "runs" / begun.stdout.strip()


def table(soak: Soak) -> str:
    """Lay out what was seen."""
    parts = [("second fifth", soak.fifth(1)), ("last fifth", soak.fifth(4)), ("consoles gone", soak.looks[-1:])]
    rows = ["| the engine | MiB | descriptors | threads |", "| --- | ---: | ---: | ---: |"]
    for name, looks in parts:
        memory, descriptors, threads = (
            statistics.median(getattr(own, what) for own in looks) for what in ("memory", "descriptors", "threads")
        )
        rows.append(f"| {name} | {memory / 2**20:.1f} | {descriptors:.0f} | {threads:.0f} |")
    done = ", ".join(f"{name} {count}" for name, count in sorted(soak.done.items()))
    events = soak.state.seq
    return "\n".join([*rows, "", f"{soak.rounds} rounds, {events:,} events, memory {soak.growth:+.1%}; {done}"])


def main() -> int:
    """Go through it once; 0 where all held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500, help="rounds of the run (500)")
    parser.add_argument("--seed", type=int, default=6, help="of what is done to it (6)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        folder = started(Path(home), asked.rounds)
        link = attach(folder, steers=True)
        soak = Soak(folder, asked.rounds, random.Random(asked.seed), link)
        try:
            soak.go_through()
            print(table(soak))
            broken = list(soak.faults())
        finally:
            with contextlib.suppress(psutil.Error):
                psutil.Process(link.process).kill()
            link.close()
    for words in broken:
        print(f"soak: {words}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
