"""How far the server goes from the adapter it sent toward the one that was aggregated."""

from __future__ import annotations

from dataclasses import replace

from fedlora_tui.lora.adapter import Adapter, Factors


def step_toward(sent: Adapter, aggregated: Adapter, rate: float) -> Adapter:
    """Give `sent + rate * (aggregated - sent)`, factor by factor; at rate 1 the aggregated adapter itself."""
    if rate == 1.0:
        return aggregated
    factors = {}
    for module, end in aggregated.factors.items():
        start = sent.factors[module]
        a = start.a.double() + rate * (end.a.double() - start.a.double())
        b = start.b.double() + rate * (end.b.double() - start.b.double())
        factors[module] = Factors(a.to(end.a.dtype), b.to(end.b.dtype))
    return replace(aggregated, factors=factors)
