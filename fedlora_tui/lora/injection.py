"""Adapters applied inside a frozen base: where PEFT would add them, for many organizations at once, with no copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from fedlora_tui.lora.adapter import TargetModule


class StackedFactors:
    """The factors of K organizations of one module, A [K, rank, in] and B [K, out, rank], with their common scale."""

    def __init__(self, a: Tensor, b: Tensor, scale: float, dropout: Dropout | None = None) -> None:
        self.a, self.b, self.scale, self.dropout = a, b, scale, dropout

    def update(self, inputs: Tensor) -> Tensor:
        """Give `scale * inputs A^T B^T` for inputs [K * rows, length, in], whose rows stand by organization."""
        groups, shape = self.a.shape[0], inputs.shape
        x = inputs.to(self.a.dtype)
        if self.dropout is not None:
            x = self.dropout.apply(x.reshape(groups, -1, *shape[1:]))
        x = x.reshape(groups, -1, shape[-1])
        low = torch.bmm(x, self.a.transpose(1, 2))
        high = torch.bmm(low, self.b.transpose(1, 2)) * self.scale
        return high.reshape(*shape[:-1], -1)


class Dropout:
    """Dropout whose draws do not depend on the cohort.

    Each organization draws from a generator of its own, for the [rows, length] of its own batch alone: what the cohort
    pads that batch with takes no draws.
    """

    def __init__(self, share: float, generators: Sequence[torch.Generator], batches: Sequence[tuple[int, int]]) -> None:
        self.share, self.generators, self.batches = share, generators, batches

    def apply(self, x: Tensor) -> Tensor:
        """Zero a share of each organization's inputs [K, rows, length, in] and scale up the rest."""
        kept = torch.zeros_like(x)
        for own, generator, (rows, length) in zip(kept, self.generators, self.batches, strict=True):
            drawn = torch.rand(rows, length, x.shape[-1], generator=generator, device=generator.device)
            own[:rows, :length] = drawn >= self.share
        return x * kept / (1 - self.share)


@contextmanager
def injected(model: Any, targets: Sequence[TargetModule], stacked: Mapping[str, StackedFactors]) -> Iterator[None]:
    """Add the stacked adapters to the outputs of the model's target modules for as long as the context is open."""
    hooks = []
    try:
        for target in targets:
            layer = model.get_submodule(target.name)
            hooks.append(layer.register_forward_hook(_adding(stacked[target.name])))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _adding(factors: StackedFactors) -> Any:
    def add(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + factors.update(inputs[0]).to(output.dtype)

    return add
