"""Who shares masks with whom: all with all where they are few, else a ring of random order with `k` neighbours each.

A random Harary graph, as in Bell et al. 2020: for thousands of organizations some hundred neighbours are enough.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping

from fedlora_tui.privacy.secure_sum.keys import Session
from fedlora_tui.privacy.secure_sum.member import LEAST_HOLDERS

Graph = Mapping[int, frozenset[int]]
"""Each place's neighbours; whoever is one's neighbour has one for a neighbour."""


def neighbours(places: Collection[int], most: int, session: Session) -> Graph:
    """Give each place its neighbours: all others, or `most` of them (an even number) where there are more."""
    most -= most % 2
    if len(places) - 1 <= most:
        return {place: frozenset(places) - {place} for place in places}

    def lot(place: int) -> bytes:
        return hashlib.sha256(b"ring|" + session.label + place.to_bytes(8, "big")).digest()

    ring, count = sorted(places, key=lot), len(places)
    steps = [step for step in range(-most // 2, most // 2 + 1) if step]
    return {place: frozenset(ring[(at + step) % count] for step in steps) for at, place in enumerate(ring)}


def least_shares(holders: int, share: float) -> int:
    """Give how many of `holders` shares must give a secret: that share of them, always more than half, and never two.

    With more than half no two disjoint groups of holders could give out both secrets of an organization.
    """
    return max(math.ceil(share * holders - 1e-9), holders // 2 + 1, LEAST_HOLDERS)


def connected(graph: Graph, among: Collection[int]) -> bool:
    """Tell whether there is a way between any two of some places: else their parts would be summed by themselves."""
    left = set(among)
    reached = [left.pop()] if left else []
    while reached:
        near = graph[reached.pop()] & left
        left -= near
        reached += near
    return not left
