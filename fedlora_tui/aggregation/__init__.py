"""How replies become one adapter: one file a method, pure functions on adapters, one registry.

Sums run in float64 and in the order of the organizations' names, so that the result does not depend on who came first.
"""

from fedlora_tui.aggregation import fair, fedex, fedit, fedsa, fedsvd, ffa, flexlora, flora, hetlora, rolora
from fedlora_tui.aggregation.method import Aggregated, Method, Reply, Start, shares

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (fedit, ffa, rolora, flora, fedex, flexlora, hetlora, fair, fedsa, fedsvd)
}
"""Every method by the name that `federation.aggregation` takes."""

__all__ = ["METHODS", "Aggregated", "Method", "Reply", "Start", "shares"]
