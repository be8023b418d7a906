"""`bench quality --methods`: what each aggregation method reaches, on the same text, steps and learning rate.

A row is a whole run by one method, on each seed. The server takes each round's mean as it is, for every method: some
start a round from other factors than those they sent, and no server optimizer goes on from there. Where the
configuration has a server optimizer or schedule, fedit with it is one row more, to hold the others against.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fedlora_tui.benchmarks.quality import spread
from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.benchmarks.whole_run import RunFailed, check_combination, losses_at, plain_server, records_of
from fedlora_tui.config import Config
from fedlora_tui.organizations.roster import call_roster
from fedlora_tui.protocol.events import Record, RoundFinished
from fedlora_tui.protocol.spent import last_spent

FEDIT = "fedit"
"""The method whose gain the others' are held against."""

MIB = 2**20
HEADINGS = {
    "name": "",
    "learning_rate": "rate",
    "loss": "hold-out loss",
    "loss_spread": "±",
    "gain": "gain",
    "of_fedit": "of fedit's",
    "of_fedit_spread": "±",
    "drift": "drift",
    "drift_median": "median",
    "mib_up": "MiB up",
    "mib_down": "MiB down",
    "round_seconds": "a round s",
    "seconds": "a run s",
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """One run: hold-out losses before and after, and each round's drift, bytes and seconds.

    `failure` says why there is no loss to show: the run ended early, or an organization could tell none. `epsilon` is
    what it gave away of an organization, None where nothing protected it.
    """

    base: float
    loss: float
    drifts: Sequence[float]
    bytes_up: Sequence[int]
    bytes_down: Sequence[int]
    rounds: Sequence[float]
    seconds: float
    failure: str = ""
    epsilon: float | None = None

    @property
    def gain(self) -> float:
        """How far the loss fell below that of the base."""
        return self.base - self.loss


def outcome_of(config: Config) -> Outcome:
    """Go through a run and read from its events what it came to. Raises UserError where it cannot begin."""
    began, failure = time.monotonic(), ""
    try:
        records: Sequence[Record] = records_of(config)
    except RunFailed as failed:
        records, failure = failed.records, str(failed)
    seconds = time.monotonic() - began
    finished = [record.event for record in records if isinstance(record.event, RoundFinished)]
    loss = losses_at(records, config.federation.rounds).mean()
    if not failure and not math.isfinite(loss):
        failure = "the run ended without a finite loss on every hold-out"
    return Outcome(
        base=losses_at(records, 0).mean(),
        loss=loss,
        drifts=[event.drift for event in finished if event.drift is not None],
        bytes_up=[event.bytes_up for event in finished],
        bytes_down=[event.bytes_down for event in finished],
        rounds=[event.seconds for event in finished],
        seconds=seconds,
        failure=failure,
        epsilon=spent.epsilon if (spent := last_spent(records)) else None,
    )


@dataclass
class Methods:
    """The benchmark: a configuration, the methods, seeds, partitions and rates to go through, whom to tell."""

    config: Config
    methods: tuple[str, ...]
    seeds: int
    partitions: tuple[str, ...]
    rates: tuple[float, ...]
    say: Say
    _rate: dict[tuple[str, str], float] = field(default_factory=dict)

    def report(self) -> Report:
        """Run every method and lay the numbers out. Raises UserError where a run cannot begin."""
        federation = self.config.federation
        seeds = range(federation.seed, federation.seed + self.seeds)
        entries = self._entries()
        for partition in self.partitions:
            organizations = len(call_roster(_on(self.config, partition, federation.seed)).names)
            for config in entries.values():
                check_combination(config, organizations)
        rows, notes = [], [self._protocol(organizations)]
        for partition in self.partitions:
            found: dict[str, list[Outcome]] = {name: [] for name in entries}
            for seed in seeds:
                for name, config in entries.items():
                    found[name].append(self._tuned(name, _on(config, partition, seed)))
            rows += [row_of(partition, name, self._rate[partition, name], found) for name in entries]
            notes += [
                f"{partition} {name}, seed {seed}: {outcome.failure}"
                for name, own in found.items()
                for seed, outcome in zip(seeds, own, strict=True)
                if outcome.failure
            ]
        ratios = {"of_fedit": {row["name"]: row["of_fedit"] for row in rows}}
        protected = self.config.privacy.mechanism != "none"
        headings = {**HEADINGS, "epsilon": "epsilon"} if protected else HEADINGS
        return Report("quality", rows, ratios, notes, headings=headings)

    def _entries(self) -> dict[str, Config]:
        """Give the configuration of every row but for partition and seed."""
        entries = {}
        for method in self.methods:
            own = replace(self.config, federation=replace(self.config.federation, aggregation=method))
            plain = plain_server(own)
            entries[method] = plain
            if method == FEDIT and own != plain:
                entries[f"{FEDIT}, {_server(own)}"] = own
        return entries

    def _tuned(self, name: str, config: Config) -> Outcome:
        """Run a method at the rate that was best on this partition's first seed, which is found there."""
        partition, federation = config.data.partition, config.federation
        known = self._rate.get((partition, name))
        tried: dict[float, Outcome] = {}
        for rate in [known] if known else self.rates:
            self.say(f"{partition}, seed {federation.seed}: {name}, learning rate {rate:g}")
            tried[rate] = outcome_of(replace(config, federation=replace(federation, learning_rate=rate)))
        best = min(tried, key=lambda rate: math.inf if tried[rate].failure else tried[rate].loss)
        self._rate[partition, name] = best
        return tried[best]

    def _protocol(self, organizations: int) -> str:
        federation = self.config.federation
        rate = "rate" if len(self.rates) == 1 else "rate: the best of those given on the first seed, and kept"
        return (
            f"{organizations} organizations, {federation.rounds} rounds of {federation.local_steps} steps, batches of "
            f"{federation.batch_size}; the server takes each round's mean as it is unless a row says more; "
            f"{self.seeds} seed(s), ± is the standard deviation over them; {rate}; gain: over the base; bytes: all "
            f"organizations' together, a round; drift: mean, and median, over rounds; a round: the median from the "
            f"second on"
        )


def row_of(partition: str, name: str, rate: float, found: Mapping[str, Sequence[Outcome]]) -> dict[str, Cell]:
    """Lay out one method's runs, a seed each; where one failed there is no loss, and the others tell the rest."""
    own = found[name]
    row: dict[str, Cell] = {
        "name": f"{partition} {name}",
        "partition": partition,
        "method": name,
        "learning_rate": rate,
        "base": statistics.fmean(outcome.base for outcome in own),
        "loss": None,
        "loss_spread": None,
        "gain": None,
        "of_fedit": None,
        "of_fedit_spread": None,
        "epsilon": own[0].epsilon,
        "failed": sum(bool(outcome.failure) for outcome in own),
        "drift": _mean([drift for outcome in own for drift in outcome.drifts]),
        "drift_median": _median([drift for outcome in own for drift in outcome.drifts]),
        "mib_up": _mean([number / MIB for outcome in own for number in outcome.bytes_up]),
        "mib_down": _mean([number / MIB for outcome in own for number in outcome.bytes_down]),
        "round_seconds": _mean([statistics.median(outcome.rounds[1:]) for outcome in own if outcome.rounds[1:]]),
        "seconds": statistics.fmean(outcome.seconds for outcome in own),
    }
    if not row["failed"]:
        losses = [outcome.loss for outcome in own]
        row |= {"loss": statistics.fmean(losses), "loss_spread": spread(losses)}
        row["gain"] = statistics.fmean(outcome.gain for outcome in own)
        fedit = found.get(FEDIT, ())
        if fedit and not any(outcome.failure for outcome in fedit):
            shares = [a.gain / b.gain for a, b in zip(own, fedit, strict=True)]
            row |= {"of_fedit": statistics.fmean(shares), "of_fedit_spread": spread(shares)}
    return row


def _on(config: Config, partition: str, seed: int) -> Config:
    federation = replace(config.federation, seed=seed)
    return replace(config, data=replace(config.data, partition=partition), federation=federation)


def _server(config: Config) -> str:
    """Name a server in a word or two."""
    federation = config.federation
    if federation.server_optimizer != "none":
        return federation.server_optimizer
    return "cooldown" if federation.server_cooldown else f"server rate {federation.server_learning_rate:g}"


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
