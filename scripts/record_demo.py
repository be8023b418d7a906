"""Records the journal that `fedlora-tui replay demo` shows: `python scripts/record_demo.py`.

A real run of twelve rounds is made with the embedded base on processors and steered through all that a viewer should
see: an organization that joins, a pause, a rank and a rate that are turned, one that is dropped, an export. What names
the machine that it ran on is taken out.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedlora_tui.config import Setting, load
from fedlora_tui.engine.run import Manner, Run, log_to_files_alone
from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record, to_json

DEMO = Path(__file__).parent.parent / "fedlora_tui" / "assets" / "demo" / "events.jsonl"
NAME, FOLDER = "demo", "runs/demo"
SETTINGS = {
    "model.device": "cpu",
    "federation.organizations": "6",
    "federation.rounds": "12",
    "federation.local_steps": "6",
    "federation.learning_rate": "3e-3",
    "lora.target_modules": "all-linear",
    "federation.seed": "7",
    "data.holdout_tokens": "1024",
}
PAUSE_SECONDS = 6.0
TELEMETRY_SECONDS = 2.0
"""How often the demo keeps what the machine measured of itself."""

PLAN: tuple[tuple[int, int, cmd.Command], ...] = (
    (3, 4, cmd.AddOrganization()),
    (5, 3, cmd.Pause()),
    (6, 2, cmd.Rank(8)),
    (7, 5, cmd.Rank(16)),
    (7, 7, cmd.Undo()),
    (8, 6, cmd.Rate(2e-3)),
    (9, 3, cmd.DropOrganization("")),
    (11, 4, cmd.Export()),
)
"""What is asked for, and in which round and local step; the organization dropped is the last one by name."""


def recorded(runs: str) -> list[Record]:
    """Make the run, steer it, and give what its journal says."""
    settings = [Setting(name, text, "") for name, text in {**SETTINGS, "runs.dir": runs, "runs.name": NAME}.items()]
    run = Run(load(None, settings), Manner())
    said: list[Record] = []
    plan = list(PLAN)

    def watch(record: Record) -> None:
        said.append(record)
        event = record.event
        if plan and isinstance(event, ev.TrainStep) and (event.round, event.step) >= plan[0][:2]:
            command = plan.pop(0)[2]
            run.send(replace(command, org=event.org) if isinstance(command, cmd.DropOrganization) else command)
        if isinstance(event, ev.RunPaused):
            threading.Timer(PAUSE_SECONDS, run.send, (cmd.Resume(),)).start()

    run.subscribe(watch)
    run.start()
    run.wait()
    run.close()
    if run.refusal or plan:
        raise SystemExit(f"the run for the demo did not get to its end: {run.refusal or plan}")
    return [record for record in said if record.seq != ev.UNRECORDED]


def scrubbed(records: list[Record], runs: str) -> list[Record]:
    """Take out what names the machine, thin out its measurements, and number what is left."""
    kept: list[Record] = []
    folder, run = _place(records)
    measured = -TELEMETRY_SECONDS

    def renamed(text: str) -> str:
        return text.replace(folder, FOLDER).replace(runs, "runs").replace(run, NAME)

    for record in records:
        if isinstance(record.event, ev.Telemetry):
            if record.t - measured < TELEMETRY_SECONDS:
                continue
            measured = record.t
        kept.append(Record(len(kept) + 1, record.t, _renamed(record.event, renamed)))
    return kept


def _place(records: list[Record]) -> tuple[str, str]:
    started = next(record.event for record in records if isinstance(record.event, ev.RunStarted))
    return started.folder, started.run


def _renamed(event: ev.Event, rename: Callable[[str], str]) -> ev.Event:
    """Give the event with all its texts renamed."""
    return replace(event, **{name: _in(value, rename) for name, value in vars(event).items()})


def _in(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return rename(value)
    if isinstance(value, dict):
        return {name: _in(part, rename) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_in(part, rename) for part in value)
    return value


def main() -> None:
    """Record it and write it down."""
    log_to_files_alone()
    with tempfile.TemporaryDirectory() as runs:
        records = scrubbed(recorded(runs), runs)
    DEMO.parent.mkdir(parents=True, exist_ok=True)
    DEMO.write_text("".join(to_json(record) + "\n" for record in records), encoding="utf-8")
    print(f"{len(records)} events, {records[-1].t - records[0].t:.0f} s, {DEMO.stat().st_size} bytes")


if __name__ == "__main__":
    main()
