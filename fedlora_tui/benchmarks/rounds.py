"""`bench rounds`: what a round costs against organizations known, rank, and cohort size.

Every row is a whole `fedlora-tui run` in a process of its own, so that its memory is its own. With more organizations
known, as many as ever train (and measure) a round: what grows is what knowing them costs. With the rank, alpha grows,
so that the scale stays.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedlora_tui.benchmarks.process import Ended, run_process
from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.config import Config, to_toml
from fedlora_tui.errors import UserError

TRAINED = 10
"""Organizations that train a round, however many are known."""

ROUNDS = 5
"""Rounds of a run where the configuration does not say."""

MIB = 2**20
HEADINGS = {
    "name": "",
    "round_seconds": "a round s",
    "reading_seconds": "before it s",
    "tokens_per_second": "tokens/s",
    "start_seconds": "start s",
    "memory_mib": "memory MiB",
    "gpu_mib": "GPU MiB",
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Costs:
    """The benchmark: a configuration, the numbers to go through on each axis (some may be empty), whom to tell."""

    config: Config
    organizations: tuple[int, ...]
    ranks: tuple[int, ...]
    cohorts: tuple[int, ...]
    say: Say

    def report(self) -> Report:
        """Measure every row and lay them out. Raises UserError where a run cannot begin, or fails."""
        if not (self.organizations or self.ranks or self.cohorts):
            raise UserError("bench rounds: nothing to go through; give --organizations, --ranks or --cohorts numbers")
        axes: dict[str, dict[int, Config]] = {
            "organizations": {number: knowing(self.config, number) for number in self.organizations},
            "rank": {number: ranked(self.config, number) for number in self.ranks},
            "cohort": {number: together(self.config, number, max(self.cohorts)) for number in self.cohorts},
        }
        rows = [self._row(axis, number, config) for axis, own in axes.items() for number, config in own.items()]
        return Report("rounds", rows, _ratios(rows), self._notes(), headings=HEADINGS, bars=_bars(rows))

    def _row(self, axis: str, number: int, config: Config) -> dict[str, Cell]:
        self.say(f"{axis} {number:,}")
        with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as folder:
            file = Path(folder) / "config.toml"
            file.write_text(to_toml(config), encoding="utf-8")
            arguments = ["-m", "fedlora_tui", "run", "--json", "-c", str(file), "--runs-dir", f"{folder}/runs"]
            return row_of(axis, number, run_process(f"fedlora-tui run ({axis} {number})", arguments))

    def _notes(self) -> list[str]:
        federation = self.config.federation
        return [
            f"each row: a run of {rounds_of(self.config)} rounds of {federation.local_steps} steps, batches of "
            f"{federation.batch_size}, {TRAINED} organizations a round ({max(self.cohorts, default=0)} for cohorts), "
            f"in a process of its own; the median round from the second on, its evaluation and checkpoint included",
            "before it: from a round's end to the next one's start; with more than 256 known, the reading "
            "of texts that are new to it",
            "start: all of the process's time before the first round and after the last; memory: the most that it held",
        ]


def rounds_of(config: Config) -> int:
    """Give how many rounds a row goes through."""
    return config.federation.rounds if "federation.rounds" in config.given else ROUNDS


def knowing(config: Config, organizations: int, trained: int = TRAINED) -> Config:
    """Give a run that knows so many organizations, of which some train and the same number measure a round."""
    share = min(1.0, trained / organizations)
    federation = replace(
        config.federation,
        organizations=organizations,
        rounds=rounds_of(config),
        fraction=share,
        fraction_evaluate=share,
        min_organizations=min(config.federation.min_organizations, organizations),
    )
    return replace(config, federation=federation, given=config.given | {"federation.organizations"})


def ranked(config: Config, rank: int) -> Config:
    """Give a run at a rank, at the scale that the configuration has."""
    lora = replace(config.lora, rank=rank, alpha=config.lora.alpha / config.lora.default_rank * rank)
    return replace(knowing(config, TRAINED), lora=lora)


def together(config: Config, cohort: int, organizations: int) -> Config:
    """Give a run of some organizations that trains so many of them in a pass."""
    known = knowing(config, organizations, organizations)
    return replace(known, federation=replace(known.federation, cohort=cohort))


def row_of(axis: str, number: int, ended: Ended) -> dict[str, Cell]:
    """Read what a run's `--json` output tells of its cost."""
    events = [json.loads(line) for line in ended.output.splitlines()]
    rounds = [event for event in events if event["type"] == "round_finished"]
    counted = rounds[1:] or rounds
    seconds = statistics.median(event["seconds"] for event in counted)
    began = {kind: next(event["t"] for event in events if event["type"] == kind) for kind in ENDS}
    held = [gpu["memory_ours"] for event in events if event["type"] == "telemetry" for gpu in event["gpus"]]
    on_gpu = max((bytes_held for bytes_held in held if bytes_held is not None), default=None)
    return {
        "name": f"{axis} {number:,}",
        "axis": axis,
        "value": number,
        "round_seconds": seconds,
        "reading_seconds": statistics.median(before_rounds(events)),
        "tokens_per_second": statistics.median(event["tokens"] / event["seconds"] for event in counted),
        "start_seconds": ended.seconds - (began["run_finished"] - began["round_started"]),
        "memory_mib": ended.peak_bytes / MIB,
        "gpu_mib": None if on_gpu is None else on_gpu / MIB,
    }


ENDS = ("round_started", "run_finished")


def before_rounds(events: Sequence[Mapping[str, Any]]) -> list[float]:
    """Give the seconds from each round's end to the next one's start: what reading texts that are new to it takes."""
    ended, gaps = None, []
    for event in events:
        if event["type"] == "round_started" and ended is not None:
            gaps.append(event["t"] - ended)
        if event["type"] == "round_finished":
            ended = event["t"]
    return gaps or [0.0]


def _ratios(rows: Iterable[Mapping[str, Cell]]) -> dict[str, Any]:
    """Give each row's round over the first one's of its axis."""
    ratios: dict[str, dict[str, float]] = {}
    first: dict[str, float] = {}
    for row in rows:
        axis, seconds = str(row["axis"]), float(row["round_seconds"] or 0.0)
        ratios.setdefault(axis, {})[str(row["value"])] = seconds / first.setdefault(axis, seconds)
    return ratios


def _bars(rows: Iterable[Mapping[str, Cell]]) -> dict[str, list[tuple[str, float]]]:
    bars: dict[str, list[tuple[str, float]]] = {}
    for row in rows:
        title = f"seconds a round, by {row['axis']}"
        bars.setdefault(title, []).append((f"{row['value']:,}", float(row["round_seconds"] or 0.0)))
    return bars
