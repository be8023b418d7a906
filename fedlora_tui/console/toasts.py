"""Toasts: what nobody asked for and an operator should know of, whatever is looked at; two at most, for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.protocol import events as ev

SECONDS = 8.0
MOST = 2
NO_ROOM = "cannot be written"
"""What the engine says of a disk that takes no more."""


@dataclass(frozen=True)
class Toast:
    """A line over the screen: its sign, the sign's style, the words, until when it stands, how often it came."""

    sign: str
    style: str
    words: str
    until: float = 0.0
    count: int = 1


class Toasts:
    """The toasts that stand now, the newest first."""

    def __init__(self) -> None:
        self._standing: tuple[Toast, ...] = ()
        self._looked_at: tuple[Toast, ...] = ()

    def look(self, new: Sequence[Toast], now: float) -> bool:
        """Take in new ones; True where other toasts stand than at the last look."""
        for toast in new:
            self.add(toast, now)
        before, self._looked_at = self._looked_at, self.standing(now)
        return self._looked_at != before

    def add(self, toast: Toast, now: float) -> None:
        """Show a toast; an equal one that stands is counted, and of more than two the oldest goes."""
        equal = [one for one in self._standing if (one.sign, one.words) == (toast.sign, toast.words)]
        others = [one for one in self._standing if one not in equal]
        count = 1 + sum(one.count for one in equal)
        self._standing = (replace(toast, until=now + SECONDS, count=count), *others)[:MOST]

    def standing(self, now: float) -> tuple[Toast, ...]:
        """Give those that stand, and forget the others."""
        self._standing = tuple(one for one in self._standing if now < one.until)
        return self._standing

    def clear(self) -> bool:
        """Take all away; False where there was none."""
        had, self._standing = self._standing, ()
        return bool(had)


def unasked(event: ev.Event, label: str, glyphs: Glyphs) -> Toast | None:
    """Say what nobody asked for, None where somebody did, or nobody has to look; `label` is the run's in a race."""
    whose = f"{label}: " if label else ""
    match event:
        case ev.RunFailed():
            where = f" in round {event.round}" if event.round else ""
            return Toast(glyphs.run_state("failed"), "broken_bold", f"{whose}the run failed{where}")
        case ev.OrgQuarantined():
            sign = glyphs.organization_state("quarantine")
            return Toast(sign, "broken_bold", f"{whose}{event.org} is in quarantine")
        case ev.NodeRefused():
            node = f"a node with {event.whose}'s key" if event.whose else "a node"
            return Toast(glyphs.run_state("failed"), "broken_bold", f"{whose}{node} was refused: {event.reason}")
        case ev.RunPaused(reason=words) | ev.Warned(message=words) if NO_ROOM in words:
            return Toast("!", "care_bold", f"{whose}{words}")
    return None


def wheel_taken(holder: str) -> Toast:
    """Say that another took the wheel."""
    return Toast("!", "care_bold", f"{holder} took the wheel")
