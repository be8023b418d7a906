"""Who steers a run that several consoles watch: one of them at a time, and how it passes on.

A console that asks gets the wheel at once where nobody holds it, else when `REFUSAL_SECONDS` have passed in which the
holder has not said that it keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

REFUSAL_SECONDS = 5.0


@dataclass(frozen=True)
class Steerers:
    """Who holds the wheel and who asks for it, by the numbers of their connections; 0 is nobody."""

    holder: int = 0
    asking: int = 0
    asked_at: float = 0.0

    def asked(self, who: int, now: float) -> Steerers:
        """One asks. While another's question is open, nothing changes."""
        if self.holder == who or (self.asking and self.asking != who):
            return self
        if not self.holder:
            return Steerers(who)
        return self if self.asking == who else replace(self, asking=who, asked_at=now)

    def kept(self, who: int) -> Steerers:
        """The holder keeps it."""
        return replace(self, asking=0) if who == self.holder else self

    def left(self, who: int) -> Steerers:
        """One gives it back or is gone; who asked for it has it then."""
        if who == self.asking:
            return replace(self, asking=0)
        return Steerers(self.asking) if who == self.holder else self

    def at(self, now: float) -> Steerers:
        """Let it pass on when the time to refuse is over."""
        return Steerers(self.asking) if self.asking and now - self.asked_at >= REFUSAL_SECONDS else self

    def seconds_left(self, now: float) -> float:
        """Give how long the holder may still refuse."""
        return max(0.0, REFUSAL_SECONDS - (now - self.asked_at)) if self.asking else 0.0
