"""How organizations have behaved, round by round: who gave no usable reply how often, and who is in quarantine for it.

It is made of a run's own events alone, so a run that goes on from its journal judges as it did before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fedlora_tui.node_policy import is_policy
from fedlora_tui.protocol import events as ev


@dataclass(frozen=True)
class Offender:
    """An organization that is to be put in quarantine: how many rounds in a row it failed, and how."""

    rounds: int
    reason: str


class Conduct:
    """What is held against each organization. A usable reply makes all of it good."""

    def __init__(self, events: Iterable[ev.Event] = ()) -> None:
        """Begin with what events of the run so far tell, oldest first."""
        self.quarantined: frozenset[str] = frozenset()
        self._misses: dict[str, tuple[ev.UpdateRejected | ev.UpdateLate, ...]] = {}
        self._refusals: dict[str, str] = {}
        for event in events:
            self.take(event)

    def take(self, event: ev.Event) -> None:
        """Take in one more event; those of other kinds change nothing.

        A reply that is late because enough others were in is nobody's fault, and no sign of health either; nor is a
        refusal by an organization's own policy.
        """
        match event:
            case ev.UpdateReceived():
                self._misses.pop(event.org, None)
            case ev.UpdateLate(surplus=True):
                pass
            case ev.UpdateRejected() if event.answered and is_policy(event.reason):
                self._refusals[event.org] = event.reason
            case ev.UpdateRejected() | ev.UpdateLate():
                self._misses[event.org] = (*self._misses.get(event.org, ()), event)
            case ev.OrgQuarantined():
                self.quarantined |= {event.org}
                self._misses.pop(event.org, None)
            case ev.OrgReleased() | ev.OrgLeft():
                self.quarantined -= {event.org}
                self._misses.pop(event.org, None)

    def new_refusals(self) -> Mapping[str, str]:
        """Give whose policy refused a round since the last call, each with its reason."""
        new, self._refusals = self._refusals, {}
        return new

    def kept(self) -> dict[str, Any]:
        """Give what is held against whom as plain values, for a checkpoint."""
        misses = {
            name: [{"type": miss.type, **asdict(miss)} for miss in own] for name, own in sorted(self._misses.items())
        }
        return {"quarantined": sorted(self.quarantined), "misses": misses}

    @classmethod
    def restored(cls, kept: Mapping[str, Any]) -> Conduct:
        """Judge as before from what a checkpoint kept; nothing is held against anybody where it kept nothing."""
        conduct = cls()
        conduct.quarantined = frozenset(kept.get("quarantined", ()))
        for misses in kept.get("misses", {}).values():
            for miss in misses:
                values = {name: value for name, value in miss.items() if name != "type"}
                conduct.take(ev.KINDS[miss["type"]](**values))
        return conduct

    def offenders(self, after: int) -> Mapping[str, Offender]:
        """Give those with so many strikes in a row, by name; nobody where `after` is 0.

        A strike is a round with a reply that was refused or never came. A late one is a strike only where the round
        before went wrong, too: once late may be bad luck.
        """
        strikes = {name: _strikes(misses) for name, misses in sorted(self._misses.items())}
        return {
            name: Offender(len(self._misses[name]), _in_words(self._misses[name]))
            for name, count in strikes.items()
            if after and count >= after
        }


def _strikes(misses: Sequence[ev.Event]) -> int:
    return sum(place > 0 or not isinstance(miss, ev.UpdateLate) for place, miss in enumerate(misses))


def _in_words(misses: Sequence[ev.UpdateRejected | ev.UpdateLate]) -> str:
    """Say what went wrong, with the last reason."""
    count, last = len(misses), misses[-1]
    many = "" if count == 1 else "s"
    if all(isinstance(miss, ev.UpdateLate) for miss in misses):
        return f"{count} repl{'y' if count == 1 else 'ies'} late"
    if all(isinstance(miss, ev.UpdateRejected) and not miss.answered for miss in misses):
        return f"{count} round{many} without a reply"
    if all(isinstance(miss, ev.UpdateRejected) and miss.answered for miss in misses):
        return f"{count} repl{'y' if count == 1 else 'ies'} refused ({last.reason})"
    return f"{count} round{many} without a usable reply ({last.reason})"
