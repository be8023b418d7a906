"""Many rounds with random faults, settings turned, and two consoles that come, go and take the wheel from one another.

    python scripts/soak_consoles.py --rounds 500     what `make soak ARGS=consoles` does

The run is `fedlora-tui run --detach` over the embedded base; consoles are attached on pseudo-terminals: one stays, one
comes and goes, and either steers now and then. It ends with 1 where the engine's memory grew, where descriptors or
threads of any of the three processes did, where the journal has holes or tells a round's end twice, where who watched
holds another run than the journal, or where a command was not answered exactly once. Fewer than 100 rounds say nothing
of growth while it runs: then it is told and not judged.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from soak_watchers import Look, Watcher, look, patience, talk_nonsense  # noqa: E402

from fedlora_tui.attached import Link, attach  # noqa: E402
from fedlora_tui.engine import journal  # noqa: E402
from fedlora_tui.engine.wheel import REFUSAL_SECONDS  # noqa: E402
from fedlora_tui.protocol import commands as ask  # noqa: E402
from fedlora_tui.protocol import events as ev  # noqa: E402
from fedlora_tui.protocol.state import RunState, apply, fold  # noqa: E402
from tests.tiny_models import write_texts  # noqa: E402

NAMES = ("alpha", "beta", "delta", "epsilon", "eta", "gamma", "theta", "zeta")
FAULTS = ("nan for 1 round", "crash for 1 round", "garbage for 2 rounds", "dropout", "poison x2 for 1 round", "none")
VIEW_KEYS = ("j", "k", "G", "g", "?", "\x1b", "\t", "b", "\x1b")
STEER_KEYS = (" ", " ", "[", "]", "a", "d", "u", "x2", "x3", "x4", "x5", "x0", "xr")
"""Pauses and goes on, ranks, organizations, what waits, faults and releases; no key that changes how many rounds."""

FEWEST_JUDGED = 100
MOST_GROWTH = 0.05
PATIENCE = 300.0
"""Seconds without a round that are no slowness any more."""

SPARE_ROUNDS = 200
"""Rounds beyond those that are asked for: the run ends because it is asked to, with everything in place by then."""

ALONE_LOOKS = 20
ANSWERS = (ev.CommandAcknowledged, ev.CommandRefused)


@dataclass
class Answers:
    """What was asked over this script's own link, and what was answered, to it and to consoles."""

    sent: Counter[str] = field(default_factory=Counter)
    come: Counter[str] = field(default_factory=Counter)
    pressed: int = 0
    to_consoles: int = 0

    @property
    def settled(self) -> bool:
        """True where everything that was asked is answered, once."""
        return self.sent == self.come


@dataclass
class Soak:
    """The run, who watches it, and what was seen."""

    folder: Path
    rounds: int
    choose: random.Random
    link: Link
    state: RunState = field(default_factory=RunState)
    answers: Answers = field(default_factory=Answers)
    looks: list[Look] = field(default_factory=list)
    alone: list[list[Look]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    _ours: bool = True
    _moved: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.stays, self.comes = Watcher(self.folder), Watcher(self.folder)

    @property
    def judged(self) -> bool:
        """True where there are rounds enough to tell growth from a start."""
        return self.rounds >= FEWEST_JUDGED

    def go_through(self) -> None:
        """Disturb the run for so many rounds, then let it finish."""
        self._wait(lambda: self.state.round >= 2)
        self._look_alone()
        self.stays.come()
        self.comes.come()
        while self.state.round < self.rounds:
            self._steer(10.0 if self.judged else 5.0)
            self._let_steer(self.choose.choice((self.stays, self.comes)))
        self.stays.go()
        self.comes.go()
        self._look_alone()
        self.stays.come()
        self._send(ask.Finish())
        self._wait(lambda: self.state.over)
        self._wait(lambda: self.answers.settled, 20)
        self._hold_against_the_journal()
        self.stays.go()
        self.done["attached"] = len(self.stays.visits) + len(self.comes.visits)

    def _take_in(self) -> None:
        """Take in what the run told, and look at the processes now and then."""
        for record in self.link.runs[0].drain():
            before = self.state.round
            if record.seq != ev.UNRECORDED:
                self.state = apply(self.state, record)
            if isinstance(record.event, ANSWERS):
                self._answered(record.event)
            if self.state.round != before:
                self._moved = time.monotonic()
        if time.monotonic() - self._moved > patience(PATIENCE):
            raise SystemExit(f"soak: no round for {PATIENCE:.0f} s: {self.state.phase} {self.state.reason}")
        if not self.looks or time.monotonic() - self.looks[-1].t > 1:
            self._look()

    def _answered(self, answer: ev.CommandAcknowledged | ev.CommandRefused) -> None:
        if self._ours:
            self.answers.come[key_of(answer.command, answer.value)] += 1
        else:
            self.answers.to_consoles += 1

    def _look(self) -> None:
        if not self.state.over:
            with contextlib.suppress(psutil.Error):
                self.looks.append(look(psutil.Process(self.link.process), self.state.round))
        self.stays.look(self.state.round)
        self.comes.look(self.state.round)

    def _look_alone(self) -> None:
        """Look at the engine some times while no console is there and the run rests: no checkpoint's file is open."""
        if self.state.phase != "paused":
            self._send(ask.Pause())
        self._wait(lambda: self.state.phase == "paused" and self.link.alone)
        engine = psutil.Process(self.link.process)
        self.alone.append([])
        while len(self.alone[-1]) < ALONE_LOOKS:
            self._take_in()
            self.alone[-1].append(look(engine, self.state.round))
            time.sleep(0.1)
        self._put_right()

    def _wait(self, comes: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Take in what comes until something is so; say whether it was in time, by `patience`."""
        began = time.monotonic()
        while not (come := comes()) and time.monotonic() - began < patience(seconds):
            self._take_in()
            time.sleep(0.05)
        return come

    # What this script asks itself, while it has the wheel.

    def _send(self, command: ask.Command) -> None:
        self.answers.sent[key_of(command.name, command.value)] += 1
        self.done[command.name] += 1
        self.link.ask(0, command)

    def _steer(self, seconds: float) -> None:
        """Give faults, turn settings, press consoles' keys that only look; one console may leave and come again."""
        # Where a console left the rank high, what a round takes is another than before.
        self._send(ask.Rank(self.choose.choice((2, 4, 8))))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._take_in()
            if self.state.phase == "paused":
                self._put_right()
            else:
                self._disturb()
            time.sleep(0.15)

    def _disturb(self) -> None:
        what = self.choose.random()
        if what < 0.12:
            self._send(ask.Fault(self.choose.choice(FAULTS), self.choose.choice(NAMES)))
        elif what < 0.16:
            self._send(ask.Rank(self.choose.choice((1, 2, 3, 4, 8))))
        elif what < 0.19:
            self._send(ask.Rate(self.choose.choice((1e-3, 2e-3, 5e-4))))
        elif what < 0.23:
            self._send(ask.DropOrganization(self.choose.choice(NAMES)))
        elif what < 0.28:
            self._send(ask.AddOrganization(self.choose.choice(NAMES)))
        elif what < 0.31:
            self._send(ask.Undo())
        elif what < 0.33:
            self._send(ask.Pause())
        elif what < 0.36:
            self._send(ask.Release(self.choose.choice(NAMES)))
        elif what < 0.38:
            self.done["nonsense"] += 1
            talk_nonsense(self.folder, self.choose)
        elif what < 0.40:
            self.comes.go()
            self.comes.come()
        elif what < 0.65:
            self.choose.choice((self.stays, self.comes)).press(self.choose.choice(VIEW_KEYS))

    def _put_right(self) -> None:
        """Let everybody in again, and go on."""
        for name, own in self.state.organizations.items():
            if own.state == "quarantine":
                self._send(ask.Release(name))
        for name in NAMES:
            if name not in self.state.organizations:
                self._send(ask.AddOrganization(name))
        self._send(ask.Resume())
        self._wait(lambda: self.state.phase != "paused" and self.answers.settled, 5)

    # What consoles ask by their keys, while one of them has the wheel.

    def _let_steer(self, watcher: Watcher) -> None:
        """Let a console have the wheel and press its keys; then ask for the wheel, and get it."""
        if not self._wait(lambda: self.answers.settled, 20):
            self.broken.append("commands without exactly one answer before the wheel passed")
        self._ours = False
        gives = not self.judged or self.choose.random() < 0.6
        if gives:
            self.link.wheel("give")
        watcher.press("\x1b")
        for _ in range(3):
            # Where nobody has it, whoever asks the run for something gets it.
            self.answers.pressed += gives
            watcher.press(" " if gives else "w")
            if self._wait(lambda: not self.link.steers.yours and bool(self.link.steers.holder), 8):
                break
            watcher.press("\x1b")
        else:
            self.broken.append("a console asked for the wheel and nobody refused, but it has not got it")
        until = time.monotonic() + 4
        while time.monotonic() < until:
            self._take_in()
            steers = self.choose.random() < 0.7
            keys = self.choose.choice(STEER_KEYS if steers else VIEW_KEYS)
            self.answers.pressed += len(keys)
            watcher.press(*(("\x1b", *keys) if steers else keys))
            time.sleep(0.1)
        self._take_the_wheel(watcher)

    def _take_the_wheel(self, watcher: Watcher) -> None:
        watcher.press("\x1b")
        how = self.choose.random()
        if watcher is self.comes and how < 0.3:
            watcher.go()
            watcher.come()
            self.done["left with the wheel"] += 1
        elif how > 0.7 and self.judged:
            self._be_refused(watcher)
        if not self.link.steers.yours:
            self.link.wheel("ask")
        if not self._wait(lambda: self.link.steers.yours, 20):
            self.broken.append("the wheel was asked for, and neither refused nor given")
        # What a console had asked for before it passed may still be on its way here.
        self._wait(lambda: False, 0.5)
        self._ours = True
        self.done["wheel"] += 1

    def _be_refused(self, watcher: Watcher) -> None:
        """Ask for the wheel, and let the console that has it keep it; one that answers too late loses it, rightly."""
        self.link.wheel("ask")
        self._wait(lambda: bool(self.link.steers.asked_by), 5)
        asked_at, kept_at = time.monotonic(), math.inf
        # A console that has not heard yet of the question takes the key for one of its own.
        time.sleep(1.0)
        watcher.press("w")
        while self.link.steers.asked_by:
            self._take_in()
            if any("you keep the wheel" in row for row in watcher.rows()):
                kept_at = min(kept_at, time.monotonic())
            time.sleep(0.05)
        if self.link.steers.yours and kept_at + patience(1.0) < asked_at + REFUSAL_SECONDS:
            self.broken.append("the wheel passed though it was refused:\n" + "\n".join(watcher.rows()))
        self.done["wheel not refused in time" if self.link.steers.yours else "wheel refused"] += 1

    # What has to hold.

    def _hold_against_the_journal(self) -> None:
        """Compare, while the engine's process is still there, what was told with what is written."""
        lines = (self.folder / journal.NAME).read_bytes().splitlines(keepends=True)
        records = list(journal.read(self.folder))
        if len(lines) != len(records) or not lines[-1].endswith(b"\n"):
            self.broken.append(f"{len(lines)} lines of the journal, {len(records)} of them read")
        if [record.seq for record in records] != list(range(1, len(records) + 1)):
            self.broken.append("the journal's numbers have holes")
        ended = [record.event.round for record in records if isinstance(record.event, ev.RoundFinished)]
        if ended != list(range(1, len(ended) + 1)) or len(ended) < self.rounds:
            self.broken.append(f"rounds did not end once each, in order: {len(ended)} ends")
        written = fold(RunState(), records)
        self._same("the link that was there all the time", self.state, written)
        late = attach(self.folder, steers=False)
        self._wait(lambda: late.runs[0].over)
        self._same("a link that came at the end", fold(RunState(), late.runs[0].drain()), written)
        late.close()
        if not self.stays.shows("done", f"{written.round}/{written.rounds}", f"{written.eval_loss:.3f}"):
            self.broken.append("an attached console does not show the end:\n" + "\n".join(self.stays.rows()))

    def _same(self, who: str, held: RunState, written: RunState) -> None:
        if held != written:
            other = [name for name in vars(written) if getattr(held, name) != getattr(written, name)]
            self.broken.append(f"{who} holds another run than the journal: {', '.join(other)}")

    def faults(self) -> Iterator[str]:
        """Say what did not hold."""
        yield from self.broken
        yield from self.stays.broken
        yield from self.comes.broken
        if not self.answers.settled:
            lost, twice = self.answers.sent - self.answers.come, self.answers.come - self.answers.sent
            yield f"not answered: {dict(lost)}; answered and not asked: {dict(twice)}"
        if self.answers.to_consoles > self.answers.pressed:
            yield f"{self.answers.to_consoles} answers to {self.answers.pressed} keys of consoles"
        yield from grew("the engine without consoles", *self.alone)
        if self.judged:
            yield from grew("the engine", self.fifth(1), self.fifth(4))
            yield from grew("the console that stays", self._stayed(1), self._stayed(4))
            yield from grew("the console that comes and goes", *self._visits())
            if self.growth > MOST_GROWTH:
                yield f"the engine's memory grew by {self.growth:.1%}"

    @property
    def growth(self) -> float:
        """How much more memory the engine had in the last fifth of the rounds than in the second one, by medians."""
        return median(self.fifth(4), "memory") / median(self.fifth(1), "memory") - 1

    def fifth(self, number: int) -> list[Look]:
        """Give the looks at the engine in a fifth of the rounds, counted from 0."""
        return within_fifth(self.looks, number, self.rounds)

    def _stayed(self, number: int) -> list[Look]:
        return within_fifth(self.stays.visits[0], number, self.rounds)

    def _visits(self) -> tuple[list[Look], list[Look]]:
        """Give the first visit that was looked at, and the last one, each without its beginning."""
        looked = [visit[len(visit) // 2 :] for visit in self.comes.visits if len(visit) > 1]
        return looked[0], looked[-1]

    def table(self) -> str:
        """Lay out what was seen, as Markdown."""
        rows = ["| | MiB | descriptors | threads |", "| --- | ---: | ---: | ---: |"]
        for name, looks in (
            ("engine, paused, before consoles come", self.alone[0]),
            ("engine, second fifth", self.fifth(1)),
            ("engine, last fifth", self.fifth(4)),
            ("engine, paused, consoles gone", self.alone[1]),
            ("console that stays, second fifth", self._stayed(1)),
            ("console that stays, last fifth", self._stayed(4)),
            ("console that comes and goes, first visit", self._visits()[0]),
            ("console that comes and goes, last visit", self._visits()[1]),
        ):
            memory = median(looks, "memory") / 2**20
            counts = f"{median(looks, 'descriptors'):g} | {median(looks, 'threads'):g}"
            rows.append(f"| {name} | {memory:.1f} | {counts} |")
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.done.items()))
        seen = f"{self.state.round} rounds, {self.state.seq:,} events, the engine's memory {self.growth:+.1%}"
        asked = f"{self.answers.sent.total()} commands of the link, {self.answers.to_consoles} of consoles"
        return "\n".join([*rows, "", f"{seen}; {asked} ({self.answers.pressed} keys); {done}"])


def key_of(command: str, value: Any) -> str:
    """Name a command as its answer does, too, which tells a fault's rounds and what is taken back in its own way."""
    if command == ask.Undo.name:
        return command
    return f"{command} {json.dumps(value['org'] if command == ask.Fault.name else value)}"


def within_fifth(looks: Sequence[Look], number: int, rounds: int) -> list[Look]:
    """Give the looks in a fifth of the rounds, counted from 0; all of them where there are none in it."""
    found = [own for own in looks if number * rounds <= 5 * (own.round - 1) < (number + 1) * rounds]
    return found or list(looks)


def median(looks: Sequence[Look], what: str) -> float:
    """Give the median of one figure."""
    return float(statistics.median(getattr(own, what) for own in looks))


def grew(who: str, before: Sequence[Look], after: Sequence[Look]) -> Iterator[str]:
    """Say where there are more descriptors or threads than before."""
    for what in ("descriptors", "threads"):
        was, now = median(before, what), median(after, what)
        if now > was:
            yield f"{who}: {now:g} {what}, {was:g} before"


def started(home: Path, rounds: int, steps: int) -> Path:
    """Begin the run; give its folder."""
    settings = {
        "model.device": "cpu",
        "model.max_length": 32,
        "data.source": "folder",
        "data.path": write_texts(home / "texts", NAMES),
        "data.holdout_tokens": 256,
        "federation.rounds": rounds + SPARE_ROUNDS,
        "federation.local_steps": steps,
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


def main() -> int:
    """Go through it once; 0 where all held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500, help="rounds in which the run is disturbed (500)")
    parser.add_argument("--steps", type=int, default=4, help="local steps of a round (4)")
    parser.add_argument("--seed", type=int, default=6, help="of what is done to it (6)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        folder = started(Path(home), asked.rounds, asked.steps)
        link = attach(folder, steers=True)
        soak = Soak(folder, asked.rounds, random.Random(asked.seed), link)
        try:
            soak.go_through()
            print(soak.table(), flush=True)
            broken = list(soak.faults())
        finally:
            soak.stays.close()
            soak.comes.close()
            with contextlib.suppress(psutil.Error):
                psutil.Process(link.process).kill()
            link.close()
    for words in broken:
        print(f"soak: {words}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
