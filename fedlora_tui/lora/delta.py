"""What joined the base beside the adapter: a sum of products by module, kept in float32 and never folded into weights.

Folding a product into bfloat16 weights loses a good part of it (a sixth, measured); beside them it is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedlora_tui.lora.adapter import Adapter, Factors, alpha_at


@dataclass(frozen=True)
class BaseDelta:
    """What a weight has beyond the base's own, by module: the plain product `b @ a`, float32, any scale already in it.

    b is [out_features, R] and a [R, in_features]; R is at most the smaller of the two.
    """

    factors: Mapping[str, Factors] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """What the factors weigh."""
        return sum(tensor.numel() * tensor.element_size() for own in self.factors.values() for tensor in (own.a, own.b))


NO_DELTA = BaseDelta()


def added(delta: BaseDelta, more: Mapping[str, Factors]) -> BaseDelta:
    """Add products to those that joined the base before.

    Factors stand side by side, byte for byte, while their rank is below the smaller side of the weight. From there on
    they could only weigh more: then one factor is the product, summed in float64 and rounded once, and the other the
    identity. ValueError where a module's shapes do not fit.
    """
    together = dict(delta.factors)
    for module, new in more.items():
        if new.a.shape[0] != new.b.shape[1]:
            raise ValueError(f"{module}: {tuple(new.b.shape)} and {tuple(new.a.shape)} have no product")
        together[module] = _within(_beside(module, together.get(module), new))
    return BaseDelta(together)


def placed(delta: BaseDelta, device: torch.device) -> BaseDelta:
    """Give the factors on a device."""
    return BaseDelta({module: Factors(own.a.to(device), own.b.to(device)) for module, own in delta.factors.items()})


def as_adapter_total(adapter: Adapter, delta: BaseDelta) -> Adapter:
    """Give one adapter whose products are those of the adapter and the delta together, for taking home.

    A module's rank is the sum of both ranks, its scale the adapter's own, and its alpha follows. The rank and alpha
    that most modules have become the adapter's. ValueError where the delta has a module that the adapter lacks.
    """
    if delta.factors.keys() - adapter.factors.keys():
        raise ValueError(f"{sorted(delta.factors.keys() - adapter.factors.keys())}: modules without an adapter")
    factors = {
        module: _joined(own, delta.factors[module], adapter.scale_of(module)) if module in delta.factors else own
        for module, own in adapter.factors.items()
    }
    alphas = {
        module: alpha_at(adapter.alphas.get(module, adapter.alpha), adapter.factors[module].a.shape[0], own.a.shape[0])
        for module, own in factors.items()
    }
    both = Counter((own.a.shape[0], alphas[module]) for module, own in factors.items())
    (rank, alpha), _ = both.most_common(1)[0]
    return Adapter(factors, rank, alpha, {module: own for module, own in alphas.items() if own != alpha})


def _joined(own: Factors, more: Factors, scale: float) -> Factors:
    a = torch.cat([own.a, more.a.to(own.a.dtype)])
    return Factors(a, torch.cat([own.b, (more.b.double() / scale).to(own.b.dtype)], dim=1))


def _beside(module: str, old: Factors | None, new: Factors) -> Factors:
    if old is None:
        return new
    if old.a.shape[1] != new.a.shape[1] or old.b.shape[0] != new.b.shape[0]:
        raise ValueError(f"{module}: {_size(new)} cannot join {_size(old)}")
    return Factors(torch.cat([old.a, new.a]), torch.cat([old.b, new.b], dim=1))


def _within(own: Factors) -> Factors:
    """Round factors to float32, and keep the product itself where they are no smaller."""
    rows, columns = own.b.shape[0], own.a.shape[1]
    if own.a.shape[0] < min(rows, columns):
        return Factors(own.a.float(), own.b.float())
    # The identity is exact, and one product costs a small part of a singular value decomposition of this size.
    product = (own.b.double() @ own.a.double()).float()
    return Factors(product, _identity(rows)) if rows <= columns else Factors(_identity(columns), product)


def _identity(size: int) -> Tensor:
    return torch.eye(size, dtype=torch.float32)


def _size(factors: Factors) -> str:
    return f"{factors.b.shape[0]} x {factors.a.shape[1]}"
