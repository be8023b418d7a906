"""How a run does: whether its adapter is still made of numbers, and whether it is worse than the base it began with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch

from fedlora_tui.aggregation import Aggregated, Method, Reply, Start
from fedlora_tui.engine.round_errors import NotFiniteError
from fedlora_tui.lora.adapter import Adapter

PUT_RIGHT = "lower the rate, or drop who sends too large updates; resume goes through the round again"
RUNNING = 2
"""So many rounds above the base, one behind the other, are no accident."""


def mean(losses: Iterable[tuple[float | None, int]]) -> float | None:
    """Mean of losses weighted by their tokens, None where there are none; those that were withheld do not count."""
    pairs = [(loss, count) for loss, count in losses if loss is not None]
    tokens = sum(count for _, count in pairs)
    return sum(loss * count for loss, count in pairs) / tokens if tokens else None


def merged(method: Method, replies: Sequence[Reply], start: Start) -> Aggregated:
    """Aggregate replies. Raises NotFiniteError where what they come to is no number."""
    return whole(lambda: method.aggregate(replies, start))


def whole(aggregate: Callable[[], Aggregated]) -> Aggregated:
    """Give what replies are aggregated to. Raises NotFiniteError where that is no number."""
    try:
        aggregated = aggregate()
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        raise NotFiniteError(f"the replies cannot be aggregated, their products are not finite: {PUT_RIGHT}") from None
    check_finite(aggregated.adapter)
    return aggregated


def check_finite(adapter: Adapter) -> None:
    """Raise NotFiniteError where a factor of the new adapter holds nan or infinity."""
    for name, tensor in adapter.tensors().items():
        if not bool(torch.isfinite(tensor).all()):
            raise NotFiniteError(f"the new adapter is not finite ({name}): {PUT_RIGHT}")


def diverging(base: float | None, losses: Sequence[float | None], margin: float) -> str | None:
    """Say that the hold-out loss has just been above the base's for the second round running, None where it is not.

    `losses` are those of the rounds so far, in nats per token, the newest last; `margin` is by how many nats it has to
    be above, 0 for never. It is said once: again only where a round in between was not above.
    """
    if base is None or margin == 0 or len(losses) < RUNNING:
        return None
    above = [loss is not None and loss - base > margin for loss in losses[-RUNNING - 1 :]]
    newest = losses[-1]
    if newest is None or not all(above[-RUNNING:]) or (len(above) > RUNNING and above[0]):
        return None
    by = math.floor((newest - base) * 1000) / 1000
    return f"hold-out loss {by:.3f} above the base's, {RUNNING} rounds running: a lower rate, or fork before it"
