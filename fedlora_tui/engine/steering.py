"""What the operator asks of a run: taken from any thread, answered at once, acted on at the run's own boundaries.

The worker calls `between` after each local step (here it pauses or stops) and `begin_round` before each round (here
the changes that wait take effect).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fedlora_tui.config import Config
from fedlora_tui.engine.gate import Gate
from fedlora_tui.engine.knobs import KEYS, Change, change_of, refused, setting, settled, turned, unguarded
from fedlora_tui.engine.stream import Stream
from fedlora_tui.errors import UserError
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev


class Stopped(Exception):
    """Raised in the worker, between two local steps, when the run is to end now."""


class Unwritable(Exception):
    """Raised in the worker of a run that nobody steers when its journal cannot be written."""


class Refusal(Exception):
    """Why a command is not taken, in words for the operator."""


@dataclass(frozen=True)
class Terms:
    """What steering has to know of a run to answer: what a round needs, who could join, what can be exported.

    `cannot_export` says why an export is impossible, None where it is not; `export` begins it for who asks.
    `elsewhere` gives name and place of one whose text lies elsewhere, or the first free name that begins as asked,
    from what is asked for, the places that are known and the names that are taken; it raises UserError.
    `config` tells how the run is set now; `come_to_round` waits for the other runs of a race before each round, `alone`
    is True where there are none. A run that is not `patient` fails where it would pause by itself. `unaffordable` says
    why a setting would spend more than a privacy budget has: from before to after, with so many, after a round.
    """

    min_organizations: int
    another: Callable[[Collection[str]], str | None]
    no_more: Callable[[], str]
    cannot_export: Callable[[ask.Export], str | None]
    export: Callable[[ask.Export, str], None]
    config: Callable[[], Config]
    come_to_round: Callable[[], None] = lambda: None
    elsewhere: Callable[[ask.AddOrganization, Collection[str], Collection[str]], tuple[str, str]] = lambda *asked: (
        "",
        "",
    )
    patient: bool = True
    alone: bool = True
    unaffordable: Callable[[Config, Config, int, int], str | None] = lambda *asked: None


@dataclass(frozen=True)
class Outstanding:
    """What was asked of a run and is not done yet, in and after `round`; `seq` is the last record that it knows of.

    `finish` is the round after which an early end was asked for, None where it was not.
    """

    round: int
    seq: int = 0
    waiting: tuple[ev.Waiting, ...] = ()
    finish: int | None = None


@dataclass
class _Wishes:
    pause: bool = False
    finish: bool = False
    stop: str | None = None
    waiting: list[Change] = field(default_factory=list)


class Steering:
    """The operator's side of the run's boundaries."""

    def __init__(self, stream: Stream, gate: Gate | None = None) -> None:
        """Runs whose work goes together share a gate."""
        self.paused_seconds = 0.0
        self._stream = stream
        self._gate = gate or Gate()
        self._gate.add(self._tell_paused)
        self._terms: Terms | None = None
        self._present: tuple[str, ...] = ()
        self._out: frozenset[str] = frozenset()
        self._round = 0
        self._rounds = 0
        self._finishes = 0
        self._wishes = _Wishes()
        self._paused_since: float | None = None
        self._pause_reason = ""
        self._reached = (0, 0)
        self._over = False
        self._asker = ask.YOU
        self._changed = self._gate.changed

    def open(self, terms: Terms, present: Collection[str], rounds: int, then: Outstanding | None = None) -> None:
        """Begin to take commands: the run is prepared. `then` is where a run that goes on stood."""
        with self._changed:
            self._terms, self._present, self._rounds = terms, tuple(present), rounds
            if then is not None:
                self._round, self._reached = then.round, (then.round, 0)
                self._wishes.waiting = [change_of(waiting) for waiting in then.waiting]
                self._wishes.finish, self._finishes = then.finish is not None, then.finish or 0

    def tell_outstanding(self) -> None:
        """Tell what waits in a run that goes on, where it shows elsewhere than among the changes."""
        with self._changed:
            for change in self._wishes.waiting:
                if change.command in ("add", "drop"):
                    self._tell_coming(change, change.round)
            if self._wishes.finish:
                self._stream.emit(ev.RunFinishing(self._finishes, "asked for"))

    def _tell_coming(self, change: Change, round: int) -> None:
        state, verb = ("joining", "joins") if change.command == "add" else ("leaving", "leaves")
        self._stream.emit(ev.OrgState(change.org, state, round, f"{verb} at round {round}"))

    def outstanding(self) -> Outstanding:
        """Give what was asked for and is not done yet; every command up to `seq` is in it or done."""
        with self._changed:
            waiting = [
                ev.Waiting(change.command, change.value, change.round or self._round + 1)
                for change in self._wishes.waiting
            ]
            finish = self._round if self._wishes.finish else None
            return Outstanding(self._round, self._stream.seq, tuple(waiting), finish)

    def close(self) -> None:
        """The run is over: only exports are taken from now on."""
        with self._changed:
            self._over = True

    def send(self, command: ask.Command, by: str = ask.YOU) -> None:
        """Take or refuse what somebody asks; either answer is in the stream before this returns."""
        with self._changed:
            self._asker = by
            try:
                _HANDLERS[type(command)](self, command)
            except Refusal as refusal:
                self.refuse(command, str(refusal), by)
            self._gate.pressed += 1
            self._changed.notify_all()

    def refuse(self, command: ask.Command, reason: str, by: str = ask.YOU) -> None:
        """Answer that a command is not taken."""
        self._answer(ev.CommandRefused(command.name, command.value, reason, by))

    def between(self, round: int, step: int) -> None:
        """Pause here for as long as the operator wants, and raise Stopped when the run is to end."""
        with self._changed:
            self._reached = (round, step)
            self._gate.step_aside()
            self._look_at_the_journal()
            if self._wishes.pause and self._wishes.stop is None:
                self._wait_paused()
            self._raise_if_stopped()

    def meanwhile(self) -> None:
        """Stand aside while the base is wanted, and raise Stopped when the run is to end; a pause waits."""
        with self._changed:
            self._gate.step_aside()
            self._raise_if_stopped()

    def _look_at_the_journal(self) -> None:
        """Pause by itself, or fail where nobody steers, while the journal cannot be written."""
        trouble = self._stream.trouble
        if not trouble or self._terms is None or self._wishes.stop is not None:
            return
        if not self._terms.patient:
            raise Unwritable(trouble)
        self._wishes.pause, self._pause_reason = True, trouble

    def rest(self) -> None:
        """The worker waits for other runs before it goes on: it is paused when one of them is."""
        self._gate.rest(self._tell_paused)

    def reached(self, round: int, step: int) -> None:
        """Remember how far the run is, for a pause that is told while it waits for another run's."""
        with self._changed:
            self._reached = (round, step)

    def come_to_round(self) -> None:
        """Wait for the other runs of a race, so that what is asked counts from the same round for all."""
        self.rest()
        self._prepared().come_to_round()

    @property
    def alone(self) -> bool:
        """True where no other run waits for this one."""
        return self._prepared().alone

    def begin_round(self, round: int) -> list[Change]:
        """Give the changes that take effect with this round, and forget them; may pause, may raise Stopped."""
        with self._changed:
            self.between(round, 0)
            self._round = round
            changes = [change for change in self._wishes.waiting if change.round <= round]
            later = [change for change in self._wishes.waiting if change.round > round]
            # From here on these changes are made: a command that comes while they are being made builds on them.
            self._wishes.waiting = changes
            self._present = tuple(sorted(self._coming()))
            self._wishes.waiting = later
            return changes

    def take_rounds(self) -> list[Change]:
        """Give the changes of the number of rounds that wait, and forget them: after the last round they count, too."""
        with self._changed:
            late = [change for change in self._wishes.waiting if change.command == "rounds"]
            self._wishes.waiting = [change for change in self._wishes.waiting if change.command != "rounds"]
            return late

    def now_rounds(self, rounds: int) -> None:
        """Remember how many rounds the run has."""
        with self._changed:
            self._rounds = rounds

    def lack(self) -> str | None:
        """Say what a round lacks to begin, None when nothing."""
        with self._changed:
            need, here = self._prepared().min_organizations, len({*self._present} - self._out)
            out = len(self._out & {*self._present})
            more = f", {out} in quarantine" if out else ""
            return f"needs {need} organizations, has {here}{more}" if here < need else None

    def wait_for_organizations(self, round: int, reason: str) -> None:
        """Pause by itself before a round that cannot begin, until the operator has put it right and resumes."""
        with self._changed:
            self._round = round - 1
            self._reached = (round, 0)
            self._finishes = 0
            self.wait_by_itself(reason)

    def wait_by_itself(self, reason: str) -> None:
        """Pause by itself until the operator has put it right and resumes, or asks for the end."""
        with self._changed:
            self._wishes.pause, self._pause_reason = True, reason
            self._wait_paused()
            self._raise_if_stopped()

    def finish_by_itself(self, reason: str) -> None:
        """Let no further round start, as if the operator had asked for the end."""
        with self._changed:
            self._wishes.finish, self._finishes = True, self._round
            self._stream.emit(ev.RunFinishing(self._round, reason))

    def now_present(self, organizations: Collection[str], quarantined: Collection[str] = ()) -> None:
        """Remember who is here after the changes of a boundary, and who of them takes no part."""
        with self._changed:
            self._present, self._out = tuple(organizations), frozenset(quarantined)

    def now_quarantined(self, quarantined: Collection[str]) -> None:
        """Remember who takes no part from now on."""
        with self._changed:
            self._out = frozenset(quarantined)

    @property
    def seconds_at_rest(self) -> float:
        """How long the run has stood still by now, for pauses and for texts that were tried."""
        return self.paused_seconds + self._gate.aside_seconds

    @property
    def finish_asked(self) -> bool:
        """True when no further round is to start."""
        with self._changed:
            return self._wishes.finish and self._round >= self._finishes

    @property
    def stop_reason(self) -> str | None:
        """Why the run is to end now, None while it is not."""
        with self._changed:
            return self._wishes.stop

    @property
    def last_waiting(self) -> Change | None:
        """What would be taken back now, None when nothing waits."""
        with self._changed:
            return self._wishes.waiting[-1] if self._wishes.waiting else None

    def _wait_paused(self) -> None:
        self._gate.wait(self._tell_paused, lambda: self._holds)
        self._wishes.pause = False
        self._note_pause_over()

    @property
    def _holds(self) -> bool:
        """True while nothing is to go on."""
        return self._wishes.pause and self._wishes.stop is None and not (self._wishes.finish or self._over)

    def _tell_paused(self) -> None:
        """Tell the pause, and begin to count its time, once everything that works waits."""
        if self._holds and self._paused_since is None:
            self._paused_since = time.monotonic()
            self._stream.emit(ev.RunPaused(*self._reached, self._pause_reason))

    def _note_pause_over(self) -> None:
        if self._paused_since is not None:
            self.paused_seconds += time.monotonic() - self._paused_since
        self._paused_since, self._pause_reason = None, ""

    def _go_on(self) -> None:
        """Take a pause back. Said here and not by the worker, so that events stand in the order of the commands."""
        self._wishes.pause = False
        self._note_pause_over()
        self._stream.emit(ev.RunResumed(self._round))

    def _raise_if_stopped(self) -> None:
        if self._wishes.stop is not None:
            raise Stopped(self._wishes.stop)

    # Each handler below checks, refuses by raising, or changes the wishes and answers.

    def _pause(self, command: ask.Pause) -> None:
        self._goes_on()
        if self._wishes.finish:
            raise Refusal("finishing: the round under way is the last")
        if self._wishes.pause:
            told = self._paused_since is not None
            raise Refusal("paused already" if told else "pausing already, within one step")
        self._wishes.pause = True
        self._acknowledge(command)
        self._stream.emit(ev.PauseRequested(self._round))

    def _resume(self, command: ask.Resume) -> None:
        need = self._goes_on().min_organizations
        if not self._wishes.pause:
            raise Refusal("it runs already")
        coming = len(self._taking_part())
        if coming < need:
            what = "add or release one first" if self._out else "add one first"
            raise Refusal(f"a round needs {need} organizations, {coming} would be here: {what}")
        if not self._stream.written():
            raise Refusal(f"{self._stream.trouble}: put it right first")
        self._acknowledge(command)
        self._go_on()

    def _add(self, command: ask.AddOrganization) -> None:
        terms = self._goes_on()
        round = self._next_round()
        taken = {*self._present, *(change.org for change in self._wishes.waiting if change.command == "add")}
        name, place = self._named(command, terms, taken)
        if name in taken:
            raise Refusal(f"{name} takes part already" + (": give it another name" if place else ""))
        change, config = Change("add", name, place or None), self._coming_config()
        if (reason := unguarded(config, len(self._coming() | {name}))) is not None:
            raise Refusal(reason)
        rank = Change("rank", name, command.rank) if command.rank else None
        if rank is not None and command.rank != config.lora.default_rank:
            reason = refused(turned(config, change), rank, self._coming() | {name}, self._round)
            if reason is not None:
                raise Refusal(reason)
        self._wishes.waiting.append(change)
        self._answer(ev.CommandAcknowledged(command.name, change.value, round, self._asker))
        self._tell_coming(change, round)
        if rank is not None and command.rank != config.lora.default_rank:
            self._turn(ask.Rank(command.rank, name))

    def _named(self, command: ask.AddOrganization, terms: Terms, taken: Collection[str]) -> tuple[str, str]:
        """Give the name of who is to join, and where its text lies where that is elsewhere."""
        known = self._coming_config().data.joined
        if command.like in known and command.like not in taken:
            return command.like, ""
        if command.like or command.folder or command.hub:
            try:
                return terms.elsewhere(command, {*known.values()}, taken)
            except UserError as error:
                raise Refusal(str(error)) from None
        name = command.org or terms.another(taken)
        if name is None:
            raise Refusal(terms.no_more())
        return name, ""

    def _coming_config(self) -> Config:
        """Give the configuration of the next round, with what waits."""
        config = self._prepared().config()
        for waiting in self._wishes.waiting:
            config = turned(config, waiting)
        return config

    def _drop(self, command: ask.DropOrganization) -> None:
        need = self._goes_on().min_organizations
        round = self._next_round()
        if command.org not in self._present:
            joining = any((change.command, change.org) == ("add", command.org) for change in self._wishes.waiting)
            if joining:
                raise Refusal(f"{command.org} has not joined yet: undo takes it back")
            raise Refusal("no such organization")
        if Change("drop", command.org) in self._wishes.waiting:
            raise Refusal(f"{command.org} leaves already")
        if len(self._taking_part() - {command.org}) < need:
            raise Refusal(f"a round needs {need} (federation.min_organizations)")
        self._wishes.waiting.append(Change("drop", command.org))
        self._acknowledge(command, round)
        self._tell_coming(Change("drop", command.org), round)

    def _turn(self, command: ask.Command) -> None:
        self._goes_on()
        # The number of rounds may change in the last one, too; nothing else has a round to wait for then.
        round = self._round + 1 if isinstance(command, ask.Rounds) else self._next_round()
        if self._wishes.finish:
            raise Refusal(f"round {self._round} is the last")
        org = getattr(command, "org", "")
        if not isinstance(org, str):
            raise Refusal("an organization has a name")
        change = settled(Change(command.name, org, command.to), round)  # type: ignore[attr-defined]
        config = self._coming_config()
        coming = self._coming()
        reason = refused(config, change, coming, self._round)
        if reason is None and change.command in ("rounds", "fraction"):
            unaffordable = self._prepared().unaffordable
            reason = unaffordable(config, turned(config, change), len(coming), self._round)
        if reason is not None:
            raise Refusal(reason)
        self._wishes.waiting.append(change)
        command = replace(command, to=change.to)  # type: ignore[call-arg]
        before = setting(config, change)
        self._answer(ev.CommandAcknowledged(command.name, command.value, round, self._asker, before))

    def _release(self, command: ask.Release) -> None:
        self._goes_on()
        round = self._next_round()
        change = Change("release", command.org)
        if not isinstance(command.org, str) or command.org not in self._out:
            raise Refusal(f"{command.org} is not in quarantine")
        if change in self._wishes.waiting:
            raise Refusal(f"{command.org} is released at the next round already")
        self._wishes.waiting.append(change)
        self._acknowledge(command, round)

    def _undo(self, command: ask.Undo) -> None:
        self._goes_on()
        if not self._wishes.waiting:
            raise Refusal("nothing waits for the next round")
        change = self._wishes.waiting.pop()
        taken_back = {"command": change.command, "org": change.org}
        if change.command in KEYS or change.to is not None:
            taken_back["value"] = change.to
        self._stream.emit(ev.CommandAcknowledged(command.name, taken_back, None, self._asker))
        if change.command in KEYS or change.command == "release":
            return
        if change.command == "add":
            self._stream.emit(ev.OrgLeft(change.org, self._round + 1, "taken back before it joined"))
        else:
            state = "quarantine" if change.org in self._out else "waiting"
            self._stream.emit(ev.OrgState(change.org, state, self._round, ""))

    def _export(self, command: ask.Export) -> None:
        terms = self._prepared()
        unfinished = terms.cannot_export(command)
        if unfinished is not None:
            raise Refusal(unfinished)
        self._acknowledge(command)
        terms.export(command, self._asker)

    def _finish(self, command: ask.Finish) -> None:
        self._goes_on()
        if self._wishes.finish:
            raise Refusal("finishing already")
        self._wishes.finish = True
        self._acknowledge(command)
        if self._wishes.pause:
            self._go_on()
        self._stream.emit(ev.RunFinishing(self._round, "asked for"))

    def _stop(self, command: ask.Stop) -> None:
        if self._over:
            raise Refusal("the run is over")
        if self._wishes.stop is None:
            self._wishes.stop = command.reason
        self._acknowledge(command)

    def _acknowledge(self, command: ask.Command, takes_effect_round: int | None = None) -> None:
        self._answer(ev.CommandAcknowledged(command.name, command.value, takes_effect_round, self._asker))

    def _answer(self, answer: ev.Event) -> None:
        """Answer in the journal, or, while the run has none yet, to those who watch alone."""
        (self._stream.answer if self._terms is not None else self._stream.mention)(answer)

    def _prepared(self) -> Terms:
        if self._terms is None:
            raise Refusal("the run is still starting")
        return self._terms

    def _goes_on(self) -> Terms:
        if self._over:
            raise Refusal("the run is over")
        return self._prepared()

    def _next_round(self) -> int:
        if self._round >= self._rounds or self._wishes.finish:
            raise Refusal(f"round {self._round} is the last")
        return self._round + 1

    def _coming(self) -> set[str]:
        """Who would take part in the next round."""
        coming = set(self._present)
        for change in self._wishes.waiting:
            if change.command in ("add", "drop"):
                (coming.add if change.command == "add" else coming.discard)(change.org)
        return coming

    def _taking_part(self) -> set[str]:
        """Who of those would not be in quarantine."""
        released = {change.org for change in self._wishes.waiting if change.command == "release"}
        return self._coming() - (self._out - released)


_HANDLERS: Mapping[type[ask.Command], Callable[[Steering, Any], None]] = {
    ask.Pause: Steering._pause,
    ask.Resume: Steering._resume,
    ask.AddOrganization: Steering._add,
    ask.DropOrganization: Steering._drop,
    ask.Rank: Steering._turn,
    ask.Rounds: Steering._turn,
    ask.Rate: Steering._turn,
    ask.Steps: Steering._turn,
    ask.Fraction: Steering._turn,
    ask.Method: Steering._turn,
    ask.Fault: Steering._turn,
    ask.Release: Steering._release,
    ask.Undo: Steering._undo,
    ask.Export: Steering._export,
    ask.Finish: Steering._finish,
    ask.Stop: Steering._stop,
}
