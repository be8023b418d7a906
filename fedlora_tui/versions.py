"""Which versions both ends of a deployment have, and by which headers a SuperLink tells its own."""

from __future__ import annotations

FLOWER_HEADER, OWN_HEADER = "x-flwr-version", "x-fedlora-tui-version"


def same_release(one: str, other: str) -> bool:
    """Tell whether two versions of Flower work together: they do where the first two numbers are the same."""
    return one.split(".")[:2] == other.split(".")[:2]
