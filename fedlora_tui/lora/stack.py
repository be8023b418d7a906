"""The factors of a cohort's organizations side by side, and the AdamW that moves each organization's own.

One tensor [K, ...] a factor holds all K organizations. Their ranks may differ: the shorter ones are filled up with
zeros, which stay zero, because A's gradient is zero where B is and B's where A is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fedlora_tui.lora.adapter import Adapter, from_tensors, is_one_of

BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Descent:
    """How one organization is trained: AdamW's rate, the longest gradient (0: any), FedProx's pull to the start."""

    rate: float
    clip_norm: float = 0.0
    proximal_mu: float = 0.0


Layout = tuple[int, tuple[tuple[str, tuple[int, ...]], ...], frozenset[str]]
"""How many organizations, the shapes of their factors, and which of them take a gradient."""


class Memory(Protocol):
    """Where stacks of one layout lie, one after the other, in the same place."""

    def placed(self, layout: Layout, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Give tensors their place, or the same ones where there is none."""


class Stack:
    """Adapters of the same modules, one after the other in every tensor, as they stand now.

    `parameters` are views of one long tensor by the factors' names, [K, rank, in] and [K, out, rank], and so are their
    gradients: what goes element by element is one operation over all of them. `scales` are what each organization's
    product is multiplied by, [K, 1, 1] by module. ValueError where modules differ.
    """

    def __init__(
        self,
        adapters: Sequence[Adapter],
        device: torch.device,
        trained: Collection[str] = (),
        memory: Memory | None = None,
    ) -> None:
        """`trained` are the factors ("A", "B") that take a gradient; the others' stays zero, and so they stay."""
        self.adapters = list(adapters)
        self.trained = frozenset(trained)
        self._memory = memory
        first = self.adapters[0].tensors()
        if any(list(adapter.tensors()) != list(first) for adapter in self.adapters):
            raise ValueError("the adapters of a cohort are of the same modules")
        # What all of them start from, where it is one, is sent to another device once.
        is_one = device.type != "cpu" and all(adapter is adapters[0] for adapter in adapters)
        distinct = adapters[:1] if is_one else adapters
        tensors = [adapter.tensors() for adapter in distinct]
        named = {name: _stacked([own[name] for own in tensors]) for name in first}
        self._shapes = {name: tensor.shape[1:] for name, tensor in named.items()}
        values = torch.cat([tensor.flatten() for tensor in named.values()]).to(device)
        if len(distinct) < len(adapters):
            parts = torch.split(values, [shape.numel() for shape in self._shapes.values()])
            values = torch.cat([part.repeat(len(adapters)) for part in parts])
        self._hold(values)

    @property
    def layout(self) -> Layout:
        """What stacks have in common that can lie in the same place."""
        shapes = tuple((name, tuple(shape)) for name, shape in self._shapes.items())
        return len(self.adapters), shapes, self.trained

    def _hold(self, values: Tensor) -> None:
        modules = list(self.adapters[0].factors)
        scales = torch.tensor(
            [[own.scale_of(module) for own in self.adapters] for module in modules], dtype=torch.float64
        )
        scales = scales.to(values).view(len(modules), -1, 1, 1)
        self.values, self.gradient = values, None
        if self.trained:
            tensors = (values, torch.zeros_like(values), scales)
            placed = tensors if self._memory is None else self._memory.placed(self.layout, tensors)
            self.values, self.gradient, scales = placed
        elif self._memory is not None:
            self.values, scales = self._memory.placed(self.layout, (values, scales))
        self.scales = dict(zip(modules, scales, strict=True))
        self.parameters = self.leaves()

    def leaves(self) -> dict[str, Tensor]:
        """Give the factors by name anew, for autograd: those that are trained add to the stack's gradient."""
        leaves = self.views(self.values)
        if self.gradient is not None:
            for name, own in self.views(self.gradient).items():
                if is_one_of(name, self.trained):
                    leaves[name].requires_grad_()
                    leaves[name].grad = own
        return leaves

    def empty_gradient(self) -> None:
        """Let the gradients begin at zero."""
        if self.gradient is not None:
            self.gradient.zero_()

    def views(self, values: Tensor) -> dict[str, Tensor]:
        """See a tensor as long as `values` as factors by their names."""
        sizes = [len(self.adapters) * shape.numel() for shape in self._shapes.values()]
        parts = torch.split(values, sizes)
        return {
            name: part.view(len(self.adapters), *shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def spread(self, numbers: Sequence[float]) -> Tensor | float:
        """Lay one number an organization over all its elements; a number alone where all of them are equal."""
        if len(set(numbers)) == 1:
            return numbers[0]
        each = torch.tensor(numbers, dtype=self.values.dtype, device=self.values.device)
        return torch.cat([each.repeat_interleave(shape.numel()) for shape in self._shapes.values()])

    def here(self) -> dict[str, Tensor]:
        """Give all factors by their names on the processor, fetched at once; a processor's own go on changing."""
        if self.values.device.type == "cpu":
            return self.views(self.values)
        here = torch.empty(self.values.shape, dtype=self.values.dtype, pin_memory=self.values.device.type == "cuda")
        return self.views(here.copy_(self.values))

    def of(self, index: int, here: Mapping[str, Tensor] | None = None) -> Adapter:
        """Give one organization's adapter as it is now, at its own ranks, on the processor; of what was fetched."""
        start, here = self.adapters[index], here or self.here()
        tensors = {}
        for name, own in start.tensors().items():
            rows, columns = own.shape
            part = here[name][index, :rows, :columns]
            tensors[name] = part.clone() if self.values.device.type == "cpu" else part.contiguous()
        return from_tensors(tensors, start.rank, start.alpha, start.alphas)

    def chosen(self, values: Tensor, indices: Sequence[int]) -> Tensor:
        """Give what of a tensor as long as `values` belongs to some of the organizations."""
        some = torch.tensor(indices, device=values.device)
        return torch.cat([view[some].flatten() for view in self.views(values).values()])

    def keep(self, indices: Sequence[int]) -> None:
        """Go on with some of the organizations, in this order."""
        values = self.chosen(self.values, indices)
        self.adapters = [self.adapters[index] for index in indices]
        self._hold(values)


class CohortAdamW:
    """AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) over a stack, without weight decay.

    It goes element by element, as torch's does, in the same order of operations: over a stack it does to each
    organization what torch's would do to it alone. Each has its own rate, clip norm and proximal pull
    (Li et al. 2020, https://arxiv.org/abs/1812.06127).
    """

    def __init__(self, stack: Stack, descents: Sequence[Descent]) -> None:
        self.stack = stack
        self.steps = 0
        self.first, self.second = torch.zeros_like(stack.values), torch.zeros_like(stack.values)
        self._start = stack.values.clone() if any(own.proximal_mu for own in descents) else None
        self._aim(descents)

    def _aim(self, descents: Sequence[Descent]) -> None:
        self._descents = list(descents)
        self._rates = self.stack.spread([own.rate for own in descents])
        self._mu = self.stack.spread([own.proximal_mu for own in descents])

    @torch.no_grad()
    def update(self) -> None:
        """Take one step on the gradients that lie in the stack, and empty them."""
        values, gradient = self.stack.values, self.stack.gradient
        assert gradient is not None
        if self._start is not None:
            gradient += self._mu * (values - self._start)
        if any(own.clip_norm for own in self._descents):
            self._clip()
        self.steps += 1
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        denominator = self.second.sqrt().div_((1 - BETAS[1] ** self.steps) ** 0.5).add_(EPSILON)
        values.addcdiv_(self.first * (self._rates / -(1 - BETAS[0] ** self.steps)), denominator)
        gradient.zero_()

    def _clip(self) -> None:
        """Shorten each organization's gradient to the norm allowed, as torch's clip_grad_norm_ does for one."""
        assert self.stack.gradient is not None
        gradients = list(self.stack.views(self.stack.gradient).values())
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
        most = norms.new_tensor([own.clip_norm or torch.inf for own in self._descents])
        shares = (most / (norms + 1e-6)).clamp(max=1.0).view(-1, 1, 1)
        for gradient in gradients:
            gradient.mul_(shares)

    def keep(self, indices: Sequence[int]) -> None:
        """Go on with some of the organizations, and with what is known of them; the stack too."""
        stack = self.stack
        self.first, self.second = stack.chosen(self.first, indices), stack.chosen(self.second, indices)
        if self._start is not None:
            self._start = stack.chosen(self._start, indices)
        stack.keep(indices)
        self._aim([self._descents[index] for index in indices])


def _stacked(factors: Sequence[Tensor]) -> Tensor:
    """Stack matrices, the smaller ones filled up with zeros."""
    if len({factor.shape for factor in factors}) == 1:
        return torch.stack(list(factors))
    height, width = (max(factor.shape[side] for factor in factors) for side in (0, 1))
    stacked = factors[0].new_zeros(len(factors), height, width)
    for own, factor in zip(stacked, factors, strict=True):
        own[: factor.shape[0], : factor.shape[1]] = factor
    return stacked
