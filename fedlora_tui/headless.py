"""The face without a terminal: `fedlora-tui run`, with progress on stderr and, if asked for, every event on stdout.

The runs of a race are told side by side: each line begins with the run's label, each event carries its id.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from fedlora_tui.console.drawing import numbers
from fedlora_tui.engine.control import Control
from fedlora_tui.engine.ending import Signals
from fedlora_tui.engine.race import Entry, Race
from fedlora_tui.engine.run import Manner, log_to_files_alone
from fedlora_tui.errors import UserError
from fedlora_tui.farewell import farewells
from fedlora_tui.protocol.events import (
    UNRECORDED,
    CommandRefused,
    Deployed,
    KnobTurned,
    NodeRefused,
    OrgJoined,
    OrgLeft,
    OrgQuarantined,
    OrgReleased,
    PrivacySpent,
    Record,
    RoundFinished,
    RunContinued,
    RunPaused,
    RunStarted,
    UpdateLate,
    UpdateRejected,
    Warned,
    to_json,
)
from fedlora_tui.protocol.state import RunState
from fedlora_tui.protocol.unseen_steps import waits

LOOK_SECONDS, LAST_WORDS_SECONDS = 0.1, 1.0


class JsonLines:
    """Writes every recorded event on stdout as it happens, one flushed line each.

    A thread of its own writes, so that a reader of stdout that stalls never holds up the run or its end.
    """

    def __init__(self) -> None:
        self.closed = self.hung_up = False
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="json lines", daemon=True)
        self._writer.start()

    def of_run(self) -> Callable[[Record], None]:
        """Give a reader for a run that goes alone."""
        return lambda record: self._put(record, "")

    def of_racer(self) -> Callable[[Record], None]:
        """Give a reader for a run of a race: its lines carry its id, which its first event tells."""
        run = ""

        def read(record: Record) -> None:
            nonlocal run
            run = record.event.run if isinstance(record.event, RunStarted) else run
            self._put(record, run)

        return read

    def _put(self, record: Record, run: str) -> None:
        if record.seq != UNRECORDED:
            self._lines.put(to_json(record, run) if run else record.line)

    def finish(self, given_up: Callable[[], bool]) -> None:
        """Wait until all is written, or until the wait is given up."""
        self._lines.put(None)
        while self._writer.is_alive() and not given_up():
            self._writer.join(LOOK_SECONDS)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None and not self.closed:
            self._write_one(line)

    def _write_one(self, line: str) -> None:
        try:
            left = (line + "\n").encode(sys.stdout.encoding)
            # Past Python's buffer: its lock, held for as long as the reader stalls, would abort the process at its end.
            while left:
                left = left[os.write(sys.stdout.fileno(), left) :]
        except (OSError, ValueError) as error:
            # The reader has what it wanted, or went with its terminal.
            self.hung_up = getattr(error, "errno", None) == errno.EIO
            self.closed = True


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def run_headless(given: Sequence[Entry], json_lines: bool, patient: bool) -> int:
    """Go through a run, or a race of several, without a terminal; give the exit status."""
    log_to_files_alone()
    race = Race(given, Manner(patient, lambda folder: control.open_in(folder)))
    control = Control(race.racers)
    lines = JsonLines()
    if json_lines:
        for run in race.runs:
            run.subscribe(lines.of_racer() if len(given) > 1 else lines.of_run())
    narration = Narration(Console(stderr=True, highlight=False), race.racers)

    def last(seconds: float) -> None:
        control.part(seconds)
        narration.close()

    signals = Signals(race, last)
    race.start()
    with narration:
        _follow(race, narration, signals, lines)
    control.part(LAST_WORDS_SECONDS)
    race.close()
    lines.finish(lambda: signals.late)
    return _ending(race, signals)


def _follow(race: Race, narration: Narration, signals: Signals, lines: JsonLines) -> None:
    gone = False
    while not race.wait(LOOK_SECONDS):
        if signals.hung_up:
            narration.hang_up()
        narration.tell()
        # Whoever reads the lines has had enough; a terminal that hung up took its reader with it against their will.
        # Where that was the reader of a pipe, the pipe may break a moment before the signal comes.
        before, gone = gone, lines.closed and not (lines.hung_up or signals.hung_up)
        if before and gone:
            signals.end("standard output was closed")
    signals.let_exports_end()
    narration.tell()


def _ending(race: Race, signals: Signals) -> int:
    if signals.caught is None and race.refusal is not None:
        raise UserError(race.refusal)
    standing = [(racer.label, racer.state) for racer in race.racers]
    sys.stderr.write(farewells(standing, folders=[entry.continues for entry in race.entries]))
    sys.stderr.flush()
    return signals.status


class Narrated(Protocol):
    """A run as the narration needs it."""

    @property
    def label(self) -> str:
        """What tells it from the others."""

    @property
    def state(self) -> RunState:
        """The run as its events tell it, up to now."""

    def drain(self) -> Sequence[Record]:
        """Give the records since the last call."""


class Narration:
    """Progress on stderr: a live line a run on a terminal, one plain line a round elsewhere."""

    def __init__(self, console: Console, racers: Sequence[Narrated]) -> None:
        self._console = console
        self._racers = racers
        # Asked now: a terminal that has hung up is none any more.
        self._terminals = [stream.fileno() for stream in (sys.stdout, sys.stderr) if stream.isatty()]
        # A batch of records may hold several rounds; the state is that of the last one.
        self._spent: dict[str, PrivacySpent] = {}
        self._wide = max(len(racer.label) for racer in racers)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks = [self._bar.add_task("starting", total=1.0, facts="") for _ in racers]

    def __enter__(self) -> Narration:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the live lines away."""
        self._bar.stop()

    def hang_up(self) -> None:
        """The terminal is gone: the run goes on, and what it says goes nowhere."""
        while self._terminals:
            _to_nowhere(self._terminals.pop())

    def say(self, words: str) -> None:
        """Say something that is in no record."""
        self._console.print(f"{numbers.clock(time.time())}  {words}", markup=False, soft_wrap=True)

    def tell(self) -> None:
        """Say what is new, and draw the live lines anew."""
        try:
            for racer, task in zip(self._racers, self._tasks, strict=True):
                self._tell_of(racer, task)
        except OSError:
            # The terminal hangs up a moment before its signal comes.
            self.hang_up()

    def _tell_of(self, racer: Narrated, task: TaskID) -> None:
        records, state = racer.drain(), racer.state
        label = racer.label and f"{racer.label:<{self._wide}}  "
        for record in records:
            if isinstance(record.event, PrivacySpent):
                self._spent[racer.label] = record.event
            sentence = _sentence(record, replace(state, privacy=self._spent.get(racer.label)))
            if sentence:
                self._console.print(f"{numbers.clock(record.t)}  {label}{sentence}", markup=False, soft_wrap=True)
        facts = f"round {numbers.of(state.round, state.rounds)}   hold-out {numbers.loss(state.eval_loss)}"
        left = state.seconds_left(time.time())
        facts += f"   {numbers.duration(left)} left" if left is not None else ""
        doing = _preparing(state) if state.phase == "starting" else facts
        phase = "waiting" if waits(state) else state.phase
        self._bar.update(task, description=f"{label}{phase}", completed=state.progress, facts=doing)


def _preparing(state: RunState) -> str:
    working = [stage for stage in state.preparation.values() if stage.state == "working"]
    if not working:
        return ""
    stage = working[-1]
    if stage.total and stage.unit == "bytes":
        return f"{stage.detail} {numbers.bytes_text(stage.done)} of {numbers.bytes_text(stage.total)}"
    return f"{stage.stage}: {stage.detail}"


def _budget(state: RunState) -> str:
    """Give what was spent of a privacy budget, nothing where there is none."""
    if state.privacy is None:
        return ""
    target = state.privacy.target
    return f"   epsilon {numbers.epsilon(state.privacy.epsilon)}" + (f" of {target:g}" if target else "")


def _sentence(record: Record, state: RunState) -> str:
    """Put into words what a person wants to find in a log; empty for all else."""
    event = record.event
    if isinstance(event, RunStarted):
        what = (
            f"{event.model} {numbers.count_short(event.params)}, {event.aggregation}, rank {event.rank}, {event.device}"
        )
        return f"{event.run}: {len(event.orgs)} organizations, {what}"
    if isinstance(event, RoundFinished):
        before = next((row.eval_loss for row in reversed(state.history) if row.round == event.round - 1), None)
        change = None if before is None or event.eval_loss is None else event.eval_loss - before
        holdout = f"{numbers.loss(event.eval_loss)} ({numbers.signed(change)})"
        return (
            f"round {event.round}/{event.rounds}   hold-out {holdout}"
            f"   train {numbers.loss(event.train_loss)}   drift {numbers.drift(event.drift)}"
            f"   {numbers.seconds(event.seconds)} s   {numbers.bytes_text(event.bytes_up + event.bytes_down)}"
            f"{_budget(state)}"
        )
    if isinstance(event, RunContinued):
        return f"{event.reason}; it goes on after round {event.round} of {event.rounds}"
    if isinstance(event, OrgJoined) and event.round > 1:
        tokens = f", {numbers.count_short(event.tokens)} tokens" if event.tokens is not None else ""
        allows = f", allows {event.policy}" if event.policy else ""
        return f"{event.org}: joined with round {event.round}{tokens}{allows}"
    if isinstance(event, OrgLeft):
        return f"{event.org}: left" + (f": {event.reason}" if event.reason else "")
    if isinstance(event, UpdateRejected):
        return f"{event.org}: {'reply refused: ' if event.answered else ''}{event.reason}"
    if isinstance(event, UpdateLate):
        return f"{event.org}: its reply is late and left out: {event.reason}"
    if isinstance(event, OrgQuarantined):
        return f"{event.org}: in quarantine from now on: {event.reason}"
    if isinstance(event, OrgReleased):
        return f"{event.org}: out of quarantine with round {event.round}"
    if isinstance(event, Warned):
        return event.message
    if isinstance(event, Deployed) and event.insecure:
        return f"INSECURE: {event.insecure}"
    if isinstance(event, NodeRefused):
        place = f" from {event.address}" if event.address else ""
        whose = f" with {event.whose}'s key" if event.whose else ""
        return f"a node{whose} was refused {event.times}x{place}: {event.reason} {event.key}".rstrip()
    if isinstance(event, KnobTurned) and event.knob == "fault":
        return f"{event.org}: fault {event.before} -> {event.value} from round {event.round} on, as asked"
    if isinstance(event, CommandRefused) and event.command == "export":
        return f"export: {event.reason}"
    if isinstance(event, RunPaused) and event.reason:
        return f"paused: {event.reason}"
    return ""
