"""A whole run in this process, by the engine's front door, and all that its events told."""

from __future__ import annotations

import tempfile
from dataclasses import replace

from fedlora_tui.config import Config
from fedlora_tui.engine.run import Manner, Run
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.commands import Stop
from fedlora_tui.protocol.events import Record

LAST_STEP_SECONDS = 5.0


def records_of(config: Config) -> list[Record]:
    """Go through a run as `fedlora-tui run` does, in a folder that is gone afterwards; give its records in order.

    Raises UserError where it cannot begin, or fails.
    """
    records: list[Record] = []
    with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as runs:
        run = Run(replace(config, runs=replace(config.runs, dir=runs)), Manner(patient=False))
        run.subscribe(records.append)
        run.start()
        try:
            run.wait()
        except KeyboardInterrupt:
            # A worker inside a native call would crash the interpreter at its end.
            run.send(Stop())
            run.wait(LAST_STEP_SECONDS)
            raise
        finally:
            run.close()
        if run.refusal is not None:
            raise UserError(run.refusal)
        if run.state.phase != "done":
            raise UserError(f"the run ended as {run.state.phase}: {run.state.reason or 'no reason was told'}")
    return records
