"""Records the journal that `fedlora-tui replay demo` shows: `python scripts/record_demo.py`.

A real run of twelve rounds is made with the embedded base on processors and steered through all that a viewer should
see: an organization that joins, one that sends no numbers until it is in quarantine, a pause in which a text is tried,
a rank and a rate that are turned, one that is dropped, an export. What names the machine that it ran on is taken out,
and figures are written with as many digits as a screen can show.

How the run started and the answer to the text stand in no journal; they are kept beside the pictures for
`make pictures`.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedlora_tui.config import Setting, load
from fedlora_tui.engine.run import Manner, Run, log_to_files_alone
from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record, to_json
from fedlora_tui.protocol.trying import Answer, Question, body_of

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "fedlora_tui" / "assets" / "demo" / "events.jsonl"
BESIDE_PICTURES = ROOT / "docs" / "pictures" / "recorded"
NAME = "demo"
SETTINGS = {
    "model.device": "cpu",
    "federation.organizations": "7",
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

DIGITS = 5
"""Significant digits of what is measured; a moment keeps its milliseconds."""

TROUBLED = "port-authority"
TRIED = Question(1, "Dear Sir, the charge on my account", org="bank-disputes")

PLAN: tuple[tuple[int, int, cmd.Command], ...] = (
    (2, 4, cmd.AddOrganization()),
    (3, 5, cmd.Fault("nan", TROUBLED)),
    (7, 2, cmd.Rank(8)),
    (7, 3, cmd.AddOrganization()),
    (8, 2, cmd.Fault("none", TROUBLED)),
    (8, 3, cmd.Release(TROUBLED)),
    (9, 3, cmd.Pause()),
    (10, 2, cmd.Rate(2e-3)),
    (10, 3, cmd.Rank(16)),
    (10, 5, cmd.Undo()),
    (11, 3, cmd.DropOrganization("")),
    (12, 2, cmd.Export()),
)
"""What is asked for, and in which round and local step; the organization dropped is the last one by name."""


def recorded(runs: str) -> tuple[list[Record], Answer]:
    """Make the run, steer it, and give all that it told, and its answer to the text that is tried."""
    settings = [Setting(name, text, "") for name, text in {**SETTINGS, "runs.dir": runs, "runs.name": NAME}.items()]
    run = Run(load(None, settings), Manner())
    said: list[Record] = []
    answers: list[Answer] = []
    plan = list(PLAN)

    def watch(record: Record) -> None:
        said.append(record)
        event = record.event
        if plan and isinstance(event, ev.TrainStep) and (event.round, event.step) >= plan[0][:2]:
            command = plan.pop(0)[2]
            run.send(replace(command, org=event.org) if isinstance(command, cmd.DropOrganization) else command)
        if isinstance(event, ev.RunPaused):
            run.try_text(0, TRIED, told)

    def told(answer: Answer) -> None:
        answers.append(answer)
        if answer.over and not any(before.over for before in answers[:-1]):
            threading.Timer(PAUSE_SECONDS, run.send, (cmd.Resume(),)).start()

    run.subscribe(watch)
    run.start()
    run.wait()
    run.close()
    if run.refusal or plan or not answers or answers[-1].refusal:
        raise SystemExit(f"the run for the demo did not get to its end: {run.refusal or plan or answers[-1:]}")
    return said, answers[-1]


def scrubbed(records: Iterable[Record], runs: str, name: str = NAME) -> list[Record]:
    """Take out what names the machine, thin out its measurements, round them, and number what is left.

    `name` is what the run is called then. What a journal does not hold keeps its number 0.
    """
    records = list(records)
    kept: list[Record] = []
    folder, run = _place(records)
    measured = -TELEMETRY_SECONDS
    number = 0

    def renamed(text: str) -> str:
        return text.replace(folder, f"runs/{name}").replace(runs, "runs").replace(run, name)

    for record in records:
        if isinstance(record.event, ev.Telemetry):
            if record.t - measured < TELEMETRY_SECONDS:
                continue
            measured = record.t
        number += record.seq != ev.UNRECORDED
        seq = number if record.seq != ev.UNRECORDED else ev.UNRECORDED
        kept.append(Record(seq, record.t, _changed(record.event, renamed)))
    return kept


def _place(records: list[Record]) -> tuple[str, str]:
    started = next(record.event for record in records if isinstance(record.event, ev.RunStarted))
    return started.folder, started.run


def _changed(event: ev.Event, rename: Callable[[str], str]) -> ev.Event:
    """Give the event with all its texts renamed and its figures rounded."""
    return replace(event, **{name: _in(value, rename) for name, value in vars(event).items()})


def _in(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return rename(value)
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {rename(name): _in(part, rename) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_in(part, rename) for part in value)
    return value


def write(records: Iterable[Record], file: Path) -> None:
    """Write records as a journal, and say how much that is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(to_json(record) + "\n" for record in records), encoding="utf-8")
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")


def main() -> None:
    """Record it and write it down."""
    log_to_files_alone()
    with tempfile.TemporaryDirectory() as runs:
        said, answer = recorded(runs)
        records = scrubbed(said, runs)
    journal = [record for record in records if record.seq != ev.UNRECORDED]
    first = next(place for place, record in enumerate(records) if isinstance(record.event, ev.RoundStarted))
    write(journal, DEMO)
    write(records[:first], BESIDE_PICTURES / "start.jsonl")
    (BESIDE_PICTURES / "tried.json").write_text(json.dumps(_in(body_of(answer), str), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
