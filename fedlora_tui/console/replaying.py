"""What keys do and say in a replay: three of them act otherwise, those that would change the run do not act."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf)
"""The speeds that one key goes through; the last one is as fast as it goes."""


@dataclass(frozen=True)
class Playing:
    """How a replay stands: its speed (infinite: as fast as it goes), whether it plays, whether it is at either end."""

    speed: float = 1.0
    plays: bool = True
    at_start: bool = False
    at_end: bool = False

    @property
    def faster(self) -> float:
        """The next higher speed."""
        return next((speed for speed in SPEEDS if speed > self.speed), SPEEDS[-1])

    @property
    def slower(self) -> float:
        """The next lower speed."""
        return next((speed for speed in reversed(SPEEDS) if speed < self.speed), SPEEDS[0])


@dataclass(frozen=True)
class Otherwise:
    """What an action does in a replay, and its word in the footer."""

    does: str
    label: str


OTHERWISE: Mapping[str, Otherwise] = {
    "pause": Otherwise("play, stop", "stop"),
    "rank": Otherwise("a round back, on", "round"),
    "more_rounds": Otherwise("slower, faster", "speed"),
    "leave": Otherwise("leave", "quit"),
}
"""The actions that act otherwise in a replay, by their id."""

ALONE = "one run is replayed, with none beside it"
CHANGES_NOTHING = "a replay cannot be changed"
REFUSED: Mapping[str, str] = {
    "tune": "a replay cannot be tuned",
    "try": "a replay has no model: fedlora-tui resume RUN",
    "export": "a replay has no adapter: fedlora-tui export RUN",
    "fork": "a replay cannot fork",
    "faults": CHANGES_NOTHING,
    "add_by": CHANGES_NOTHING,
    "wheel": "nobody steers a replay",
    "compare": ALONE,
    "flip": ALONE,
}
"""What is said of actions that a replay has no use for; all others that send the run something change nothing."""


def reason(name: str, direction: str, playing: Playing, back: str = "[") -> str | None:
    """Say why an action that the run would take does nothing in a replay, None where it acts.

    `back` is the key that goes a round back.
    """
    if name not in OTHERWISE:
        return REFUSED.get(name, CHANGES_NOTHING)
    if name == "more_rounds":
        if direction == "up" and playing.speed >= SPEEDS[-1]:
            return "as fast as it goes already"
        return "it goes no slower" if direction == "down" and playing.speed <= SPEEDS[0] else None
    if name == "rank" and direction != "up":
        return "the recording begins here" if direction == "down" and playing.at_start else None
    return f"the recording ends here: {back} goes a round back" if playing.at_end else None


def label(name: str, playing: Playing) -> str:
    """Give an action's word for the footer of a replay, empty where it is the usual one."""
    if name == "pause" and not playing.plays:
        return "play"
    return OTHERWISE[name].label if name in OTHERWISE else ""
