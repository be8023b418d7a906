"""The change that an organization made, held to a length, so that no sum can lean on a single one of them.

The change is that of the factors which travel, A and B as they are, not of their product: what is released is their
sum. Joint: ||(dA_m, dB_m) over all modules m|| <= C. By module: each ||(dA_m, dB_m)|| <= C / sqrt(modules), so that the
joint length is C at most, too. Everything is counted in float64.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from fedlora_tui.lora.adapter import SUFFIXES, Adapter, from_tensors, is_one_of

Change = Mapping[str, Tensor]
"""What an organization changed, float64, by the names of the tensors that travel."""


@dataclass(frozen=True)
class Limit:
    """How long a change may be: `norm` in all, of which each module has its part where it is held `by_module`."""

    norm: float
    by_module: bool = False


def change_of(adapter: Adapter, start: Adapter, factors: Collection[str]) -> dict[str, Tensor]:
    """Give what was changed of some factors ("A", "B")."""
    before = start.tensors()
    return {
        name: tensor.double() - before[name].double()
        for name, tensor in adapter.tensors().items()
        if is_one_of(name, factors)
    }


def length(change: Change) -> float:
    """Give the joint length of a change."""
    return math.sqrt(sum(float(tensor.square().sum()) for tensor in change.values()))


def shortened(change: Change, limit: Limit) -> dict[str, Tensor]:
    """Hold a change to a limit; one within it, nothing at all included, stays as it is."""
    if not limit.by_module:
        return _scaled(change, limit.norm)
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in change.items():
        parts.setdefault(module_of(name), {})[name] = tensor
    each = limit.norm / math.sqrt(len(parts)) if parts else limit.norm
    return {name: tensor for part in parts.values() for name, tensor in _scaled(part, each).items()}


def excess(change: Change, limit: Limit) -> float:
    """Give how many times longer than the limit a change is, by its longest part; nothing is 0 times as long."""
    if not limit.by_module:
        return length(change) / limit.norm
    squares: dict[str, float] = {}
    for name, tensor in change.items():
        squares[module_of(name)] = squares.get(module_of(name), 0.0) + float(tensor.square().sum())
    return math.sqrt(max(squares.values(), default=0.0) * len(squares)) / limit.norm


def moved(start: Adapter, change: Change) -> Adapter:
    """Give an adapter whose factors are `start`'s with a change, in the number format that they have."""
    tensors = {
        name: (tensor.double() + change[name]).to(tensor.dtype) if name in change else tensor
        for name, tensor in start.tensors().items()
    }
    return from_tensors(tensors, start.rank, start.alpha, start.alphas)


def module_of(name: str) -> str:
    """Give the module that a tensor belongs to, by its name."""
    for suffix in SUFFIXES.values():
        name = name.removesuffix(suffix)
    return name


def _scaled(change: Change, norm: float) -> dict[str, Tensor]:
    long = length(change)
    # One that is not finite stays what it is: the check of what may travel says so.
    return {name: tensor * (norm / long) for name, tensor in change.items()} if long > norm else dict(change)
