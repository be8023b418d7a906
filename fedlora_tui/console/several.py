"""The answers to several commands that were sent at once, told together: what waits, and what was refused and why."""

from __future__ import annotations

from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.view import Said
from fedlora_tui.console.wording import command_words
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.state import Answer


class Several:
    """Takes the answers down until all are in."""

    def __init__(self, count: int, glyphs: Glyphs) -> None:
        self._count = count
        self._glyphs = glyphs
        self._taken: list[str] = []
        self._refused: list[str] = []
        self._round: int | None = None

    @property
    def complete(self) -> bool:
        """True once every command is answered."""
        return len(self._taken) + len(self._refused) >= self._count

    def heard(self, answer: Answer) -> Said | None:
        """Take one answer down; with the last one give the words for the answer row."""
        event = answer.event
        if isinstance(event, ev.CommandRefused):
            self._refused.append(event.reason)
        else:
            self._taken.append(command_words(event.command, event.value, self._glyphs, event.before))
            self._round = event.takes_effect_round
        if not self.complete:
            return None
        wait = f", from round {self._round} on" if self._round is not None else ""
        taken = f"{', '.join(self._taken)}{wait}" if self._taken else ""
        if not self._refused:
            return Said(self._glyphs.answered, "held", answer.t, taken)
        # Many are often refused for one reason, which is said once.
        words = f"{len(self._refused)} of {self._count} refused: {'; '.join(dict.fromkeys(self._refused))}"
        return Said("!", "care_bold", answer.t, words)
