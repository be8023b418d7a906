"""What is told of updates that the server sees in sums alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from fedlora_tui.protocol.event import Event


@dataclass(frozen=True)
class SecureSummed(Event):
    """A round's updates were summed unseen: those of `orgs`, without those who were `gone` by then.

    `threshold` holders of shares had to stay, of `holders`. `bytes_up` and `bytes_down` are what keys and shares took
    besides the updates, `seconds` what all of it took besides training. `numbers` were summed for each organization,
    `outside` of them all were cut to the range; any of the mean may be off by `bound`, for rounding.
    """

    type: ClassVar[str] = "secure_summed"
    round: int
    orgs: tuple[str, ...]
    gone: tuple[str, ...]
    threshold: int
    holders: int
    bytes_up: int
    bytes_down: int
    seconds: float
    numbers: int
    outside: int
    bound: float


@dataclass(frozen=True)
class SecureFailed(Event):
    """A round's updates could not be summed, and none was seen.

    `left` are the bytes of keys and shares, by organization, of those of whom nothing else is told in the round: they
    did what they were asked to.
    """

    type: ClassVar[str] = "secure_failed"
    round: int
    reason: str
    left: Mapping[str, int] = field(default_factory=dict)
