"""What every aggregation method takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fedlora_tui.lora.adapter import Adapter


@dataclass(frozen=True)
class Reply:
    """One organization's trained adapter and its weight (the target tokens of its training data)."""

    organization: str
    adapter: Adapter
    weight: float


@dataclass(frozen=True)
class Aggregated:
    """The adapter that the next round starts from."""

    adapter: Adapter


class Aggregation(Protocol):
    """A method: replies (one or more, of equal modules and ranks) -> the next global adapter."""

    def __call__(self, replies: Sequence[Reply]) -> Aggregated:
        """Aggregate; ValueError where the replies do not fit together."""


def shares(replies: Sequence[Reply]) -> list[tuple[float, Reply]]:
    """Pair each reply with its share p_i (weights over their sum), in the order of names.

    ValueError where there is no reply, a weight is negative, or all are zero.
    """
    ordered = sorted(replies, key=lambda reply: reply.organization)
    total = sum(reply.weight for reply in ordered)
    if not total > 0 or any(reply.weight < 0 for reply in ordered):
        raise ValueError(f"{len(ordered)} replies with a total weight of {total}: nothing to take a mean of")
    return [(reply.weight / total, reply) for reply in ordered]
