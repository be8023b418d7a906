"""The ways to train the same organizations in one process: by the engine, one after the other by PEFT, and pooled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from fedlora_tui.benchmarks import plain_peft
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.cohort import LocalTraining, StepDone, Trained, train_cohort
from fedlora_tui.lora.lanes import in_lanes, parted
from fedlora_tui.lora.rows import Row, Rows, batches


@dataclass(frozen=True)
class Work:
    """What every way trains: some organizations from one start by one plan, `cohort` of them in a pass of the engine.

    `plain` is PEFT's model of a copy of the base; None where only the engine is asked. `beside` are the base once more
    for each further lane of the engine.
    """

    base: BaseModel
    start: Adapter
    rows: Sequence[Rows]
    plan: LocalTraining
    cohort: int
    plain: Any = None
    beside: tuple[BaseModel, ...] = ()

    def batches(self, own: Rows) -> list[list[Row]]:
        """Give the batches of one organization, in the order in which the engine takes them."""
        plan = self.plan
        return batches(
            own.train, plan.batch_size, plan.seed, own.organization, plan.round, plan.local_steps, plan.local_epochs
        )


@dataclass(frozen=True)
class Outcome:
    """What a way reached: each organization's mean loss (pooled has one for all), that of the first step, its tokens.

    Losses are nats a token, weighted by target tokens.
    """

    losses: Mapping[str, float]
    first: float
    tokens: int


Way = Callable[[Work], Outcome]


def plain_model(base: BaseModel, start: Adapter, copied: bool) -> Any:
    """Give PEFT's model of the base, of a copy where the base itself is still needed without it."""
    model = copy.deepcopy(base.model) if copied else base.model
    return plain_peft.wrapped(model, plain_peft.lora_settings(start, base.targets))


def by_engine(work: Work) -> Outcome:
    """Train as a run does: as many organizations in a pass as its cohort holds, an equal share in each lane."""
    firsts: list[StepDone] = []

    def observe(steps: Sequence[StepDone]) -> None:
        firsts.extend(step for step in steps if step.step == 1)

    def lane(base: BaseModel, rows: Sequence[Rows]) -> list[Trained]:
        found = []
        for at in range(0, len(rows), work.cohort):
            some = rows[at : at + work.cohort]
            found += train_cohort(base, [work.start] * len(some), some, [work.plan] * len(some), observe)
        return found

    lanes = (work.base, *work.beside)
    trained = in_lanes(lanes, parted(work.rows, len(lanes)), lane)
    first = sum(step.loss * step.tokens for step in firsts) / sum(step.tokens for step in firsts)
    losses = {result.organization: result.loss for result in trained}
    return Outcome(losses, first, sum(result.tokens for result in trained))


def in_turn(work: Work) -> Outcome:
    """Train one organization after the other in one PEFT model, whose adapter begins anew for each."""
    found = {}
    for own in work.rows:
        plain_peft.set_adapter(work.plain, work.start.tensors())
        found[own.organization] = _plain(work, work.batches(own))
    first = sum(steps.losses[0] * steps.tokens[0] for steps in found.values())
    return Outcome(
        {name: steps.loss for name, steps in found.items()},
        first / sum(steps.tokens[0] for steps in found.values()),
        sum(sum(steps.tokens) for steps in found.values()),
    )


def pooled(work: Work) -> Outcome:
    """Train one adapter with PEFT on what all organizations take in a step together: no federation at all."""
    plain_peft.set_adapter(work.plain, work.start.tensors())
    each = [work.batches(own) for own in work.rows]
    together = [list(chain.from_iterable(some)) for some in zip(*each, strict=True)]
    steps = _plain(work, together)
    return Outcome({"pooled": steps.loss}, steps.losses[0], sum(steps.tokens))


def _plain(work: Work, given: Sequence[Sequence[Row]]) -> plain_peft.Steps:
    return plain_peft.train(work.plain, given, work.plan.learning_rate, work.base.end_of_text)


WAYS: dict[str, Way] = {"engine": by_engine, "in turn": in_turn, "pooled": pooled}


def tolerance(dtype: torch.dtype) -> float:
    """How far apart, relatively, two losses may be that are the same computation in another order."""
    return 1e-4 if dtype in (torch.float32, torch.float64) else 2e-2


def furthest(ours: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """Give the largest relative difference between two ways' losses; infinite where they are not of the same."""
    if ours.keys() != theirs.keys():
        return float("inf")
    found = (abs(theirs[name] - loss) / abs(loss) for name, loss in ours.items())
    # A loss that is no number is as far away as can be.
    return max(gap if gap == gap else float("inf") for gap in found)
