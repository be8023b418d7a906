"""Who is here, and who was refused: what a run tells of its SuperLink's door, beside who is connected."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from fedlora_tui.config import Config
from fedlora_tui.engine.attendance import NOBODY, Attendance, Seen
from fedlora_tui.federation.refusals import Refusal, since
from fedlora_tui.federation.standing import refused
from fedlora_tui.protocol.events import NodeRefused


class AtTheDoor:
    """An attendance that tells of refusals, too: those since it was made, each once."""

    def __init__(self, attendance: Attendance) -> None:
        self._attendance = attendance
        self._told = refused()

    def look(
        self, present: Collection[str], config: Config | None = None, refusals: Mapping[str, str] = NOBODY
    ) -> Seen:
        """Look who is here, and who was refused since the last look."""
        seen, now = self._attendance.look(present, config, refusals), refused()
        new = since(self._told, now)
        self._told = now
        there = tuple(NodeRefused(one.reason, one.address, one.key, one.times, one.whose) for one in new)
        return replace(seen, refused=(*seen.refused, *there))

    @property
    def turned_away(self) -> Sequence[Refusal]:
        """Give who was refused since the last look: the next one tells of them all the same."""
        return since(self._told, refused())

    def dropped(self, organization: str) -> None:
        """The operator lets an organization go."""
        self._attendance.dropped(organization)

    def awaits(self, lack: str) -> bool:
        """Wait a moment for organizations that a round lacks."""
        return self._attendance.awaits(lack)
