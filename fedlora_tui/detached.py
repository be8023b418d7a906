"""`--detach`: a run, or a race, that begins without a terminal, or is resumed so, and goes on without one."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path

from fedlora_tui.attached import Link, RemoteRun
from fedlora_tui.engine.process import start_engine
from fedlora_tui.engine.race import Entry
from fedlora_tui.engine.run import Manner
from fedlora_tui.errors import UserError
from fedlora_tui.held_signals import end_on_termination, held_back
from fedlora_tui.protocol.events import RunContinued, RunStarted

LOOK_SECONDS = 0.05


def run_detached(given: Sequence[Entry], patient: bool) -> int:
    """Start runs in a process of their own and print their ids; give the exit status once they have begun.

    Raises UserError where one cannot begin.
    """
    terminated = end_on_termination()
    with held_back() as release:
        engine = start_engine(given, Manner(patient=patient))
        link = Link(engine.connection, steers=False, labels=[entry.label for entry in given], ending=engine.ending)
        try:
            release()
            begun = [_begun(run, entry.continues) for run, entry in zip(link.runs, given, strict=True)]
        except KeyboardInterrupt:
            # Who interrupts this wants no run; that it has begun was not said yet.
            engine.terminate(signal.SIGTERM)
            return 128 + (signal.SIGTERM if terminated else signal.SIGINT)
    link.close()
    for run in begun:
        print(run, flush=True)
    return 0


def _begun(run: RemoteRun, continues: Path | None) -> str:
    """Wait until a run has begun, or goes on; give its id."""
    while True:
        over = run.over
        for record in run.drain():
            if isinstance(record.event, RunStarted) and continues is None:
                return record.event.run
            if isinstance(record.event, RunContinued) and continues is not None:
                return continues.name
        if over:
            raise UserError(run.refusal or "the run ended before it had begun")
        time.sleep(LOOK_SECONDS)
