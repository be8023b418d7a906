"""Commands that are sent as one, a command an organization, and what the run said to each of them."""

from __future__ import annotations

from fedlora_tui.console.actions.action import Each
from fedlora_tui.protocol.commands import YOU, Command, Fault
from fedlora_tui.protocol.events import CommandAcknowledged, CommandRefused, Event


class Together:
    """What became of commands that were sent as one."""

    def __init__(self, asked: Each) -> None:
        self._waits = dict(asked.commands)
        self._refused = dict(asked.refused)
        self._first = next(iter(asked.commands.values()), None)
        self._round: int | None = None
        self.taken = 0

    @property
    def complete(self) -> bool:
        """True once each of them is answered."""
        return not self._waits

    def take(self, event: Event) -> bool:
        """Take in what the run says; True where it answers one of them."""
        if not isinstance(event, CommandAcknowledged | CommandRefused):
            return False
        name = next((name for name, command in self._waits.items() if _answers(event, command)), None)
        if name is None:
            return False
        del self._waits[name]
        if isinstance(event, CommandRefused):
            self._refused[name] = event.reason
        else:
            self.taken += 1
            self._round = event.takes_effect_round
        return True

    @property
    def words(self) -> str:
        """Say how many were taken, and name those that were not."""
        said = [_done(self._first, self.taken, self._round)] if self.taken and self._first is not None else []
        said += [_not_done(name, reason) for name, reason in self._refused.items()]
        return "; ".join(said)


def _answers(event: CommandAcknowledged | CommandRefused, command: Command) -> bool:
    return event.by == YOU and event.command == command.name and event.value == command.value


def _done(command: Command, count: int, turn: int | None) -> str:
    leave = "leaves" if count == 1 else "leave"
    if isinstance(command, Fault):
        return f"fault {command.to} for {count}, waits for round {turn}"
    if command.name == "release":
        return f"{count} {leave} quarantine with round {turn}"
    return f"{count} {leave} at round {turn}"


def _not_done(name: str, reason: str) -> str:
    return reason if name in reason else f"{name}: {reason}"
