"""`bench quality`: how much of what pooling all text would bring, a federation brings without pooling it.

Four ways to spend the same optimizer steps on the same organizations, each measured on every organization's hold-out:

- base: no training;
- alone: each organization trains its own adapter on its own text, and is measured with that;
- federated: the run itself, as `fedlora-tui run` does it;
- pooled: all text in one place, one adapter, batches as large as those of all organizations together.

Alone and pooled keep their optimizer from step to step, as they would without rounds. Every way has its learning rate
tuned over the same values, on the first seed and each kind of partition by itself, and keeps it for the other seeds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.benchmarks.whole_run import Losses, losses_at, records_of
from fedlora_tui.config import Config
from fedlora_tui.engine.plan import plan_of
from fedlora_tui.engine.prepare import Prepared, prepare
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.cohort import LocalTraining, measure_cohort, train_cohort
from fedlora_tui.lora.rows import Rows
from fedlora_tui.organizations.roster import call_roster

LITTLE = 0.25
"""The share of organizations, those with the least text, that count as having little."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """All ways on one partition and one seed; `little` are the organizations with the least text to train on."""

    partition: str
    seed: int
    ways: Mapping[str, Losses]
    little: tuple[str, ...]

    @property
    def closed(self) -> float:
        """The share of the way from base to pooled that federated went."""
        return self.share("federated")

    def share(self, way: str) -> float:
        """Give the share of the way from base to pooled that one way went."""
        base, pooled = self.ways["base"].mean(), self.ways["pooled"].mean()
        return (base - self.ways[way].mean()) / (base - pooled)


Way = Callable[[Config, Prepared], Losses]


@dataclass
class Quality:
    """The benchmark: a configuration, the seeds and rates to go through, and whom to tell of progress."""

    config: Config
    seeds: int
    partitions: tuple[str, ...]
    rates: tuple[float, ...]
    say: Say
    _rate: dict[tuple[str, str], float] = field(default_factory=dict)

    def report(self) -> Report:
        """Run every comparison and lay the numbers out. Raises UserError where a run cannot begin, or fails."""
        first = self.config.federation.seed
        for partition in self.partitions:
            # What is missing (a package, a folder) is told now and not after the first half of an hour.
            call_roster(self._on(partition, first))
        comparisons = [
            self.compared(partition, seed) for partition in self.partitions for seed in range(first, first + self.seeds)
        ]
        rows = [row for partition in self.partitions for row in self._rows(partition, comparisons)]
        closed = {
            partition: statistics.fmean(c.closed for c in comparisons if c.partition == partition)
            for partition in self.partitions
        }
        natural = closed.get("natural", next(iter(closed.values())))
        return Report("quality", rows, {"closed": natural, "closed_by_partition": closed}, self._notes(comparisons))

    def compared(self, partition: str, seed: int) -> Comparison:
        """Go every way on one partition and one seed, each at its tuned rate."""
        config = self._on(partition, seed)
        prepared = prepare(config, call_roster(config), lambda stage: None)
        ways = {"base": _measured(prepared, None)}
        for name, way in WAYS.items():
            ways[name] = self._tuned(name, way, config, prepared)
        texts = prepared.texts
        by_text = sorted(prepared.organizations, key=lambda name: texts.counts(name).tokens)
        return Comparison(partition, seed, ways, tuple(by_text[: max(1, round(LITTLE * len(by_text)))]))

    def _on(self, partition: str, seed: int) -> Config:
        data, federation = self.config.data, self.config.federation
        return replace(self.config, data=replace(data, partition=partition), federation=replace(federation, seed=seed))

    def _tuned(self, name: str, way: Way, config: Config, prepared: Prepared) -> Losses:
        """Go one way at the rate that was best on this partition's first seed, which is found there."""
        partition, seed = config.data.partition, config.federation.seed
        known = self._rate.get((partition, name))
        tried: dict[float, Losses] = {}
        for rate in [known] if known else self.rates:
            self.say(f"{partition}, seed {seed}: {name}, learning rate {rate:g}")
            tried[rate] = way(replace(config, federation=replace(config.federation, learning_rate=rate)), prepared)
        best = min(tried, key=lambda rate: tried[rate].mean())
        self._rate[partition, name] = best
        return tried[best]

    def _rows(self, partition: str, comparisons: Sequence[Comparison]) -> list[dict[str, Cell]]:
        own = [comparison for comparison in comparisons if comparison.partition == partition]
        rows: list[dict[str, Cell]] = []
        for way in own[0].ways:
            losses = [comparison.ways[way].mean() for comparison in own]
            little = [comparison.ways[way].mean(comparison.little) for comparison in own]
            gone = [comparison.share(way) for comparison in own]
            rows.append(
                {
                    "name": f"{partition} {way}",
                    "partition": partition,
                    "way": way,
                    "learning_rate": self._rate.get((partition, way)),
                    "loss": statistics.fmean(losses),
                    "loss_spread": spread(losses),
                    "closed": statistics.fmean(gone),
                    "closed_spread": spread(gone),
                    "little_text_loss": statistics.fmean(little),
                    "seconds": statistics.fmean(comparison.ways[way].seconds for comparison in own),
                }
            )
        return rows

    def _notes(self, comparisons: Sequence[Comparison]) -> list[str]:
        federation = self.config.federation
        steps = federation.rounds * federation.local_steps
        organizations = len(comparisons[0].ways["base"].tokens)
        notes = [
            f"{organizations} organizations, {federation.rounds} rounds of {federation.local_steps} steps "
            f"({steps} optimizer steps each way), batches of {federation.batch_size} rows "
            f"({organizations * federation.batch_size} pooled), {self.seeds} seeds; "
            f"spread is the standard deviation over seeds"
        ]
        for partition in self.partitions:
            own = [comparison for comparison in comparisons if comparison.partition == partition]
            better = sum(
                comparison.ways["federated"].by_organization[name] < comparison.ways["alone"].by_organization[name]
                for comparison in own
                for name in comparison.little
            )
            every = sum(len(comparison.little) for comparison in own)
            notes.append(
                f"{partition}: of {every} organizations with the least text, federated beats alone for {better}"
            )
        return notes


def spread(values: Sequence[float]) -> float | None:
    """Give the standard deviation over seeds, None of one alone."""
    return statistics.stdev(values) if len(values) > 1 else None


def _alone(config: Config, prepared: Prepared) -> Losses:
    """Train an adapter for each organization on its own text."""
    names = prepared.organizations
    began = time.monotonic()
    rows = [prepared.rows(name) for name in names]
    trained = train_cohort(prepared.base, [prepared.adapter] * len(names), rows, [_whole(config)] * len(names))
    losses = _measured(prepared, {result.organization: result.adapter for result in trained})
    return replace(losses, seconds=time.monotonic() - began)


def _pooled(config: Config, prepared: Prepared) -> Losses:
    """Train one adapter on everybody's text, in batches as large as those of all organizations together."""
    names = prepared.organizations
    began = time.monotonic()
    every = tuple(chain.from_iterable(prepared.rows(name).train for name in names))
    plan = replace(_whole(config), batch_size=len(names) * config.federation.batch_size)
    (trained,) = train_cohort(prepared.base, [prepared.adapter], [Rows("pooled", every, ())], [plan])
    losses = _measured(prepared, dict.fromkeys(names, trained.adapter))
    return replace(losses, seconds=time.monotonic() - began)


def _federated(config: Config, prepared: Prepared) -> Losses:
    """Go through a run as `fedlora-tui run` does, from loading the base to the last evaluation."""
    began = time.monotonic()
    losses = losses_at(records_of(config), config.federation.rounds)
    return replace(losses, seconds=time.monotonic() - began)


WAYS: dict[str, Way] = {"alone": _alone, "federated": _federated, "pooled": _pooled}


def _whole(config: Config) -> LocalTraining:
    """Give the plan of as many steps as a run has, in one go."""
    return replace(plan_of(config, 1), local_steps=config.federation.rounds * config.federation.local_steps)


def _measured(prepared: Prepared, adapters: Mapping[str, Adapter] | None) -> Losses:
    """Measure every organization under its adapter, or all of them under the base alone."""
    names = list(prepared.organizations)
    given = None if adapters is None else [adapters[name] for name in names]
    rows = [prepared.rows(name) for name in names]
    # Where rows are not apart, each organization is measured alone, as in a run.
    step = len(names) if prepared.base.rows_apart else 1
    found = [
        measured
        for at in range(0, len(names), step)
        for measured in measure_cohort(prepared.base, given and given[at : at + step], rows[at : at + step])
    ]
    return Losses({own.organization: own.loss for own in found}, {own.organization: own.tokens for own in found})
