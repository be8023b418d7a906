"""Many organizations trained, or measured, at once over one frozen base; one organization is a cohort of one.

Each step carries one batch of every organization through the base together, and each row meets its own organization's
adapter. The losses are added up, so no organization's gradient holds anything of another's, and every organization's
factors are parameters of their own: the result is that of training alone with PEFT's LoRA and torch's AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fedlora_tui.lora.adapter import A_SUFFIX, B_SUFFIX, Adapter, from_tensors
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.injection import Dropout, StackedFactors, injected, recomputing
from fedlora_tui.lora.rows import IGNORED, Inputs, Row, Rows, batches, generator_seed, padded, targets

LOGIT_BYTES = 512 * 2**20
"""What the logits of one pass may weigh when the cohort is sized by itself."""

MEASURED_ROWS = 16

NO_ROW = Row(())
"""Fills a batch that has fewer rows than the others of its pass."""


@dataclass(frozen=True)
class LocalTraining:
    """What an organization does in a round; the same for all of a cohort."""

    round: int
    seed: int
    local_steps: int
    local_epochs: int
    batch_size: int
    learning_rate: float
    clip_norm: float = 0.0
    proximal_mu: float = 0.0
    dropout: float = 0.0


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
    """One organization's local step `step` of `steps`, with its mean loss over `tokens` targets."""

    organization: str
    step: int
    steps: int
    loss: float
    tokens: int


StepObserver = Callable[[Sequence[StepDone]], None]
"""Called after each step of a cohort with what each organization did; may wait, and may raise to end the training."""


class _Member:
    """One organization at work: its own copy of the factors as parameters, its optimizer, its batches, its sums."""

    def __init__(self, base: BaseModel, start: Adapter, rows: Rows, plan: LocalTraining) -> None:
        self.organization = rows.organization
        self.start = {name: tensor.to(base.device, torch.float32) for name, tensor in start.tensors().items()}
        self.parameters = {name: tensor.clone().requires_grad_() for name, tensor in self.start.items()}
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), plan.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
        )
        self.batches = batches(
            rows.train, plan.batch_size, plan.seed, rows.organization, plan.round, plan.local_steps, plan.local_epochs
        )
        seed = generator_seed("dropout", plan.seed, rows.organization, plan.round)
        self.generator = torch.Generator(base.device).manual_seed(seed)
        self.loss_sum = 0.0
        self.tokens = 0

    def update(self, plan: LocalTraining) -> None:
        """Take one optimizer step on the gradients that the cohort's pass left here."""
        if plan.proximal_mu:
            for name, parameter in self.parameters.items():
                pull = plan.proximal_mu * (parameter.detach() - self.start[name])
                parameter.grad = pull if parameter.grad is None else parameter.grad + pull
        if plan.clip_norm:
            torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), plan.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def train_cohort(
    base: BaseModel,
    starts: Sequence[Adapter],
    rows: Sequence[Rows],
    plan: LocalTraining,
    observe: StepObserver = lambda steps: None,
) -> list[Trained]:
    """Train each organization from its own start on its own rows, all in one pass a step.

    The adapters of a cohort share their ranks and alphas. Organizations with fewer batches leave the pass when they are
    done. AdamW starts anew: clients keep no optimizer from round to round.
    """
    members = [_Member(base, start, own, plan) for start, own in zip(starts, rows, strict=True)]
    scales = {target.name: starts[0].scale_of(target.name) for target in base.targets} if starts else {}
    for step in range(max((len(member.batches) for member in members), default=0)):
        active = [member for member in members if step < len(member.batches)]
        losses, counts = _pass(base, active, step, scales, plan)
        done = []
        for member, loss, count in zip(active, losses, counts, strict=True):
            member.update(plan)
            member.loss_sum += loss * count
            member.tokens += count
            done.append(StepDone(member.organization, step + 1, len(member.batches), loss, count))
        observe(done)
    return [_trained(member, start) for member, start in zip(members, starts, strict=True)]


def _pass(
    base: BaseModel, active: Sequence[_Member], step: int, scales: Mapping[str, float], plan: LocalTraining
) -> tuple[list[float], list[int]]:
    """Carry one batch of every active organization forward and back; give each one's mean loss and target tokens."""
    own = [member.batches[step] for member in active]
    height = max(len(batch) for batch in own)
    rows = [row for batch in own for row in [*batch, *[NO_ROW] * (height - len(batch))]]
    inputs = padded(rows, base.end_of_text, base.device)
    counts = [targets(batch) for batch in own]
    sizes = [(len(batch), max(len(row) for row in batch)) for batch in own]
    generators = [member.generator for member in active]

    def dropout() -> Dropout | None:
        return Dropout(plan.dropout, generators, sizes, base.recomputed) if plan.dropout else None

    stacked = _stacked(base, [member.parameters for member in active], scales, dropout)
    with injected(base.model, base.targets, stacked), recomputing(base.model, base.recomputed):
        sums = _row_losses(_logits(base, inputs), inputs.labels).view(len(active), height).sum(1)
        means = sums / torch.tensor(counts, device=base.device)
        torch.autograd.backward(means.sum())
    return means.tolist(), counts


def _stacked(
    base: BaseModel,
    parameters: Sequence[Mapping[str, Tensor]],
    scales: Mapping[str, float],
    dropout: Callable[[], Dropout | None] = lambda: None,
) -> dict[str, StackedFactors]:
    return {
        target.name: StackedFactors(
            torch.stack([own[target.name + A_SUFFIX] for own in parameters]),
            torch.stack([own[target.name + B_SUFFIX] for own in parameters]),
            scales[target.name],
            dropout(),
        )
        for target in base.targets
    }


def _logits(base: BaseModel, inputs: Inputs) -> Tensor:
    # With a cache or an attention mask, transformers lets the documents of a row see one another without a word.
    positions = {} if inputs.positions is None else {"position_ids": inputs.positions}
    logits: Tensor = base.model(input_ids=inputs.tokens, use_cache=False, **positions).logits
    return logits


def _row_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Add up each row's cross-entropy over its targets, in float32 -> [rows]."""
    flat = functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.view(labels.shape[0], -1).sum(1)


def _trained(member: _Member, start: Adapter) -> Trained:
    tensors = {name: tensor.detach().cpu() for name, tensor in member.parameters.items()}
    loss = member.loss_sum / member.tokens if member.tokens else float("nan")
    adapter = from_tensors(tensors, start.rank, start.alpha, start.alphas)
    return Trained(member.organization, adapter, loss, member.tokens, len(member.batches))


def measure(
    base: BaseModel, adapter: Adapter | None, rows: Rows, observe: Callable[[], None] = lambda: None
) -> Measured:
    """Give the hold-out loss of one organization under an adapter, or of the base alone.

    Rows go by length, so that little padding is carried; `observe` is called after each pass, and may wait or raise.
    """
    ordered = sorted(rows.holdout, key=len)
    total = 0.0
    stacked = _shared(base, adapter) if adapter is not None else {}
    carried = base.targets if adapter is not None else ()
    for at in range(0, len(ordered), MEASURED_ROWS):
        inputs = padded(ordered[at : at + MEASURED_ROWS], base.end_of_text, base.device)
        with torch.no_grad(), injected(base.model, carried, stacked):
            total += float(_row_losses(_logits(base, inputs), inputs.labels).double().sum())
        observe()
    tokens = rows.holdout_tokens
    return Measured(rows.organization, total / tokens if tokens else float("nan"), tokens)


def _shared(base: BaseModel, adapter: Adapter) -> dict[str, StackedFactors]:
    tensors = {name: tensor.to(base.device, torch.float32) for name, tensor in adapter.tensors().items()}
    return _stacked(base, [tensors], {target.name: adapter.scale_of(target.name) for target in base.targets})


def cohort_size(asked: str | int, plan: LocalTraining, max_length: int, vocabulary: int) -> int:
    """How many organizations go in one pass: as many as asked, or as leave room for their logits and the gradient."""
    if isinstance(asked, int):
        return asked
    return max(1, LOGIT_BYTES // (3 * 4 * plan.batch_size * max_length * vocabulary))
