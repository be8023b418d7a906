"""Commands that are sent at once, and what the run says to all of them, told together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.view import Said
from fedlora_tui.console.wording import command_words
from fedlora_tui.protocol.commands import YOU, AddOrganization, Command, Fault, Rank
from fedlora_tui.protocol.events import CommandAcknowledged, CommandRefused, Event
from fedlora_tui.protocol.joining import joiner

ON_ONE = ("drop", "release", "fault")
"""Commands that are told by how many organizations they were taken for."""


class Together:
    """What became of commands that were sent at once; one that is never answered keeps the others from being told.

    Who joins with a rank of its own is acknowledged twice by the run, and told once.
    """

    def __init__(self, commands: Sequence[Command], glyphs: Glyphs, refused: Mapping[str, str] | None = None) -> None:
        """`refused` are organizations for which nothing was sent, and why."""
        self._waits = list(commands)
        self._count = len(commands)
        self._glyphs = glyphs
        self._taken: list[Command] = []
        self._words: dict[str, str] = {}
        self._named = dict(refused or {})
        self._reasons: list[str] = []
        self._round: int | None = None

    @property
    def complete(self) -> bool:
        """True once each of them is answered."""
        return not self._waits

    def take(self, event: Event) -> bool:
        """Take in what the run says; True where it answers one of them."""
        if not isinstance(event, CommandAcknowledged | CommandRefused) or event.by != YOU:
            return False
        if self._ranks_a_joiner(event):
            return True
        command = self._answered(event)
        if command is None:
            return False
        self._waits.remove(command)
        if isinstance(event, CommandAcknowledged):
            self._taken.append(command)
            self._words[f"{event.command} {joiner(event.value)}"] = command_words(
                event.command, event.value, self._glyphs, event.before
            )
            self._round = event.takes_effect_round
        elif command.name in ON_ONE:
            self._named[str(joiner(command.value))] = event.reason
        else:
            self._reasons.append(event.reason)
        return True

    def said(self, t: float) -> Said:
        """Give the words for the answer row: how many or which were taken, and why others were not."""
        refused = [reason if name in reason else f"{name}: {reason}" for name, reason in self._named.items()]
        if self._reasons:
            reasons = "; ".join(dict.fromkeys(self._reasons))
            refused.insert(0, f"{len(self._reasons)} of {self._count} refused: {reasons}")
        by_name = self._taken and all(command.name in ON_ONE for command in self._taken)
        if by_name and not self._reasons:
            return Said(self._glyphs.answered, "held", t, "; ".join([self._done(), *refused]))
        if refused:
            return Said("!", "care_bold", t, "; ".join(refused))
        wait = "" if self._round is None else f", from round {self._round} on"
        return Said(self._glyphs.answered, "held", t, ", ".join(self._words.values()) + wait)

    def _answered(self, event: CommandAcknowledged | CommandRefused) -> Command | None:
        """Give the command that is answered; of one that adds, the run repeats a name that it may have chosen."""
        named = [command for command in self._waits if command.name == event.command]
        if event.command == AddOrganization.name:
            return next(iter(named), None)
        whose = joiner(event.value) if event.command in ON_ONE else event.value
        return next((command for command in named if whose in (command.value, getattr(command, "org", None))), None)

    def _ranks_a_joiner(self, event: CommandAcknowledged | CommandRefused) -> bool:
        """Take in the rank of one that joins, which the run tells by itself."""
        if event.command != Rank.name or not isinstance(event.value, Mapping):
            return False
        joins = f"{AddOrganization.name} {event.value.get('org')}"
        if joins not in self._words or any(command.value == event.value for command in self._waits):
            return False
        self._words[joins] += f" with rank {event.value.get(Rank.name)}"
        return True

    def _done(self) -> str:
        """Say for how many organizations commands of one kind were taken."""
        first, count = self._taken[0], len(self._taken)
        leave = "leaves" if count == 1 else "leave"
        if isinstance(first, Fault):
            return f"fault {first.to} for {count}, waits for round {self._round}"
        if first.name == "release":
            return f"{count} {leave} quarantine with round {self._round}"
        return f"{count} {leave} at round {self._round}"
