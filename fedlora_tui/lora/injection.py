"""Adapters applied inside a frozen base: where PEFT would add them, for many organizations at once, with no copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from fedlora_tui.lora.accelerated import SHORT, ShortProduct, used
from fedlora_tui.lora.adapter import Factors, TargetModule


class StackedFactors:
    """The factors of K organizations of one module, A [K, rank, in], B [K, out, rank], and their scales [K, 1, 1].

    `delta` is what joined the base in earlier rounds: factors of a plain product, the same for all of them.
    """

    def __init__(
        self, a: Tensor, b: Tensor, scales: Tensor, dropout: Dropout | None = None, delta: Factors | None = None
    ) -> None:
        self.a, self.b, self.scales, self.dropout, self.delta = a, b, scales, dropout, delta

    def of(self, indices: Sequence[int]) -> StackedFactors:
        """Give those of some of the organizations."""
        some = torch.tensor(indices, device=self.a.device)
        return StackedFactors(self.a[some], self.b[some], self.scales[some], delta=self.delta)

    def added(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Give `output + scales * inputs A^T B^T` for inputs [K * rows, length, in], whose rows stand by organization.

        Rounded once, after the sum, as PEFT does where the base is shorter than float32; on a GPU such a product is one
        of the base's format, as under autocast.
        """
        if self._is_short(inputs, output):
            return self._short(inputs, output)
        groups, shape, dtype = self.a.shape[0], inputs.shape, output.dtype
        x = inputs.to(self.a.dtype)
        if self.delta is not None:
            output = output.to(self.a.dtype) + x @ self.delta.a.T @ self.delta.b.T
        if self.dropout is not None:
            x = self.dropout.apply(x.reshape(groups, -1, *shape[1:]))
        x = x.reshape(groups, -1, shape[-1])
        low = torch.bmm(x, self.a.transpose(1, 2)) * self.scales
        before = output.to(self.a.dtype).reshape(groups, -1, output.shape[-1])
        return torch.baddbmm(before, low, self.b.transpose(1, 2)).view(output.shape).to(dtype)

    def _is_short(self, inputs: Tensor, output: Tensor) -> bool:
        """Tell whether the product is one of short formats, as a GPU computes it fastest."""
        return (
            used("product", output.device)
            and output.dtype in SHORT
            and inputs.dtype == output.dtype
            and self.a.dtype == torch.float32
            and self.delta is None
        )

    def _short(self, inputs: Tensor, output: Tensor) -> Tensor:
        groups, x = self.a.shape[0], inputs
        if self.dropout is not None:
            x = self.dropout.apply(x.reshape(groups, -1, *inputs.shape[1:]))
        x = x.reshape(groups, -1, inputs.shape[-1])
        added: Tensor = ShortProduct.apply(  # type: ignore[no-untyped-call]
            x, output.reshape(groups, -1, output.shape[-1]), self.a, self.b, self.scales
        )
        return added.view(output.shape)


@dataclass(frozen=True)
class Draws:
    """What one organization drops in a pass: the share, its generator, and the [rows, length] of its own batch."""

    share: float
    generator: torch.Generator
    rows: int
    length: int


class Dropout:
    """Dropout whose draws do not depend on the cohort.

    Each organization draws from a generator of its own, for the [rows, length] of its own batch alone: what the cohort
    pads that batch with takes no draws. One object serves one module in one pass; where the module is `recomputed`, its
    second computation draws what the first one drew, and leaves the generators as they were.
    """

    def __init__(self, draws: Sequence[Draws], recomputed: bool = False) -> None:
        self.draws, self.recomputed = draws, recomputed
        self._began: list[Tensor] = []

    def apply(self, x: Tensor) -> Tensor:
        """Zero a share of each organization's inputs [K, rows, length, in] and scale up the rest."""
        now = [own.generator.get_state() for own in self.draws] if self.recomputed else []
        again = bool(self._began)
        if again:
            self._set(self._began)
        self._began = self._began or now
        kept = torch.ones_like(x)
        for mask, own in zip(kept, self.draws, strict=True):
            if own.share:
                shape, generator = (own.rows, own.length, x.shape[-1]), own.generator
                drawn = torch.rand(shape, generator=generator, device=generator.device) >= own.share
                mask[: own.rows, : own.length] = drawn.to(x.dtype) / (1 - own.share)
        if again:
            self._set(now)
        return x * kept

    def _set(self, states: Sequence[Tensor]) -> None:
        for own, state in zip(self.draws, states, strict=True):
            own.generator.set_state(state)


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


def recomputable(model: Any) -> list[Any]:
    """Give the layers of a model that training can compute twice."""
    return [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]


@contextmanager
def recomputing(model: Any, wanted: bool) -> Iterator[None]:
    """Keep, for as long as the context is open, only each layer's input, and compute the layer again going back.

    Transformers' own switch asks for a model in training mode, where the base would drop out too. Going back belongs
    inside the context, and inside that of `injected`, so that the second computation meets the same adapters.
    """
    layers = recomputable(model) if wanted else []
    own = [vars(layer).get("forward") for layer in layers]
    try:
        for layer in layers:
            # Nothing draws from torch's global generators here, so their states need not be kept.
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
        yield
    finally:
        for layer, before in zip(layers, own, strict=True):
            del layer.forward
            if before is not None:
                layer.forward = before


def _adding(factors: StackedFactors) -> Any:
    def add(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return factors.added(inputs[0], output)

    return add
