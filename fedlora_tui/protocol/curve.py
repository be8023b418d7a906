"""Curves of losses as sums and counts by place: added to step by step, read as means, kept in few points."""

from __future__ import annotations

from itertools import pairwise


def added(curve: tuple[tuple[float, int], ...], place: int, total: float, tokens: int) -> tuple[tuple[float, int], ...]:
    """Add to the sum at one place of a curve, which grows to hold it."""
    place = max(place, 0)
    sums = [*curve, *[(0.0, 0)] * (place + 1 - len(curve))]
    before, count = sums[place]
    sums[place] = (before + total, count + tokens)
    return tuple(sums)


def means(curve: tuple[tuple[float, int], ...]) -> tuple[float, ...]:
    """Give the mean loss at each place of a curve of sums and counts that has a count."""
    return tuple(total / count for total, count in curve if count)


def condensed(points: tuple[float, ...], most: int) -> tuple[float, ...]:
    """Means of equal shares, so that a long round keeps its shape in few points."""
    if len(points) <= most:
        return points
    edges = [round(index * len(points) / most) for index in range(most + 1)]
    return tuple(sum(points[a:b]) / (b - a) for a, b in pairwise(edges))
