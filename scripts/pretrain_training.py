"""The training of the embedded base model: its architecture, its optimizers, its schedule and its loop.

Here live the recipe, the batches, the loop with its progress bar and checkpoints, and the curve that it
leaves behind. The schedule goes by the share of the training that is done, be that measured in minutes or
in steps; by steps, a training gives the same weights whether or not it was interrupted. Used by
``pretrain_base.py``.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import GPT2Config, GPT2LMHeadModel

CONTEXT = 256
WARM_UP_SHARE = 0.02
CHECKPOINT_SECONDS = 180.0
CURVE_POINTS = 16
SMOOTHING = 0.98

Tokens = NDArray[np.uint16]
Optimizers = list[torch.optim.Optimizer]

console = Console()


@dataclass(frozen=True)
class Recipe:
    """The size of the model and how its steps are made."""

    vocabulary: int = 4096
    layers: int = 4
    width: int = 160
    heads: int = 5
    batch: int = 8
    learning_rate: float = 4e-3
    # Of Muon, for the matrices inside the blocks; 0 leaves them to AdamW. In trainings of 1.7 processor minutes
    # the loss on the validation text was 5.22 with it and 5.92 without.
    orthogonal_rate: float = 0.02


@dataclass(frozen=True)
class Budget:
    """How long to train: for a number of steps where one is given, else for minutes."""

    minutes: float
    steps: int | None = None

    def share(self, clock: Clock) -> float:
        """How much of the training is done, from 0 to 1."""
        spent = clock.seconds / (60 * self.minutes) if self.steps is None else clock.step / self.steps
        return min(1.0, spent)


@dataclass(frozen=True)
class Point:
    """One point of the training curve; the losses are in nats per token."""

    minutes: float
    tokens: int
    training_loss: float
    validation_loss: float


@dataclass
class Clock:
    """How far a training has come and what its losses were; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    curve: list[Point] = field(default_factory=list)


# --- model and optimizers ---------------------------------------------------------------------------


def new_model(recipe: Recipe) -> GPT2LMHeadModel:
    """A GPT-2 with random weights, of the recipe's size."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=recipe.vocabulary,
            n_positions=CONTEXT,
            n_embd=recipe.width,
            n_layer=recipe.layers,
            n_head=recipe.heads,
            activation_function="gelu_pytorch_tanh",  # GPT-2's own, as one kernel instead of eight
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def new_optimizers(model: torch.nn.Module, recipe: Recipe) -> Optimizers:
    """AdamW, which decays matrices only, and Muon for the matrices inside the blocks where the recipe wants it."""
    named = list(model.named_parameters())
    vectors = [parameter for _, parameter in named if parameter.ndim == 1]
    inner = [parameter for name, parameter in named if parameter.ndim == 2 and ".h." in name]
    outer = [parameter for name, parameter in named if parameter.ndim == 2 and ".h." not in name]
    decayed = outer if recipe.orthogonal_rate else outer + inner
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizers: Optimizers = [torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)]
    if recipe.orthogonal_rate:
        optimizers.append(torch.optim.Muon(inner, lr=recipe.orthogonal_rate, weight_decay=0.1, momentum=0.95))
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["peak"] = group["lr"]
    return optimizers


def rate_factor(share: float) -> float:
    """The learning rate by its peak when ``share`` of the training is done: linear warm-up, linear decay to zero."""
    return min(share / WARM_UP_SHARE, (1.0 - share) / (1.0 - WARM_UP_SHARE))


def chosen_device(name: str) -> torch.device:
    """The device of that name; for ``auto`` a CUDA device where there is one, else the processor."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


# --- batches ----------------------------------------------------------------------------------------


def batch_at(step: int, training: Tokens, seed: int, batch: int) -> torch.Tensor:
    """The batch of a step: sequences in an order, and cut at an offset, drawn anew for each pass over the text."""
    sequences = (len(training) - CONTEXT - 1) // CONTEXT
    steps_per_pass = sequences // batch
    generator = np.random.default_rng((seed, step // steps_per_pass))
    offset = generator.integers(CONTEXT)
    order = generator.permutation(sequences)
    chosen = order[step % steps_per_pass * batch :][:batch]
    return rows(training, [int(offset + CONTEXT * row) for row in chosen])


def rows(tokens: Tokens, starts: list[int]) -> torch.Tensor:
    """Sequences of one token more than the context, so that each token of the context has a successor."""
    return torch.from_numpy(np.stack([tokens[start:][: CONTEXT + 1] for start in starts]).astype(np.int64))


def mean_loss(objective: Callable[[torch.Tensor], torch.Tensor], stream: Tokens, batch: int) -> float:
    """The mean loss on the stream, in whole batches of consecutive sequences."""
    starts = range(0, len(stream) - CONTEXT, CONTEXT)
    whole = [list(starts[first : first + batch]) for first in range(0, len(starts) - batch + 1, batch)]
    with torch.no_grad():
        return float(np.mean([objective(rows(stream, chosen)).item() for chosen in whole]))


# --- the loop ---------------------------------------------------------------------------------------


class Training:
    """A model under training: its optimizers, its clock, and where its checkpoints go."""

    def __init__(self, recipe: Recipe, seed: int, device: torch.device, fast: bool, checkpoint: Path) -> None:
        """Begin with random weights drawn by the seed."""
        torch.manual_seed(seed)
        self.recipe, self.seed, self.device = recipe, seed, device
        self.model = new_model(recipe).to(device)
        self.optimizers = new_optimizers(self.model, recipe)
        self.clock = Clock()
        self.checkpoint = checkpoint
        self._reduced = fast or device.type == "cuda"
        if fast and device.type == "cpu":
            # Compiled, the plain products take two thirds of the time of the library's fused attention.
            self.model.set_attn_implementation("eager")
        self.objective = torch.compile(self.loss) if fast else self.loss

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        """The mean loss of every next token in the batch."""
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._reduced):
            logits = self.model(input_ids=batch[:, :-1]).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())

    def take_step(self, batch: torch.Tensor, factor: float) -> float:
        """Make one step at ``factor`` times the peak learning rates, and return the loss before it."""
        loss = self.objective(batch)
        self.model.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * group["peak"]
            optimizer.step()
        return float(loss.item())

    def run(self, training: Tokens, validation: Tokens, budget: Budget) -> bool:
        """Train until the budget is spent, keeping checkpoints and the curve; False where a signal ended it before."""
        saved = self.clock.seconds
        with asked_to_stop() as asked:
            for share in self.steps(training, budget):
                if share >= len(self.clock.curve) / CURVE_POINTS:
                    self.add_point(validation)
                if asked.is_set() or self.clock.seconds - saved > CHECKPOINT_SECONDS:
                    saved = self.clock.seconds
                    self.write_checkpoint()
                if asked.is_set():
                    return budget.share(self.clock) >= 1.0
        self.write_checkpoint()
        return True

    def steps(self, training: Tokens, budget: Budget) -> Iterator[float]:
        """Make steps until the budget is spent, showing progress; yields the share that is done."""
        note = TextColumn("{task.fields[note]}")
        bars = ("Training", BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), note)
        share, warm = budget.share(self.clock), False
        with Progress(*bars, console=console) as progress:
            task = progress.add_task("", total=1.0, note="")
            while share < 1.0:
                begun = time.monotonic()
                batch = batch_at(self.clock.step, training, self.seed, self.recipe.batch)
                latest = self.take_step(batch, rate_factor(share))
                before = latest if math.isnan(self.clock.loss) else self.clock.loss
                self.clock.loss = SMOOTHING * before + (1.0 - SMOOTHING) * latest
                self.clock.step += 1
                # The first step may compile for a minute; that is no training and would upset the schedule.
                self.clock.seconds += time.monotonic() - begun if warm else 0.0
                share, warm = budget.share(self.clock), True
                progress.update(task, completed=share, note=f"step {self.clock.step:,}  loss {self.clock.loss:.3f}")
                yield share

    def add_point(self, validation: Tokens) -> None:
        """Measure the loss on the validation text and add a point to the curve."""
        measured = mean_loss(self.objective, validation, self.recipe.batch)
        tokens = self.clock.step * self.recipe.batch * CONTEXT
        point = Point(self.clock.seconds / 60, tokens, self.clock.loss, measured)
        self.clock.curve.append(point)
        console.print(
            f"{point.minutes:.1f} min: {tokens / 1e6:.1f} M tokens, "
            f"loss {point.training_loss:.3f}, on validation text {measured:.3f}"
        )

    def write_checkpoint(self) -> None:
        """Save everything that a resumed training needs; written aside and renamed, so that it is whole or absent."""
        state = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "clock": asdict(self.clock),
        }
        aside = self.checkpoint.with_suffix(".part")
        torch.save(state, aside)
        aside.replace(self.checkpoint)

    def restore(self) -> None:
        """Go back to the checkpoint; one of another recipe ends the program with one line."""
        state: dict[str, Any] = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        if state["recipe"] != asdict(self.recipe):
            raise SystemExit(f"The checkpoint is of another model ({state['recipe']}); start without --resume")
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        curve = [Point(**point) for point in state["clock"].pop("curve")]
        self.clock = Clock(**state["clock"], curve=curve)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Event]:
    """An event that an interruption or a termination sets, so that the step under way is finished first."""
    asked = Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
