"""How the server goes on from the adapter it sent, given the one that a round's replies were aggregated to.

With x the adapter sent and D = aggregated - x (the mean of the organizations' updates), factor by factor:

- none:       x + rate D
- fedavgm:    m = momentum m + D;  x + rate m                     (Hsu et al. 2019, https://arxiv.org/abs/1909.06335)
- fedadagrad: v = v + D^2
- fedyogi:    v = v - (1 - decay) D^2 sign(v - D^2)
- fedadam:    v = decay v + (1 - decay) D^2                       (all three Reddi et al. 2021,
              https://arxiv.org/abs/2003.00295): m = momentum m + (1 - momentum) D;  x + rate m / (sqrt(v) + tau)

m and v begin at zero. As in Flower, fedadam alone corrects for that, by sqrt(1 - decay^(t+1)) / (1 - momentum^(t+1)) in
round t. All sums run in float64; m and v are the server's own and never travel.

`warmed` and `cooled` are schedules for its momentum and its rate. Whole from the first round, momentum would carry the
steep moves of the first rounds too far. A rate that falls to nothing averages the noise of the last rounds away, as a
mean of their adapters would (constant rate, then linear cooldown: Hägele et al. 2024, https://arxiv.org/abs/2405.18392).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from fedlora_tui.lora.adapter import BOTH, Adapter, from_tensors, is_one_of

OPTIMIZERS = ("none", "fedavgm", "fedadam", "fedyogi", "fedadagrad")


@dataclass(frozen=True)
class ServerStep:
    """Which optimizer the server has, and its numbers."""

    optimizer: str = "none"
    rate: float = 1.0
    momentum: float = 0.0
    decay: float = 0.99
    tau: float = 1e-3


@dataclass(frozen=True)
class ServerMemory:
    """What a server's optimizer keeps from round to round: steps taken, and m and v by the factors' names (float64)."""

    steps: int = 0
    first: Mapping[str, Tensor] = field(default_factory=dict)
    second: Mapping[str, Tensor] = field(default_factory=dict)


def warmed(round: int, over: int) -> float:
    """Give the share of its momentum that a server has in a round: growing evenly, and whole from round `over` on."""
    return min(1.0, round / over) if over else 1.0


def cooled(round: int, rounds: int, share: float) -> float:
    """Give the share of its rate that a server has in a round: whole, then falling evenly over the last rounds.

    Over the last n = floor(share rounds) of them it is n/(n+1), (n-1)/(n+1), ..., 1/(n+1): the last one still counts.
    """
    last = int(share * rounds)
    return min(1.0, (rounds + 1 - round) / (last + 1))


def widened(memory: ServerMemory, adapter: Adapter) -> ServerMemory:
    """Give what an optimizer keeps, for an adapter of a higher rank: nothing yet of what is new."""

    def wide(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {}
        for name, tensor in kept.items():
            found[name] = tensor.new_zeros(adapter.tensors()[name].shape)
            found[name][: tensor.shape[0], : tensor.shape[1]] = tensor
        return found

    return ServerMemory(memory.steps, wide(memory.first), wide(memory.second))


def advance(
    step: ServerStep,
    memory: ServerMemory,
    sent: Adapter,
    aggregated: Adapter,
    trained: Collection[str] = BOTH,
) -> tuple[Adapter, ServerMemory]:
    """Give the adapter that the next round starts from, and what the optimizer keeps.

    Factors ("A", "B") that the round did not train stay as they were aggregated: what is kept of earlier rounds would
    move them, too. ValueError where the two adapters have factors of other shapes than one another or than the memory.
    """
    if step.optimizer == "none" and step.rate == 1.0:
        return aggregated, replace(memory, steps=memory.steps + 1)
    tensors: dict[str, Tensor] = {}
    first: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}
    for name, end in aggregated.tensors().items():
        if not is_one_of(name, trained):
            tensors[name] = end
            first |= {name: memory.first[name]} if name in memory.first else {}
            second |= {name: memory.second[name]} if name in memory.second else {}
            continue
        start = sent.tensors()[name].double()
        change = end.double() - start
        m = memory.first.get(name, torch.zeros_like(change))
        v = memory.second.get(name, torch.zeros_like(change))
        if not change.shape == m.shape == v.shape:
            raise ValueError(f"{name}: {tuple(m.shape)} is kept of it and {tuple(change.shape)} came")
        m, v, move = _moved(step, memory.steps + 1, change, m, v)
        tensors[name] = (start + step.rate * move).to(end.dtype)
        if step.optimizer != "none":
            first[name] = m
        if step.optimizer not in ("none", "fedavgm"):
            second[name] = v
    adapter = from_tensors(tensors, aggregated.rank, aggregated.alpha, aggregated.alphas)
    return adapter, ServerMemory(memory.steps + 1, first, second)


def _moved(step: ServerStep, round: int, change: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give the new m and v of one factor, and how far it moves at rate 1."""
    if step.optimizer == "none":
        return m, v, change
    if step.optimizer == "fedavgm":
        m = step.momentum * m + change
        return m, v, m
    m = step.momentum * m + (1 - step.momentum) * change
    square = change**2
    correction = 1.0
    if step.optimizer == "fedadagrad":
        v = v + square
    elif step.optimizer == "fedyogi":
        v = v - (1 - step.decay) * square * torch.sign(v - square)
    else:
        v = step.decay * v + (1 - step.decay) * square
        correction = math.sqrt(1 - step.decay ** (round + 1)) / (1 - step.momentum ** (round + 1))
    return m, v, correction * m / (v.sqrt() + step.tau)
