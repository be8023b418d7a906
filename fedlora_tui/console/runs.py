"""The runs that the console has in hand, which of them is in front, and what concerns all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.listing import Listing
from fedlora_tui.console.player import Replay
from fedlora_tui.console.replay_session import ReplaySession
from fedlora_tui.console.run_order import RunOrder, places_of
from fedlora_tui.console.session import Session
from fedlora_tui.console.toasts import Toast
from fedlora_tui.console.view import OneRun
from fedlora_tui.protocol.commands import Finish, Stop
from fedlora_tui.protocol.handle import RunHandle
from fedlora_tui.protocol.state import RunState


class Runs:
    """One session a run: of a run alone, or of those of a race, of which the one in front takes the commands.

    `listing` has those that this console does not have in hand, where it was told where they stand.
    """

    def __init__(self, handles: Sequence[RunHandle], glyphs: Glyphs, clock: Callable[[], float]) -> None:
        self.sessions = tuple(
            ReplaySession(handle, glyphs) if isinstance(handle, Replay) else Session(handle, glyphs, clock)
            for handle in handles
        )
        self.place = 0
        self.leaving = ""
        self.listing: Listing | None = None
        self.order = RunOrder(tuple(range(len(self.sessions))))

    @property
    def front(self) -> Session:
        """The session of the run in front."""
        return self.sessions[self.place]

    @property
    def states(self) -> tuple[RunState, ...]:
        """How the runs stand, in their order."""
        return tuple(session.state for session in self.sessions)

    @property
    def shown(self) -> tuple[OneRun, ...]:
        """What the parts of the screen draw of all runs."""
        return tuple(OneRun(session.label, session.state) for session in self.sessions)

    @property
    def ended(self) -> bool:
        """True once nothing is left to wait for in any of them."""
        return all(session.ended for session in self.sessions)

    @property
    def refusal(self) -> str | None:
        """Why one of them could not begin, and so none goes on."""
        return next((s.handle.refusal for s in self.sessions if s.handle.refusal is not None), None)

    @property
    def calls(self) -> frozenset[str]:
        """What the operator is to be called for: the end of all, one that failed, a pause that nobody asked for."""
        phases = {name: session.state.phase for name, session in enumerate(self.sessions)}
        calls = {f"failed {name}" for name, phase in phases.items() if phase == "failed"}
        if any(state.phase == "paused" and state.reason for state in self.states):
            calls.add("paused")
        if all(state.over for state in self.states) and not {*phases.values()} <= {"stopped"}:
            calls.add("over")
        return frozenset(calls)

    def surprises(self) -> list[Toast]:
        """Give what nobody asked for since the last call, of all runs."""
        told = [toast for session in self.sessions for toast in session.unasked]
        for session in self.sessions:
            session.unasked.clear()
        return told

    def start(self) -> None:
        """Let them begin: a race begins as one."""
        self.front.handle.start()

    def poll(self) -> bool:
        """Take in what all of them said since the last call; True when the answer row changed."""
        rounds = [len(state.history) for state in self.states]
        answered = [self._listen(session) for session in self.sessions if session is not self.front]
        # The run in front has the last word.
        answered.append(self.front.poll())
        if self.order.by and rounds != [len(state.history) for state in self.states]:
            self.sort(self.order.by, turned=self.order.turned)
        return any(answered)

    def show(self, place: int) -> None:
        """Put another run in front: the same rows in the same order, the same one selected, the same words said."""
        before = self.front
        self.place = place % len(self.sessions)
        if self.front is not before:
            self.front.take_over(before)

    def move(self, direction: str, page: int) -> None:
        """Put another run in front, one up or down, a page, or the first or last of all."""
        last = len(self.sessions) - 1
        steps = {"up": -1, "down": 1, "page_up": -page, "page_down": page, "first": -last, "last": last}
        self.point(self.order.places.index(self.place) + steps[direction])

    def point(self, row: int) -> None:
        """Put the run of a row in front, the nearest one where there is no such row."""
        self.show(self.order.places[max(0, min(len(self.sessions) - 1, row))])

    def sort(self, by: str, *, turned: bool) -> None:
        """Sort the runs anew, now and at the end of each round of any of them."""
        self.order = replace(self.order, by=by, turned=turned, places=places_of(self.states, by, turned=turned))

    def chart(self, place: int) -> bool:
        """Take a run out of the chart or into it; True where it is in it now."""
        self.order = replace(self.order, hidden=self.order.hidden ^ {place})
        return place not in self.order.hidden

    def leave_by(self, command: Finish | Stop) -> None:
        """End them all, now or after their rounds; the console leaves when they are over."""
        self.leaving = command.name
        for session in self.sessions:
            session.leaving = command.name
        self.front.leave_by(command)

    def _listen(self, session: Session) -> bool:
        """Take in what a run behind the front said; True when the operator is told of it."""
        before = session.state
        answered = session.poll()
        failed = session.state.phase == "failed" != before.phase
        if not answered or session.said is None or not (failed or session.state.export is not before.export):
            return False
        self.front.said = replace(session.said, words=f"{session.label}: {session.said.words}")
        return True
