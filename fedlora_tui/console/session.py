"""What the console knows of its run and does with it, without a screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fedlora_tui.console.actions.action import Action, Each, Situation
from fedlora_tui.console.arrangement import Arrangement, in_order, natural, passes
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.run_log import RunLog
from fedlora_tui.console.toasts import Toast, unasked
from fedlora_tui.console.together import Together
from fedlora_tui.console.view import Said
from fedlora_tui.console.wording import answer
from fedlora_tui.protocol.commands import YOU, AddOrganization, Command, Finish, Stop
from fedlora_tui.protocol.events import CommandAcknowledged, CommandRefused, Record
from fedlora_tui.protocol.handle import RunHandle
from fedlora_tui.protocol.state import RunState, apply

ANSWER_SECONDS = 3.0
"""How long an answer is waited for at the quick pace."""

AT_REST = frozenset(("paused", "done", "failed", "stopped"))


class Session:
    """A run, the selected organization, the order of rows, and the words of the answer row.

    `order` has all organizations, `shown` those that pass the filter, and the selected one, which never goes from under
    the cursor by itself.
    """

    def __init__(self, handle: RunHandle, glyphs: Glyphs, clock: Callable[[], float]) -> None:
        self.handle = handle
        self.label: str = getattr(handle, "label", "")
        self._name: str = getattr(handle, "asks_as", YOU)
        self.state = RunState()
        self.said: Said | None = None
        self.order: tuple[str, ...] = ()
        self.selected: str | None = None
        self.leaving = ""
        self.arrangement = Arrangement()
        self.log = RunLog()
        self._together: Together | None = None
        self.unasked: list[Toast] = []
        self._glyphs = glyphs
        self._clock = clock
        self._opened_at = clock()
        self._asked_at: float | None = None
        self._sorted_for: tuple[int, frozenset[str]] = (0, frozenset())
        self._silent = False

    @property
    def situation(self) -> Situation:
        """What the registry of actions judges by."""
        return Situation(self.state, self.selected, self.leaving == "stop", marked=self.marked)

    @property
    def marked(self) -> tuple[str, ...]:
        """The organizations that are marked, in the order of their rows, those with them that the filter hides."""
        return tuple(name for name in self.order if name in self.arrangement.marked)

    @property
    def shown(self) -> tuple[str, ...]:
        """The organizations whose rows are shown, in their order."""
        wanted = self.arrangement.filter
        if wanted.empty:
            return self.order
        known = self.state.organizations
        return tuple(name for name in self.order if name == self.selected or passes(wanted, known[name], self.state))

    @property
    def asking(self) -> bool:
        """True for a short while after a command was sent, until it is answered."""
        return self._asked_at is not None and self._clock() - self._asked_at < ANSWER_SECONDS

    @property
    def ended(self) -> bool:
        """True once nothing is left to wait for."""
        return self.state.over or self.handle.over or self.handle.refusal is not None

    @property
    def arriving(self) -> tuple[int, int] | None:
        """How far the history has come that was there before this console, in records, of how many; None behind it."""
        awaited: int = getattr(self.handle, "awaited", 0)
        return (self.state.seq, awaited) if self.state.seq < awaited and not self.ended else None

    def poll(self) -> bool:
        """Fold what came since the last call; True when the answer row changed, or the history is all there."""
        over = self.handle.over
        arriving = self.arriving is not None
        records = self.handle.drain()
        changed = over and not records and self._note_silence()
        if not records:
            return changed
        for record in records:
            changed |= self._take(record)
        self._arrange()
        return changed or (arriving and self.arriving is None)

    def _take(self, record: Record) -> bool:
        """Fold one record; True when it changed the answer row."""
        record = yours(record, self._name)
        before, self.state = self.state, apply(self.state, record)
        self.log.add(record)
        if self.arrangement.by and len(self.state.history) != len(before.history):
            # What comes behind a round's end, in the same look, begins the next one.
            self._sort()
        toast = unasked(record.event, self.label, self._glyphs)
        if toast is not None and record.t >= self._opened_at:
            # What happened before anybody looked is told by the log.
            self.unasked.append(toast)
        if self._together is not None and self._together.take(record.event):
            return self._note_together(record.t)
        said = answer(before, self.state, self._glyphs)
        if record.t < self._opened_at and not self.asking:
            return self._look_back(before, said)
        if self.state.answer is not before.answer:
            self._asked_at = None
        self.said = said or self.said
        return said is not None

    def _look_back(self, before: RunState, said: Said | None) -> bool:
        """Of what was told before this console came, say how the run stands; answers of then stand in the log."""
        if self.state.phase != before.phase and {self.state.phase, before.phase} & AT_REST:
            self.said = said if self.state.phase in AT_REST else None
        return said is not None

    def _note_together(self, t: float) -> bool:
        """Say what became of commands that were sent at once, once all of them are answered."""
        if self._together is None or not self._together.complete:
            return False
        self._asked_at = None
        self.said = self._together.said(t)
        return True

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
        if action.each is not None and self.marked:
            self.ask_each(action.each(self.situation))
            return
        self.command(action.command(replace(self.situation, direction=direction)), f"asked: {action.does}")

    def command(self, command: Command, words: str) -> None:
        """Send a command, and say `words` until the run answers."""
        self._together = None
        self._send((command,), words)

    def ask(self, commands: Sequence[Command], words: str) -> None:
        """Send commands, and say `words` until the run has answered all of them."""
        ranked = any(isinstance(command, AddOrganization) and command.rank for command in commands)
        self._together = Together(commands, self._glyphs) if len(commands) > 1 or ranked else None
        self._send(commands, words)

    def ask_each(self, asked: Each) -> None:
        """Send a command for each of several organizations; what became of them is said as one."""
        commands = tuple(asked.commands.values())
        self._together = Together(commands, self._glyphs, asked.refused)
        if commands:
            self._send(commands, f"asked: {commands[0].name} {len(commands)}")
        else:
            self.said = self._together.said(self._clock())

    def _send(self, commands: Sequence[Command], words: str) -> None:
        self._asked_at = self._clock()
        self.say(self._glyphs.none, "quiet", words + self._glyphs.ellipsis)
        for command in commands:
            self.handle.send(command)

    def leave_by(self, command: Finish | Stop) -> None:
        """End the run, now or after its round; the console leaves when it is over."""
        self.leaving = command.name
        self.command(command, "stopping" if isinstance(command, Stop) else "leaving after this round")

    def say(self, sign: str, style: str, words: str) -> None:
        """Put words on the answer row."""
        self.said = Said(sign, style, self._clock(), words)

    def answer(self, words: str) -> None:
        """Put words on the answer row that say what a key did."""
        self.say(self._glyphs.answered, "held", words)

    def refuse(self, reason: str) -> None:
        """Put the reason on the answer row why a key did nothing."""
        self.say("!", "care_bold", reason)

    def move(self, direction: str, page: int) -> None:
        """Move the selection along the rows: up, down, page_up, page_down, first, last."""
        steps = {"up": -1, "down": 1, "page_up": -page, "page_down": page, "first": -(10**9), "last": 10**9}
        rows = self.shown
        here = rows.index(self.selected) if self.selected in rows else -1
        self._select(rows, here + steps[direction])

    def select(self, index: int) -> None:
        """Select the organization in the row `index`, the nearest one where there is no such row."""
        self._select(self.shown, index)

    def _select(self, rows: tuple[str, ...], index: int) -> None:
        if rows:
            self.selected = rows[max(0, min(len(rows) - 1, index))]

    def filter(self, typed: str) -> None:
        """Show the organizations that pass what was typed; the cursor stays on its own where that passes."""
        self.arrangement = replace(self.arrangement, typed=typed)
        wanted, known = self.arrangement.filter, self.state.organizations
        if self.selected is not None and self.selected in known and passes(wanted, known[self.selected], self.state):
            return
        self._select_nearest(self.order)

    def sort(self, by: str, *, turned: bool) -> None:
        """Sort the rows anew, now and at the end of each round; the cursor stays on its organization."""
        self.arrangement = replace(self.arrangement, by=by, turned=turned)
        self._sort()

    def take_over(self, other: Session) -> None:
        """Stand as another run's session does: the same arrangement, the same words, and the same one selected."""
        self.said, self.arrangement = other.said, other.arrangement
        self._sort()
        if other.selected in self.state.organizations:
            self.selected = other.selected

    def mark(self, names: frozenset[str]) -> None:
        """Mark these organizations, and no others."""
        self.arrangement = replace(self.arrangement, marked=names)

    def _sort(self) -> None:
        self._sorted_for = self._boundary
        self.order = in_order(self.arrangement, self.state)

    @property
    def _boundary(self) -> tuple[int, frozenset[str]]:
        """How many rounds are over, and who takes part: rows are sorted anew where that changes."""
        taking_part = (name for name, org in self.state.organizations.items() if org.state != "joining")
        return len(self.state.history), frozenset(taking_part)

    def _arrange(self) -> None:
        """Take in who came and went; sort anew only between two rounds."""
        organizations = self.state.organizations
        before = self.order
        if self._boundary != self._sorted_for:
            self._sort()
        elif len(before) != len(organizations) or set(before) != organizations.keys():
            staying = [name for name in before if name in organizations]
            known = set(staying)
            self.order = (*staying, *sorted((n for n in organizations if n not in known), key=natural))
        if self.selected not in organizations:
            self._select_nearest(before)

    def _select_nearest(self, order: tuple[str, ...]) -> None:
        """Select what is shown and stood nearest behind the selected one in an order, else before it, else nothing."""
        here = order.index(self.selected) if self.selected in order else 0
        self.selected = None
        rows = self.shown
        known = {*rows}
        near = (name for name in (*order[here:], *order[:here][::-1], *rows) if name in known)
        self.selected = next(near, None)


def yours(record: Record, name: str) -> Record:
    """Call the one "you" who asked under this name: what others asked for stays theirs."""
    event = record.event
    if not isinstance(event, CommandAcknowledged | CommandRefused) or event.by != name:
        return record
    return replace(record, event=replace(event, by=YOU))
