"""What the console knows of its run and does with it, without a screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from fedlora_tui.console.actions.action import Action, Situation
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.several import Several
from fedlora_tui.console.view import Said
from fedlora_tui.console.wording import answer
from fedlora_tui.protocol.commands import YOU, Command, Finish, Stop
from fedlora_tui.protocol.events import CommandAcknowledged, CommandRefused, Record
from fedlora_tui.protocol.handle import RunHandle
from fedlora_tui.protocol.state import RunState, apply

VERY_MANY = 256
"""With more organizations, those that something is wrong with stand first."""

ANSWER_SECONDS = 3.0
"""How long an answer is waited for at the quick pace."""


class Session:
    """A run, the selected organization, the order of rows, and the words of the answer row."""

    def __init__(self, handle: RunHandle, glyphs: Glyphs, clock: Callable[[], float]) -> None:
        self.handle = handle
        self.label: str = getattr(handle, "label", "")
        self._name: str = getattr(handle, "asks_as", YOU)
        self.state = RunState()
        self.said: Said | None = None
        self.order: tuple[str, ...] = ()
        self.selected: str | None = None
        self.leaving = ""
        self._glyphs = glyphs
        self._clock = clock
        self._asked_at: float | None = None
        self._sorted_for: tuple[int, frozenset[str]] = (0, frozenset())
        self._silent = False
        self._several: Several | None = None

    @property
    def situation(self) -> Situation:
        """What the registry of actions judges by."""
        return Situation(self.state, self.selected, self.leaving == "stop")

    @property
    def asking(self) -> bool:
        """True for a short while after a command was sent, until it is answered."""
        return self._asked_at is not None and self._clock() - self._asked_at < ANSWER_SECONDS

    @property
    def ended(self) -> bool:
        """True once nothing is left to wait for."""
        return self.state.over or self.handle.over or self.handle.refusal is not None

    def poll(self) -> bool:
        """Fold what came since the last call; True when the answer row changed."""
        over = self.handle.over
        records = self.handle.drain()
        changed = over and not records and self._note_silence()
        if not records:
            return changed
        for record in records:
            changed |= self._take(record)
        self._arrange()
        return changed

    def _take(self, record: Record) -> bool:
        """Fold one record; True when it changed the answer row."""
        record = yours(record, self._name)
        before, self.state = self.state, apply(self.state, record)
        if self.state.answer is not before.answer:
            self._asked_at = None
        said = answer(before, self.state, self._glyphs)
        told = self.state.answer if self.state.answer is not before.answer else None
        if self._several is not None and told is not None and told.event.by == YOU:
            said = self._several.heard(told)
            self._several = None if self._several.complete else self._several
        self.said = said or self.said
        return said is not None

    def _note_silence(self) -> bool:
        """Say once that the run ended without a word about it."""
        if self.state.over or self._silent or self.handle.refusal is not None:
            return False
        self._silent = True
        self.say("!", "broken_bold", "the run ended without saying why: see engine.log")
        return True

    def send(self, action: Action, direction: str = "") -> None:
        """Send an action's command, and say so until the run answers."""
        assert action.command is not None
        self.command(action.command(replace(self.situation, direction=direction)), f"asked: {action.does}")

    def command(self, command: Command, words: str) -> None:
        """Send a command, and say `words` until the run answers."""
        self._asked_at = self._clock()
        self.say(self._glyphs.none, "quiet", words + self._glyphs.ellipsis)
        self.handle.send(command)

    def ask(self, commands: Sequence[Command], words: str) -> None:
        """Send commands, and say `words` until the run has answered all of them."""
        self._several = Several(len(commands), self._glyphs) if len(commands) > 1 else None
        for command in commands:
            self.command(command, words)

    def leave_by(self, command: Finish | Stop) -> None:
        """End the run, now or after its round; the console leaves when it is over."""
        self.leaving = command.name
        self.command(command, "stopping" if isinstance(command, Stop) else "leaving after this round")

    def say(self, sign: str, style: str, words: str) -> None:
        """Put words on the answer row."""
        self.said = Said(sign, style, self._clock(), words)

    def refuse(self, reason: str) -> None:
        """Put the reason on the answer row why a key did nothing."""
        self.say("!", "care_bold", reason)

    def move(self, direction: str, page: int) -> None:
        """Move the selection along the rows: up, down, page_up, page_down, first, last."""
        steps = {"up": -1, "down": 1, "page_up": -page, "page_down": page, "first": -(10**9), "last": 10**9}
        here = self.order.index(self.selected) if self.selected in self.order else 0
        self.select(here + steps[direction])

    def select(self, index: int) -> None:
        """Select the organization in the row `index`, the nearest one where there is no such row."""
        if self.order:
            self.selected = self.order[max(0, min(len(self.order) - 1, index))]

    def _arrange(self) -> None:
        """Take in who came and went; sort anew only between two rounds."""
        organizations = self.state.organizations
        before = self.order
        members = frozenset(name for name, org in organizations.items() if org.state != "joining")
        if (len(self.state.history), members) != self._sorted_for:
            self._sorted_for = len(self.state.history), members
            good = {name: not org.faults for name, org in organizations.items()} if faults_first(self.state) else {}
            rank = {name: (name not in members, good.get(name, False)) for name in organizations}
            self.order = tuple(sorted(organizations, key=lambda name: (*rank[name], natural(name))))
        elif len(before) != len(organizations) or set(before) != organizations.keys():
            staying = [name for name in before if name in organizations]
            known = set(staying)
            self.order = (*staying, *sorted((n for n in organizations if n not in known), key=natural))
        if self.selected not in organizations:
            index = before.index(self.selected) if self.selected in before else 0
            self.selected = None
            self.select(index)


def yours(record: Record, name: str) -> Record:
    """Call the one "you" who asked under this name: what others asked for stays theirs."""
    event = record.event
    if not isinstance(event, CommandAcknowledged | CommandRefused) or event.by != name:
        return record
    return replace(record, event=replace(event, by=YOU))


def faults_first(state: RunState) -> bool:
    """Tell whether organizations with faults stand before the others."""
    return len(state.organizations) > VERY_MANY


def natural(name: str) -> list[tuple[int, int, str]]:
    """Give the key under which names sort with their numbers in order: port-2 before port-10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name) if part]
