"""The face without a terminal: `fedlora-tui run`, with progress on stderr and, if asked for, every event on stdout."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from fedlora_tui.config import Config
from fedlora_tui.console.drawing import numbers
from fedlora_tui.engine.run import Manner, Run, log_to_files_alone
from fedlora_tui.errors import UserError
from fedlora_tui.farewell import farewell
from fedlora_tui.protocol.commands import Stop
from fedlora_tui.protocol.events import (
    UNRECORDED,
    Record,
    RoundFinished,
    RunPaused,
    RunStarted,
    UpdateRejected,
    Warned,
    to_json,
)
from fedlora_tui.protocol.state import RunState

LOOK_SECONDS = 0.1
LAST_STEP_SECONDS, LAST_LINE_SECONDS = 2.0, 1.0
"""How long an interrupted run may take to end its local step, and its journal to be closed, before its process ends."""

EXIT_DONE, EXIT_FAILED = 0, 1
REASONS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class JsonLines:
    """Writes every recorded event on stdout as it happens, one flushed line each.

    A thread of its own writes, so that a reader of stdout that stalls never holds up the run or its end.
    """

    def __init__(self) -> None:
        self.closed = False
        self._records: SimpleQueue[Record | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="json lines", daemon=True)
        self._writer.start()

    def __call__(self, record: Record) -> None:
        if record.seq != UNRECORDED:
            self._records.put(record)

    def finish(self, given_up: Callable[[], bool]) -> None:
        """Wait until all is written, or until the wait is given up."""
        self._records.put(None)
        while self._writer.is_alive() and not given_up():
            self._writer.join(LOOK_SECONDS)

    def _write(self) -> None:
        while (record := self._records.get()) is not None and not self.closed:
            self._write_one(record)

    def _write_one(self, record: Record) -> None:
        try:
            sys.stdout.write(to_json(record) + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            # The reader has what it wanted; what is still in Python's buffer must not raise again at exit.
            self.closed = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Signals:
    """The first interrupt or termination ends the run; a second one ends the process."""

    def __init__(self, run: Run) -> None:
        self.caught: signal.Signals | None = None
        self.since = 0.0
        self._run = run
        for kind in REASONS:
            signal.signal(kind, self._catch)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None:
            self.leave_now()
        self.caught, self.since = signal.Signals(number), time.monotonic()

    @property
    def exit_status(self) -> int:
        """What a shell gives a process that a signal ended."""
        return 128 + (self.caught or 0)

    @property
    def late(self) -> bool:
        """True when the run has had its time to end its step."""
        return self.caught is not None and time.monotonic() - self.since > LAST_STEP_SECONDS

    def leave_now(self) -> None:
        """End the process without its worker, the journal's last line written."""
        # Written down by a thread of its own, for this may run while the main thread holds a lock that it needs.
        reason = REASONS[self.caught] if self.caught else "interrupted"
        last_line = threading.Thread(target=self._run.abandon, args=(reason,), daemon=True)
        last_line.start()
        last_line.join(LAST_LINE_SECONDS)
        sys.stderr.flush()
        os._exit(self.exit_status)


def run_headless(config: Config, json_lines: bool, patient: bool) -> int:
    """Run to the end without a terminal; give the exit status."""
    log_to_files_alone()
    run = Run(config, Manner(patient=patient))
    lines = JsonLines()
    if json_lines:
        run.subscribe(lines)
    signals = Signals(run)
    narration = Narration(Console(stderr=True, highlight=False))
    run.start()
    with narration:
        _follow(run, narration, signals, lines)
    run.close()
    lines.finish(lambda: signals.late)
    return _ending(run, signals)


def _follow(run: Run, narration: Narration, signals: Signals, lines: JsonLines) -> None:
    asked = False
    while not run.wait(LOOK_SECONDS):
        narration.tell(run.drain(), run.state)
        if not asked and (signals.caught or lines.closed):
            asked = True
            run.send(Stop(REASONS[signals.caught] if signals.caught else "standard output was closed"))
        if signals.late:
            narration.close()
            signals.leave_now()
    narration.tell(run.drain(), run.state)


def _ending(run: Run, signals: Signals) -> int:
    if signals.caught is None and run.refusal is not None:
        raise UserError(run.refusal)
    sys.stderr.write(farewell(run.state))
    sys.stderr.flush()
    if signals.caught is not None:
        return signals.exit_status
    return EXIT_DONE if run.state.phase == "done" else EXIT_FAILED


class Narration:
    """Progress on stderr: a live line on a terminal, one plain line a round elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._bar.add_task("starting", total=1.0, facts="")

    def __enter__(self) -> Narration:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the live line away."""
        self._bar.stop()

    def tell(self, records: Sequence[Record], state: RunState) -> None:
        """Say what is new, and draw the live line anew."""
        for record in records:
            sentence = _sentence(record, state)
            if sentence:
                self._console.print(sentence, markup=False, soft_wrap=True)
        facts = f"round {numbers.of(state.round, state.rounds)}   hold-out {numbers.loss(state.eval_loss)}"
        left = state.seconds_left(time.time())
        facts += f"   {numbers.duration(left)} left" if left is not None else ""
        doing = _preparing(state) if state.phase == "starting" else facts
        self._bar.update(self._task, description=state.phase, completed=state.progress, facts=doing)


def _preparing(state: RunState) -> str:
    working = [stage for stage in state.preparation.values() if stage.state == "working"]
    if not working:
        return ""
    stage = working[-1]
    if stage.total and stage.unit == "bytes":
        return f"{stage.detail} {numbers.bytes_text(stage.done)} of {numbers.bytes_text(stage.total)}"
    return f"{stage.stage}: {stage.detail}"


def _sentence(record: Record, state: RunState) -> str:
    """Put into words what a person wants to find in a log; empty for all else."""
    event = record.event
    at = numbers.clock(record.t)
    if isinstance(event, RunStarted):
        what = (
            f"{event.model} {numbers.count_short(event.params)}, {event.aggregation}, rank {event.rank}, {event.device}"
        )
        return f"{at}  {event.run}: {len(event.orgs)} organizations, {what}"
    if isinstance(event, RoundFinished):
        before = next((row.eval_loss for row in reversed(state.history) if row.round == event.round - 1), None)
        change = None if before is None or event.eval_loss is None else event.eval_loss - before
        holdout = f"{numbers.loss(event.eval_loss)} ({numbers.signed(change)})"
        return (
            f"{at}  round {event.round}/{event.rounds}   hold-out {holdout}"
            f"   train {numbers.loss(event.train_loss)}   drift {numbers.drift(event.drift)}"
            f"   {numbers.seconds(event.seconds)} s   {numbers.bytes_text(event.bytes_up + event.bytes_down)}"
        )
    if isinstance(event, UpdateRejected):
        return f"{at}  {event.org}: reply refused: {event.reason}"
    if isinstance(event, Warned):
        return f"{at}  {event.message}"
    if isinstance(event, RunPaused) and event.reason:
        return f"{at}  paused: {event.reason}"
    return ""
