"""Many organizations trained, or measured, at once over one frozen base; one organization is a cohort of one.

Each step carries one batch of every organization through the base together, and each row meets its own organization's
adapter. The losses are added up, so no organization's gradient holds anything of another's, and every organization's
factors are parameters of their own: the result is that of training alone with PEFT's LoRA and torch's AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fedlora_tui.lora.accelerated import used
from fedlora_tui.lora.adapter import A_SUFFIX, B_SUFFIX, Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.captured import Captures
from fedlora_tui.lora.delta import NO_DELTA, BaseDelta, placed
from fedlora_tui.lora.given import NO_ROW, Given, chosen, laid_out
from fedlora_tui.lora.head import Losses
from fedlora_tui.lora.injection import Draws, Dropout, StackedFactors, injected, recomputing
from fedlora_tui.lora.readback import Readback
from fedlora_tui.lora.rows import Row, Rows, drawn, generator_seed, padded, targets
from fedlora_tui.lora.stack import CohortAdamW, Descent, Stack

MEASURED_ROWS = 32
"""Rows of a pass that measures, of all organizations together."""


@dataclass(frozen=True)
class LocalTraining:
    """What an organization does in a round.

    `train_a`, `train_b` and `keep_b` are 1 where it trains A, trains B, and keeps its own B instead of sending it.
    `own_rank` is set where it trains fewer rows than the global adapter has. What it changed leaves it at most
    `update_norm` long (0: as it is; `by_module`: 1 where each module has its part of that), with noise of deviation
    `update_noise` on each number, made from the seed where `seeded_noise` is 1; its loss stays if `withhold_loss` is.
    `method` names what its reply is for: the place of federation.aggregation in its list, from 1, or 0: not told.
    """

    round: int
    seed: int
    local_steps: int
    local_epochs: int
    batch_size: int
    learning_rate: float
    clip_norm: float = 0.0
    proximal_mu: float = 0.0
    dropout: float = 0.0
    train_a: int = 1
    train_b: int = 1
    keep_b: int = 0
    own_rank: int = 0
    update_norm: float = 0.0
    by_module: int = 0
    update_noise: float = 0.0
    seeded_noise: int = 0
    withhold_loss: int = 0
    method: int = 0

    @property
    def trains(self) -> frozenset[str]:
        """The factors that take a gradient."""
        return frozenset({"A"} if self.train_a else ()) | frozenset({"B"} if self.train_b else ())

    @property
    def sends(self) -> frozenset[str]:
        """The factors that travel to the server afterwards."""
        return self.trains - ({"B"} if self.keep_b else set())


@dataclass(frozen=True)
class Trained:
    """One organization's result: its adapter, its mean loss weighted by target tokens, and how many it trained."""

    organization: str
    adapter: Adapter
    loss: float
    tokens: int
    steps: int


@dataclass(frozen=True)
class Measured:
    """One organization's hold-out loss (mean over `tokens` targets, nats a token)."""

    organization: str
    loss: float
    tokens: int


@dataclass(frozen=True)
class StepDone:
    """One organization's local step `step` of `steps`, with its mean loss over `tokens` targets.

    `place` is the organization's, counted from 0, among those that train: names need not differ.
    """

    organization: str
    step: int
    steps: int
    loss: float
    tokens: int
    place: int = 0


StepObserver = Callable[[Sequence[StepDone]], None]
"""Called after each step of a cohort with what each organization did; may wait, and may raise to end the training."""


class _Member:
    """One organization at work: its batches, its generator of dropout, its sums."""

    def __init__(self, base: BaseModel, place: int, rows: Rows, plan: LocalTraining) -> None:
        self.place = place
        self.organization = rows.organization
        self.batches = drawn(
            rows.train, plan.batch_size, plan.seed, rows.organization, plan.round, plan.local_steps, plan.local_epochs
        )
        seed = generator_seed("dropout", plan.seed, rows.organization, plan.round)
        self.generator = torch.Generator(base.device).manual_seed(seed)
        self.dropout = plan.dropout
        self.loss_sum = 0.0
        self.tokens = 0


def train_cohort(
    base: BaseModel,
    starts: Sequence[Adapter],
    rows: Sequence[Rows],
    plans: Sequence[LocalTraining],
    observe: StepObserver = lambda steps: None,
    delta: BaseDelta = NO_DELTA,
) -> list[Trained]:
    """Train each organization from its own start on its own rows by its own plan, all in one pass a step.

    Ranks, alphas, rates, batch sizes and numbers of steps may differ; which factors train, and what joined the base
    before (`delta`), are the same for all. Organizations with fewer batches leave the pass when they are done. AdamW
    starts anew: clients keep no optimizer from round to round.
    """
    if not starts:
        return []
    trains = plans[0].trains
    if any(plan.trains != trains for plan in plans):
        raise ValueError("the organizations of a cohort train the same factors")
    with base.captures.lent(_can_be_captured(base, plans, delta)) as captures:
        return _trained_together(base, starts, rows, plans, observe, placed(delta, base.device), captures)


def _can_be_captured(base: BaseModel, plans: Sequence[LocalTraining], delta: BaseDelta) -> bool:
    """Tell whether every pass of a shape does the same: what draws, or changes with the rounds, does not."""
    plain = base.quantization == "none" and not base.recomputed and base.head.backbone is not None
    return plain and used("graph", base.device) and not delta.factors and not any(plan.dropout for plan in plans)


def _trained_together(
    base: BaseModel,
    starts: Sequence[Adapter],
    rows: Sequence[Rows],
    plans: Sequence[LocalTraining],
    observe: StepObserver,
    delta: BaseDelta,
    captures: Captures | None,
) -> list[Trained]:
    members = [_Member(base, place, own, plan) for place, (own, plan) in enumerate(zip(rows, plans, strict=True))]
    longest = max(member.batches.longest for member in members)
    stack = Stack(starts, base.device, plans[0].trains, captures)
    optimizer = CohortAdamW(stack, [Descent(plan.learning_rate, plan.clip_norm, plan.proximal_mu) for plan in plans])
    results: dict[int, Trained] = {}
    readback = Readback(base.device, partial(_tell, observe))
    active = members
    for step in range(max(len(member.batches) for member in members) + 1):
        going = [index for index, member in enumerate(active) if step < len(member.batches)]
        if len(going) < len(active):
            readback.read_all()
            here = stack.here()
            for index, member in enumerate(active):
                if index not in going:
                    results[member.place] = _trained(member, stack.of(index, here))
            active = [active[index] for index in going]
            if not active:
                break
            optimizer.keep(going)
        if captures is None:
            losses, counts = _pass(base, active, stack, step, delta)
        else:
            losses, counts = _captured_pass(base, active, stack, step, longest, captures)
        optimizer.update()
        readback.add(losses, (tuple(active), counts, step))
    return [results[member.place] for member in members]


_Taken = tuple[Sequence[_Member], Sequence[int], int]
"""Who took a step, on how many target tokens each, and which step it was."""


def _tell(observe: StepObserver, losses: Sequence[float], taken: _Taken) -> None:
    """Add one step's losses to what its organizations have, and tell what each did."""
    active, counts, step = taken
    done = []
    for member, loss, count in zip(active, losses, counts, strict=True):
        member.loss_sum += loss * count
        member.tokens += count
        done.append(StepDone(member.organization, step + 1, len(member.batches), loss, count, member.place))
    observe(done)


def _pass(
    base: BaseModel, active: Sequence[_Member], stack: Stack, step: int, delta: BaseDelta
) -> tuple[Tensor, list[int]]:
    """Carry one batch of every active organization forward and back; give each one's mean loss and target tokens."""
    own = [member.batches[step] for member in active]
    given, counts = laid_out(own, base.end_of_text, stack.values.dtype)
    draws = _draws(active, own)
    stacked = _factors(base, stack, delta, lambda: Dropout(draws, base.recomputed) if draws else None)
    return _means(base, stacked, given.on(base.device), len(active)), counts


def _captured_pass(
    base: BaseModel, active: Sequence[_Member], stack: Stack, step: int, longest: int, captures: Captures
) -> tuple[Tensor, list[int]]:
    """Do the same with passes of few shapes, which are captured when they come again."""
    own = [member.batches[step] for member in active]
    given, counts = laid_out(own, base.end_of_text, stack.values.dtype, longest)

    def compute(stack: Stack, given: Given) -> Tensor:
        # Leaves that no earlier pass has seen: autograd remembers on which stream of a GPU it met each first.
        return _means(base, _factors(base, stack, parameters=stack.leaves()), given, len(counts))

    return captures.means(stack, given, compute), counts


def _means(base: BaseModel, stacked: Mapping[str, StackedFactors], given: Given, organizations: int) -> Tensor:
    """Go forward and back; give each organization's mean loss."""
    positions = given.positions
    with injected(base.model, base.targets, stacked), recomputing(base.model, base.recomputed):
        losses = base.head.losses(_call(given.tokens, positions), given.places, given.answers, given.shares)
        losses.backward()
    weighted = losses.by_target * given.shares
    return weighted.new_zeros(organizations).index_add_(0, given.owners, weighted)


def _draws(active: Sequence[_Member], batches: Sequence[Sequence[Row]]) -> list[Draws]:
    """Give what each organization drops of its own batch; nothing where nobody drops."""
    if not any(member.dropout for member in active):
        return []
    return [
        Draws(member.dropout, member.generator, len(batch), max(map(len, batch)))
        for member, batch in zip(active, batches, strict=True)
    ]


def row_forward(base: BaseModel, stack: Stack, row: Row) -> Losses:
    """Send one row forward as training does, each layer computed once."""
    inputs = padded([row], base.end_of_text, base.device)
    places, answers = chosen(inputs)
    weights = torch.ones(len(answers), dtype=stack.values.dtype, device=base.device)
    with injected(base.model, base.targets, _factors(base, stack)):
        return base.head.losses(_call(inputs.tokens, inputs.positions), places, answers, weights)


def _level(batches: Sequence[Sequence[Row]], height: int) -> list[Row]:
    """Lay batches one after the other, each filled up to as many rows."""
    return [row for batch in batches for row in [*batch, *[NO_ROW] * (height - len(batch))]]


def _factors(
    base: BaseModel,
    stack: Stack,
    delta: BaseDelta = NO_DELTA,
    dropout: Callable[[], Dropout | None] = lambda: None,
    parameters: Mapping[str, Tensor] | None = None,
) -> dict[str, StackedFactors]:
    parameters = stack.parameters if parameters is None else parameters
    return {
        target.name: StackedFactors(
            parameters[target.name + A_SUFFIX],
            parameters[target.name + B_SUFFIX],
            stack.scales[target.name],
            dropout(),
            delta.factors.get(target.name),
        )
        for target in base.targets
    }


def _call(tokens: Tensor, positions: Tensor | None) -> dict[str, Any]:
    # With a cache or an attention mask, transformers lets the documents of a row see one another without a word.
    also = {} if positions is None else {"position_ids": positions}
    return {"input_ids": tokens, "use_cache": False, **also}


def _trained(member: _Member, adapter: Adapter) -> Trained:
    loss = member.loss_sum / member.tokens if member.tokens else float("nan")
    return Trained(member.organization, adapter, loss, member.tokens, len(member.batches))


def measure(
    base: BaseModel,
    adapter: Adapter | None,
    rows: Rows,
    observe: Callable[[], None] = lambda: None,
    delta: BaseDelta = NO_DELTA,
) -> Measured:
    """Give the hold-out loss of one organization under an adapter, or of the base alone."""
    return measure_cohort(base, None if adapter is None else [adapter], [rows], observe, delta)[0]


def measure_cohort(
    base: BaseModel,
    adapters: Sequence[Adapter] | None,
    rows: Sequence[Rows],
    observe: Callable[[], None] = lambda: None,
    delta: BaseDelta = NO_DELTA,
) -> list[Measured]:
    """Give each organization's hold-out loss under its adapter and what joined the base, or of the base alone.

    One adapter that all share (the same object) is held once. Every pass takes as many rows of each, longest first, so
    that little padding is carried. `observe` is called after each pass, and may wait or raise.
    """
    ordered = [sorted(own.holdout, key=len, reverse=True) for own in rows]
    longest = max((len(own[0]) for own in ordered if own), default=0)
    sums = [0.0] * len(rows)
    with base.measuring.lent(bool(adapters) and _can_be_captured(base, (), delta)) as captures:
        losses_of = _measure_of(base, adapters, placed(delta, base.device), longest, captures)
        _add_up(sums, ordered, losses_of, observe)
    return [
        Measured(
            own.organization, total / own.holdout_tokens if own.holdout_tokens else float("nan"), own.holdout_tokens
        )
        for own, total in zip(rows, sums, strict=True)
    ]


_LossesOf = Callable[[Sequence[int], Sequence[Sequence[Row]]], list[float]]
"""Gives the added losses of rows of some of the organizations."""


def _add_up(
    sums: list[float], rows: Sequence[Sequence[Row]], losses_of: _LossesOf, observe: Callable[[], None]
) -> None:
    """Add each organization's losses to its sum, pass by pass; its rows stand longest first."""
    share = max(1, MEASURED_ROWS // max(len(rows), 1))
    for at in range(0, max(map(len, rows), default=0), share):
        active = [index for index, own in enumerate(rows) if at < len(own)]
        for some in (active[first : first + MEASURED_ROWS] for first in range(0, len(active), MEASURED_ROWS)):
            found = losses_of(some, [rows[index][at : at + share] for index in some])
            for index, loss in zip(some, found, strict=True):
                sums[index] += loss
            observe()


def _measure_of(
    base: BaseModel, adapters: Sequence[Adapter] | None, delta: BaseDelta, longest: int, captures: Captures | None
) -> _LossesOf:
    """Give what measures rows under adapters; where all share one, and passes can be captured, they are."""
    if adapters and captures is not None and all(adapter is adapters[0] for adapter in adapters):
        stack = Stack(adapters[:1], base.device, memory=captures)
        return lambda some, rows: _captured_losses_of(base, stack, rows, longest, captures)
    stacked = _stacker(base, adapters, delta) if adapters else None
    return lambda some, rows: _losses_of(base, None if stacked is None else stacked(some), rows)


def _captured_losses_of(
    base: BaseModel, stack: Stack, rows: Sequence[Sequence[Row]], longest: int, captures: Captures
) -> list[float]:
    """Add up the losses of each organization's rows, in a pass of few shapes, which is captured when it comes again."""
    given, counts = laid_out(rows, base.end_of_text, stack.values.dtype, longest)

    def compute(stack: Stack, given: Given) -> Tensor:
        with torch.no_grad(), injected(base.model, base.targets, _factors(base, stack)):
            call = _call(given.tokens, given.positions)
            return base.head.losses(call, given.places, given.answers, None).by_target

    return _sums(captures.means(stack, given, compute)[: sum(counts)], counts)


def _losses_of(
    base: BaseModel, stacked: Mapping[str, StackedFactors] | None, rows: Sequence[Sequence[Row]]
) -> list[float]:
    """Add up the losses of each organization's rows, in one pass."""
    inputs = padded(_level(rows, max(map(len, rows))), base.end_of_text, base.device)
    with torch.no_grad(), injected(base.model, base.targets if stacked else (), stacked or {}):
        losses = base.head.losses(_call(inputs.tokens, inputs.positions), *chosen(inputs), None).by_target
    return _sums(losses, [targets(own) for own in rows])


def _sums(losses: Tensor, counts: Sequence[int]) -> list[float]:
    """Add up the first losses, the next ones, and so on, in double precision."""
    return torch.stack([own.sum() for own in torch.split(losses.double(), list(counts))]).tolist()


def _stacker(
    base: BaseModel, adapters: Sequence[Adapter], delta: BaseDelta
) -> Callable[[Sequence[int]], dict[str, StackedFactors]]:
    """Give what stacks the adapters of some organizations; one that all of them share is stacked once for all rows."""
    shared = all(adapter is adapters[0] for adapter in adapters)
    every = _factors(base, Stack(adapters[:1] if shared else adapters, base.device), delta)

    def stacked(some: Sequence[int]) -> dict[str, StackedFactors]:
        if shared or len(some) == len(adapters):
            return every
        return {name: factors.of(some) for name, factors in every.items()}

    return stacked
