"""What a round costs beside training and evaluation, told by a run's own events."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedlora_tui.benchmarks.whole_run import records_of
from fedlora_tui.config import Config
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.events import OrgEvaluated, OrgState, Record, RoundFinished, RoundStarted, TrainStep


@dataclass(frozen=True)
class RoundCost:
    """One round's seconds, from its start to the start of the next one, and those of them that train and evaluate."""

    seconds: float
    training: float
    evaluation: float

    @property
    def between(self) -> float:
        """The share of the round that neither trains nor evaluates: messages, aggregation, checkpoint, events."""
        return 1 - (self.training + self.evaluation) / self.seconds


def round_costs(records: Sequence[Record]) -> list[RoundCost]:
    """Give the cost of every finished round of two steps or more.

    An organization trains from one step before its first told step, a step being its mean, to its last one; several
    train at once, and what at least one of them covers counts. Evaluation is from the first organization that tests to
    the first loss that is told. The last round ends with its own last event.
    """
    starts = [at for at, record in enumerate(records) if isinstance(record.event, RoundStarted)]
    costs = []
    for at, following in zip(starts, [*starts[1:], len(records)], strict=True):
        own = records[at:following]
        finished = [record for record in own if isinstance(record.event, RoundFinished)]
        if finished:
            end = records[following].t if following < len(records) else finished[0].t
            costs.append(RoundCost(end - own[0].t, _training(own), _evaluation(own)))
    return costs


def _training(records: Sequence[Record]) -> float:
    told: dict[str, list[float]] = {}
    for record in records:
        if isinstance(record.event, TrainStep):
            told.setdefault(record.event.org, []).append(record.t)
    spans = []
    for times in told.values():
        if len(times) < 2:
            raise UserError("the share between rounds is found from steps that follow one another: 2 a round or more")
        spans.append((times[0] - (times[-1] - times[0]) / (len(times) - 1), times[-1]))
    return covered(spans)


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Give the length of what at least one of some spans of time covers."""
    seconds, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        seconds += max(0.0, end - max(begin, until))
        until = max(until, end)
    return seconds


def _evaluation(records: Sequence[Record]) -> float:
    began = [r.t for r in records if isinstance(r.event, OrgState) and r.event.state == "testing"]
    told = [r.t for r in records if isinstance(r.event, OrgEvaluated)]
    return told[0] - began[0] if began and told else 0.0


def between_rounds(config: Config) -> float:
    """Go through a short run; give the median share of its rounds, from the second on, that neither trains nor tests.

    Raises UserError where the run cannot begin, or fails.
    """
    costs = round_costs(records_of(config))
    return statistics.median(cost.between for cost in costs[1:] or costs)
