"""How replies become one adapter: one file a method, pure functions on adapters, one registry.

Sums run in float64 and in the order of the organizations' names, so that the result does not depend on who came first.
"""

from fedlora_tui.aggregation.fedit import fedit
from fedlora_tui.aggregation.method import Aggregated, Aggregation, Reply, shares

METHODS: dict[str, Aggregation] = {"fedit": fedit}
"""Every method by the name that `federation.aggregation` takes."""

__all__ = ["METHODS", "Aggregated", "Aggregation", "Reply", "shares"]
