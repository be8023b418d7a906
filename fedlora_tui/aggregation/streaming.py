"""Replies taken in one after the other, each let go of at once: a method that needs a sum alone holds one running sum.

`Intake` is begun, given replies in whatever order they come, and finished. What it gives is byte for byte what the
method makes of all replies together. What is told of them is as exact wherever it can be had without them:

- an update's norm, from the reply alone;
- the drift, from I = sum p_i s B_i A_i. Where a round trains one factor alone, the other is the same for all, and I is
  the product of the mean. Where it trains both, I is no product of means, and a sum of N products of rank r has a rank
  of up to N r: with many, no way to hold it is smaller than the m x n numbers of each module. So these are held while
  those of all modules are `MOST_IDEAL` at most; beyond that there is no drift;
- no cosine: it needs what one organization changed beside what those did that came after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from fedlora_tui.aggregation import drift
from fedlora_tui.aggregation.drift import Loss
from fedlora_tui.aggregation.fitting import check_fits
from fedlora_tui.aggregation.means import RunningMean
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start
from fedlora_tui.aggregation.products import Update, updates
from fedlora_tui.lora.adapter import Adapter, Factors, from_tensors

MOST_IDEAL = 2**25
"""Numbers of the mean of products, over all modules, that is held to measure drift: 256 MiB of them."""

MOST_BY_MODULE = 64
"""Of so many replies it is kept how they are spread over the modules; with more of them nobody is told."""


def streams(method: Method) -> bool:
    """Tell whether a method needs no more of replies than a sum, all of which travels."""
    return method.needs == "sum" and not method.keeps_b_at_home


class Intake:
    """One round's replies, on their way into one adapter by a method of which `streams` is true."""

    def __init__(self, method: Method, start: Start) -> None:
        factors = method.sends(start.round)
        self.weights: dict[str, float] = {}
        self.updates: dict[str, Update] = {}
        self._method, self._start = method, start
        self._mean = RunningMean(start.sent, factors)
        self._ideal = _Ideal(start.sent) if len(factors) > 1 and _numbers(start.sent) <= MOST_IDEAL else None
        self._products_of_means = len(factors) == 1

    def add(self, reply: Reply) -> None:
        """Take a reply in. ValueError, with nothing of it taken, where it does not fit or its organization's is in."""
        check_fits(reply, self._start.sent)
        if reply.organization in self.weights:
            raise ValueError(f"{reply.organization}: it has replied before in this round")
        self.weights[reply.organization] = reply.weight
        self._mean.add(reply.adapter.tensors(), reply.weight)
        if self._ideal is not None:
            self._ideal.add(reply)
        self.updates[reply.organization] = self._measured(reply)

    def shares(self) -> list[tuple[float, str]]:
        """Give each share p_i, in the order of names. ValueError where there is no reply, or all weights are zero."""
        total = sum(self.weights[name] for name in sorted(self.weights))
        if not total > 0:
            raise ValueError(f"{len(self.weights)} replies with a total weight of {total}: nothing to take a mean of")
        return [(self.weights[name] / total, name) for name in sorted(self.weights)]

    def finish(self) -> Aggregated:
        """Give what the method makes of the replies. ValueError where they have no mean."""
        self.shares()
        # The method rounds what it makes of it to float32, as it does where it takes the mean itself.
        made = self._method.aggregate([self._as_one()], self._start)
        factors = {
            module: Factors(own.a.to(as_sent.a.dtype), own.b.to(as_sent.b.dtype))
            for (module, own), as_sent in zip(
                made.adapter.factors.items(), self._start.sent.factors.values(), strict=True
            )
        }
        return replace(made, adapter=replace(made.adapter, factors=factors))

    def losses(self, aggregated: Aggregated, threads: int = 1) -> Mapping[str, Loss] | None:
        """Measure what `drift.losses` does of all replies; None where it cannot be had without them."""
        if self._products_of_means:
            return drift.losses([self._as_one()], aggregated, threads)
        return None if self._ideal is None else self._ideal.losses(aggregated.adapter)

    @property
    def bytes(self) -> int:
        """What it keeps of adapters."""
        return self._mean.bytes + (0 if self._ideal is None else self._ideal.bytes)

    def _as_one(self) -> Reply:
        sent = self._start.sent
        tensors = {name: tensor.double() for name, tensor in sent.tensors().items()} | self._mean.mean()
        return Reply("", from_tensors(tensors, sent.rank, sent.alpha, sent.alphas), 1.0)

    def _measured(self, reply: Reply) -> Update:
        (update,) = updates([replace(reply, weight=1.0)], self._start.sent).values()
        modules = {name: (norm, math.nan) for name, (norm, _) in update.modules.items()}
        return Update(update.norm, math.nan, modules if len(self.updates) < MOST_BY_MODULE else {})


class _Ideal:
    """The running sum of n_i s B_i A_i of each module, as it is."""

    def __init__(self, sent: Adapter) -> None:
        self._sums = {
            module: torch.zeros(own.b.shape[0], own.a.shape[1], dtype=torch.float64)
            for module, own in sent.factors.items()
        }
        self._weights: list[float] = []

    def add(self, reply: Reply) -> None:
        self._weights.append(reply.weight)
        for module, total in self._sums.items():
            own = reply.adapter.factors[module]
            total.addmm_(own.b.double() * (reply.weight * reply.adapter.scale_of(module)), own.a.double())

    def losses(self, adapter: Adapter) -> dict[str, Loss]:
        # Element by element the difference has all its digits: no two large squares are taken from one another.
        return {module: self._loss(total, adapter, module) for module, total in self._sums.items()}

    def _loss(self, total: Tensor, adapter: Adapter, module: str) -> Loss:
        ideal, own = total / math.fsum(self._weights), adapter.factors[module]
        norm = float(torch.linalg.matrix_norm(ideal))
        lost = ideal.addmm_(own.b.double() * adapter.scale_of(module), own.a.double(), alpha=-1.0)
        return Loss(float(torch.linalg.matrix_norm(lost)), norm)

    @property
    def bytes(self) -> int:
        return sum(total.numel() * total.element_size() for total in self._sums.values())


def _numbers(sent: Adapter) -> int:
    return sum(own.b.shape[0] * own.a.shape[1] for own in sent.factors.values())
