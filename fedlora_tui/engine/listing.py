"""What a list of runs says of each: read from the first line of its journal and as little of its end as that takes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedlora_tui.engine import journal, lock
from fedlora_tui.engine.folder import all_runs, waits_since
from fedlora_tui.errors import one_line
from fedlora_tui.protocol.events import check_version
from fedlora_tui.protocol.handle import ListedRun

ENDS = {"run_finished": "done", "run_stopped": "stopped", "run_failed": "failed"}
AT_WORK = {"run_resumed", "run_finishing", "run_continued", "round_started", "train_step", "round_finished"}
FEW = b'"type":"train_step"', b'"type":"telemetry"', b'"type":"org_state"', b'"type":"update_received"'
"""Lines that are many and say nothing of the run as a whole: they are passed over without being read."""


def list_runs(runs: Path) -> list[ListedRun]:
    """Give all runs of a folder, the newest first."""
    found = [summary(folder) for folder in all_runs(runs)]
    return sorted(found, key=lambda one: (-(one.started or 0.0), one.id))


def summary(folder: Path) -> ListedRun:
    """Say of one run what a list says; nothing of a journal makes this raise."""
    try:
        return _summary(folder)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        return ListedRun(folder.name, folder.name, "unreadable", note=one_line(error, None))


def _summary(folder: Path) -> ListedRun:
    with (folder / journal.NAME).open("rb") as file:
        head = file.readline()
    first = _line(head) if head.endswith(b"\n") else {}
    waits = None if first else waits_since(folder)
    told, held = _Tail(folder), lock.held(folder)
    if not held and told.phase not in ENDS.values():
        # It may have ended between the two looks: an end is told before the lock is let go.
        told = _Tail(folder)
    return ListedRun(
        id=folder.name,
        name=folder.name.split("-", 2)[-1],
        state=_state(folder, told, held) if first else "starting" if waits else "stale",
        round=told.round,
        rounds=told.rounds or int(first.get("rounds", 0)),
        train_loss=told.train_loss,
        eval_loss=told.eval_loss,
        base_loss=told.base_loss,
        started=_time(first.get("t", waits)),
        last=_time(told.last),
        parent=str(first.get("parent", "")),
        parent_round=first.get("parent_round"),
    )


def _state(folder: Path, told: _Tail, held: bool) -> str:
    # A run that is done stays open as long as a console looks at it; nothing comes after its end.
    if told.phase != "done" and held:
        who = lock.holder(folder)
        return "paused" if told.phase == "paused" or (who is not None and who.waits) else "running"
    return told.phase if told.phase in ENDS.values() else "stale"


class _Tail:
    """What the end of a journal says, read backwards up to the last finished round."""

    def __init__(self, folder: Path) -> None:
        self.phase = ""
        self.round = self.rounds = 0
        self.train_loss: float | None = None
        self.eval_loss: float | None = None
        self.base_loss: float | None = None
        self.last: float | None = None
        self._read(journal.lines_from_end(folder))

    def _read(self, lines: Iterable[bytes]) -> None:
        for text in lines:
            if self.phase and any(kind in text[:120] for kind in FEW):
                continue
            line = _line(text)
            kind = str(line["type"])
            self.last = line["t"] if self.last is None else self.last
            self.phase = self.phase or _phase(kind)
            if kind in WITH_ROUNDS:
                self.rounds = self.rounds or int(line["rounds"])
            if kind in ("round_finished", "run_continued"):
                self.round, self.base_loss = line["round"], line.get("base_loss")
                self.train_loss, self.eval_loss = line["train_loss"], line["eval_loss"]
                return


WITH_ROUNDS = ("round_started", "round_finished", "run_continued", "run_started")


def _phase(kind: str) -> str:
    if kind in ENDS:
        return ENDS[kind]
    if kind == "run_paused":
        return "paused"
    return "running" if kind in AT_WORK else ""


def _line(text: bytes) -> Mapping[str, Any]:
    line = json.loads(text)
    if not isinstance(line, dict):
        raise ValueError("a line is no event")
    check_version(line.get("v"))
    return line


def _time(told: float | None) -> float | None:
    """Give a time that can be shown. Raises TypeError, ValueError, OverflowError or OSError for what is none."""
    if told is not None:
        time.localtime(told)
    return told
