"""`bench speed`: how fast this engine trains organizations, against other ways to train the same tokens.

- engine: `train_cohort`, as a run calls it;
- in turn: one PEFT model, its adapter set anew for each organization;
- pooled: plain PEFT on the rows of all organizations together, one adapter and no federation: what the machine can do;
- ray: Flower's own engine, in a short run of its own (`short_run`).

All take the same batches in the same order. Engine, in turn and ray have to reach the same losses, pooled the same
first one. The ways take turns, several times, and medians are told: what else the machine does meets all of them.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedlora_tui.benchmarks import short_run
from fedlora_tui.benchmarks.between import between_rounds
from fedlora_tui.benchmarks.job import write_job
from fedlora_tui.benchmarks.process import run_process
from fedlora_tui.benchmarks.products import matrix_rate, needed, synchronize
from fedlora_tui.benchmarks.report import Cell, Report, machine
from fedlora_tui.benchmarks.ways import WAYS, Outcome, Work, furthest, plain_model, tolerance
from fedlora_tui.config import Config
from fedlora_tui.engine.plan import plan_of
from fedlora_tui.engine.prepare import Prepared, prepare
from fedlora_tui.errors import UserError
from fedlora_tui.lora.cohort_size import cohort_size
from fedlora_tui.organizations.roster import call_roster

ORGANIZATIONS, STEPS = 16, 8
SHORT_ORGANIZATIONS, SHORT_STEPS = 8, 4
"""What is measured where the configuration says nothing of it; the short run's own below."""

LEARNING_RATE = 1e-3
"""No way is faster or slower for it; at the embedded base's own, rounding grows to 1e-5 of the loss in ten rounds."""

BETWEEN_ROUNDS, BETWEEN_BATCH = 4, 4
RAY_EXTRA = 'pip install "fedlora-tui[ray]"'
MIB = 2**20

HEADINGS = {
    "name": "",
    "tokens_per_second": "tokens/s",
    "ratio": "engine is × faster",
    "matrix_share": "matrix share",
    "start_to_exit": "start to exit s",
    "difference": "difference",
    "memory_mib": "memory MiB",
    "added_mib": "added MiB",
}
"""What of the rows a table shows."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Timed:
    """One way at one batch size: the seconds of each repetition, and what it reached."""

    seconds: tuple[float, ...]
    outcome: Outcome

    @property
    def tokens_per_second(self) -> float:
        """Target tokens a second in the median repetition."""
        return self.outcome.tokens / statistics.median(self.seconds)


@dataclass(frozen=True)
class Measured:
    """All ways at one batch size.

    `operations` are what all their steps need; `matrix` what the machine's matrix products reached meanwhile, a
    second; `memory` the peak, and what training added, in bytes, by way.
    """

    batch_size: int
    ways: Mapping[str, Timed]
    operations: int
    matrix: float
    memory: Mapping[str, Mapping[str, int]]

    def share(self, way: str) -> float:
        """Give the share of the matrix rate that a way reached on what was needed."""
        return self.operations / statistics.median(self.ways[way].seconds) / self.matrix


@dataclass
class Speed:
    """The benchmark: a configuration, batch sizes, repetitions, whom to tell.

    The short run has so many rounds (0: there is none) and rows of so many tokens.
    """

    config: Config
    batch_sizes: tuple[int, ...]
    repeats: int
    short_rounds: int
    say: Say
    short_length: int = 64
    _notes: list[str] = field(default_factory=list)

    def report(self) -> Report:
        """Measure everything and lay it out. Raises UserError where something cannot run or reached other losses."""
        config = comparable(self.config, ORGANIZATIONS, STEPS, self.config.model.max_length)
        self.say("reading organizations")
        prepared = prepare(config, call_roster(config), lambda stage: None)
        with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as folder:
            measured = [self.measured(prepared, size, Path(folder)) for size in self.batch_sizes]
            del prepared
            self.say("what lies between rounds")
            between = self._between(config)
            compared = self._compared(Path(folder))
        rows = [row for own in measured for row in _rows(own)] + [row for own in compared for row in _short_rows(own)]
        ratios: dict[str, Any] = {f"batch{own.batch_size}": _ratios(own) for own in measured}
        for own in compared:
            ratios[f"batch{own.batch_size}"] |= _ray_ratios(own)
        notes = [*self._said(config), *self._notes]
        return Report("speed", rows, {**ratios, "between_rounds": between}, notes, headings=HEADINGS)

    def measured(self, prepared: Prepared, batch_size: int, folder: Path) -> Measured:
        """Let the ways take turns at one batch size, and hold their losses against one another."""
        config, base = prepared.config, prepared.base
        plan = replace(plan_of(config, 1), batch_size=batch_size)
        beside = tuple(own for own in prepared.replicas if own.device == base.device)
        length, lanes = config.model.max_length, 1 + len(beside)
        cohort = cohort_size(config.federation.cohort, base, prepared.adapter, plan, length, lanes)
        rows = [prepared.rows(name) for name in prepared.organizations]
        plain = plain_model(base, prepared.adapter, copied=True)
        work = Work(base, prepared.adapter, rows, plan, cohort, plain, beside)
        step = needed(base, prepared.adapter)
        operations = sum(step.of(batch) for own in rows for batch in work.batches(own))
        for name, way in WAYS.items():
            self.say(f"batch {batch_size}: {name}, to warm up")
            way(replace(work, plan=replace(plan, local_steps=1)))
        seconds: dict[str, list[float]] = {name: [] for name in WAYS}
        outcomes: dict[str, Outcome] = {}
        rates = [matrix_rate(base.device, base.dtype)]
        for repeat in range(self.repeats):
            for name, way in WAYS.items():
                self.say(f"batch {batch_size}, {repeat + 1} of {self.repeats}: {name}")
                synchronize(base.device)
                began = time.perf_counter()
                outcomes[name] = way(work)
                synchronize(base.device)
                seconds[name].append(time.perf_counter() - began)
            rates.append(matrix_rate(base.device, base.dtype))
        check(outcomes, batch_size, tolerance(base.dtype))
        write_job(folder / f"memory{batch_size}", config, base, prepared.adapter, plan, cohort, rows)
        ways = {name: Timed(tuple(seconds[name]), outcomes[name]) for name in WAYS}
        memory = self._memory(folder / f"memory{batch_size}", batch_size)
        return Measured(batch_size, ways, operations, statistics.median(rates), memory)

    def _memory(self, folder: Path, batch_size: int) -> dict[str, dict[str, int]]:
        found = {}
        for way in WAYS:
            self.say(f"batch {batch_size}: memory of {way}, in a process of its own")
            ended = run_process(f"memory of {way}", ["-m", "fedlora_tui.benchmarks.memory_run", str(folder), way])
            found[way] = json.loads(ended.output.splitlines()[-1])
        return found

    def _between(self, config: Config) -> float | None:
        """Measure the share of a round that neither trains nor evaluates."""
        if config.federation.local_steps < 2:
            self._notes.append("between_rounds needs 2 local steps or more")
            return None
        federation = replace(config.federation, batch_size=BETWEEN_BATCH, rounds=BETWEEN_ROUNDS)
        try:
            return between_rounds(replace(config, federation=federation))
        except UserError as error:
            # What was measured before is worth telling.
            self._notes.append(f"between_rounds: {error}")
            return None

    def _compared(self, folder: Path) -> list[short_run.Comparison]:
        """Run the short run against Ray's engine; nothing where the extra is not here or it was not asked for."""
        if not self.short_rounds:
            return []
        if not short_run.ray_is_here():
            self._notes.append(f"ray: Flower's Ray engine is not installed; {RAY_EXTRA}")
            return []
        config = comparable(self.config, SHORT_ORGANIZATIONS, SHORT_STEPS, self.short_length)
        config = replace(config, federation=replace(config.federation, rounds=self.short_rounds))
        processors = int(machine()["processors"] or 1)
        compared = short_run.compare(config, self.batch_sizes, processors, folder / "short", self.say)
        self._notes += [reason for own in compared for reason in own.failed]
        self._notes.append(
            f"short run: {config.federation.organizations} organizations, {self.short_rounds} rounds of "
            f"{config.federation.local_steps} steps, rows of {self.short_length} tokens, from start to exit, each in a "
            f"process of its own; tokens/s there are those of the median round from the second on"
        )
        return compared

    def _said(self, config: Config) -> list[str]:
        federation = config.federation
        return [
            f"{federation.organizations} organizations, {federation.local_steps} steps, rows of "
            f"{config.model.max_length} tokens, {self.repeats} repetitions in turns, medians; difference: the largest "
            f"relative one between an organization's loss and the engine's (pooled: of the first step)",
            "matrix share: operations that training needs, a second, over those of torch.mm of two square matrices",
            "memory: the most that a process which goes this way alone holds (on a GPU: of the GPU), and what training "
            "adds to what it held before",
            "between_rounds: share of a round's time, of the run itself, that neither trains nor evaluates",
        ]


def comparable(config: Config, organizations: int, steps: int, length: int) -> Config:
    """Give the configuration that every way can train, with what was not set at what the benchmark measures."""
    if config.model.quantization != "none":
        raise UserError('bench speed: model.quantization has to be "none": the ways are compared on whole weights')
    given, federation = config.given, config.federation
    count = federation.organizations if "federation.organizations" in given else organizations
    return replace(
        config,
        model=replace(config.model, max_length=length, gradient_checkpointing=False),
        lora=replace(config.lora, dropout=0.0),
        federation=replace(
            federation,
            organizations=count,
            local_steps=federation.local_steps if "federation.local_steps" in given else steps,
            learning_rate=federation.learning_rate if "federation.learning_rate" in given else LEARNING_RATE,
            local_epochs=0,
            clip_norm=0.0,
            proximal_mu=0.0,
            fraction=1.0,
        ),
        given=given | {"federation.organizations"} if config.data.source == "synthetic" else given,
    )


def check(outcomes: Mapping[str, Outcome], batch_size: int, allowed: float) -> None:
    """Raise UserError where the ways did not train the same tokens to the same losses."""
    engine = outcomes["engine"]
    for name, outcome in outcomes.items():
        if outcome.tokens != engine.tokens:
            raise UserError(
                f"bench speed: at batch {batch_size} {name} trained {outcome.tokens} tokens and the engine "
                f"{engine.tokens}: they did not train the same"
            )
        apart = difference(name, outcome, engine)
        if not apart <= allowed:
            raise UserError(
                f"bench speed: at batch {batch_size} {name} reached other losses than the engine "
                f"({apart:.2g} apart, {allowed:g} allowed): they did not train the same"
            )


def difference(name: str, outcome: Outcome, engine: Outcome) -> float:
    """Give the largest relative difference of a way's losses from the engine's; of pooled, that of the first step."""
    first = furthest({"first": engine.first}, {"first": outcome.first})
    return first if name == "pooled" else max(first, furthest(engine.losses, outcome.losses))


def _rows(measured: Measured) -> list[dict[str, Cell]]:
    engine = measured.ways["engine"]
    rows: list[dict[str, Cell]] = []
    for name, timed in measured.ways.items():
        losses = list(timed.outcome.losses.values())
        rows.append(
            {
                "name": f"batch {measured.batch_size} {name}",
                "batch_size": measured.batch_size,
                "way": name,
                "tokens_per_second": timed.tokens_per_second,
                "ratio": engine.tokens_per_second / timed.tokens_per_second,
                "matrix_share": measured.share(name),
                "seconds": statistics.median(timed.seconds),
                "start_to_exit": None,
                "loss": statistics.fmean(losses),
                "difference": difference(name, timed.outcome, engine.outcome),
                "memory_mib": measured.memory[name]["peak"] / MIB,
                "added_mib": measured.memory[name]["added"] / MIB,
                "gflops": measured.share(name) * measured.matrix / 1e9,
            }
        )
    product = dict.fromkeys(rows[0]) | {
        "name": f"batch {measured.batch_size} matrix product",
        "batch_size": measured.batch_size,
        "way": "matrix product",
        "matrix_share": 1.0,
        "gflops": measured.matrix / 1e9,
    }
    return [*rows, product]


def _short_rows(compared: short_run.Comparison) -> list[dict[str, Cell]]:
    ours = statistics.median(run.round_seconds for run in compared.ours)
    tokens = compared.tokens / len(compared.ours[0].rounds)
    return [
        {
            "name": f"batch {compared.batch_size} short run: {run.name}",
            "batch_size": compared.batch_size,
            "way": run.name,
            "tokens_per_second": tokens / run.round_seconds,
            "ratio": run.round_seconds / ours,
            "matrix_share": None,
            "seconds": run.round_seconds,
            "start_to_exit": run.seconds,
            "loss": statistics.fmean(run.losses[-1].values()),
            "difference": short_run.apart(compared.ours[0], run),
            "memory_mib": run.peak_bytes / MIB,
            "added_mib": None,
            "gflops": None,
        }
        for run in (*compared.ours, *compared.ray)
    ]


def _ratios(measured: Measured) -> dict[str, float | None]:
    """Give what the contract names: this engine's tokens a second over each other way's."""
    speeds = {name: timed.tokens_per_second for name, timed in measured.ways.items()}
    return {
        "in_turn": speeds["engine"] / speeds["in turn"],
        "pooled": speeds["engine"] / speeds["pooled"],
        "ray": None,
        "ray_start_to_exit": None,
        "ray_base_kept": None,
        "matrix_share": measured.share("engine"),
    }


def _ray_ratios(compared: short_run.Comparison) -> dict[str, float | None]:
    return {
        "ray": compared.ratio(lambda run: run.round_seconds),
        "ray_start_to_exit": compared.ratio(lambda run: run.seconds),
        "ray_base_kept": compared.ratio(lambda run: run.round_seconds, kept=True),
    }
