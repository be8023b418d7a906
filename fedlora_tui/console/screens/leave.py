"""The dialog that asks before a run that goes on is left; its focus is on what loses nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import events

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import Dialog
from fedlora_tui.console.since import stop_words
from fedlora_tui.console.view import View
from fedlora_tui.protocol.commands import Finish, Stop
from fedlora_tui.protocol.naming import called

DETACH = "detach"
Choice = Finish | Stop | str | None


class LeaveDialog(Dialog[Choice]):
    """Leave it running, finish the round and leave, stop now and leave, or stay."""

    TITLE_WORDS = "leave?"
    CLOSED_BY = ("leave",)
    CHOICES: ClassVar[tuple[str, ...]] = ("finish", "stop", "cancel")

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._choices = self.CHOICES if view.wheel is None else (DETACH, *self.CHOICES)
        self._cursor = len(self._choices) - 1
        self._complaint = ""

    def content(self, view: View) -> list[list[Words]]:
        """Say how the run stands, or one of those that go on, then the choices."""
        view = replace(view, state=view.going)
        after = "stop after this round, then leave"
        if (left := _round_left(view)) is not None:
            after = f"stop after this round ({numbers.duration(left, view.look.glyphs)}), then leave"
        saved = view.state.checkpoint
        kept = f"; the checkpoint of round {saved.round} stays" if saved else "; nothing is saved yet"
        return [
            [],
            [_standing(view)],
            [(_for_all(view), "quiet")] if view.racing else [],
            *([self._choice(view, "d", DETACH, _detached(view))] if DETACH in self._choices else []),
            self._choice(view, "f", "finish", after, able=not self._cannot_finish(view)),
            self._choice(view, "s", "stop", stop_words(view.state) + kept),
            [(f"  {self._complaint}", "care")] if self._complaint else [],
            self._choice(view, "esc", "cancel", "stay"),
            [],
        ]

    def press(self, event: events.Key) -> None:
        """Take a choice by its letter, or the one under the cursor."""
        letters = {"f": "finish", "s": "stop"}
        if DETACH in self._choices:
            letters["d"] = DETACH
        steps = {"up": -1, "k": -1, "shift+tab": -1, "down": 1, "j": 1, "tab": 1}
        if event.key in letters:
            self._take(letters[event.key])
        elif self.closes(event.key):
            self._take("cancel")
        elif event.key == "enter":
            self._take(self._choices[self._cursor])
        elif event.key in steps:
            self._cursor = (self._cursor + steps[event.key]) % len(self._choices)
        if self.is_mounted and self.is_current:
            self.repaint()

    def _take(self, choice: str) -> None:
        if choice == "finish" and (reason := self._cannot_finish(replace(self._view, state=self._view.going))):
            self._complaint = reason
        else:
            taken: dict[str, Choice] = {DETACH: DETACH, "finish": Finish(), "stop": Stop()}
            self.dismiss(taken.get(choice))

    def _cannot_finish(self, view: View) -> str:
        if view.state.phase == "starting":
            return "no round is under way yet: s stops the start"
        if view.leaving == "finish" or view.state.phase == "finishing":
            return "it ends after this round already"
        return ""

    def _choice(self, view: View, key: str, name: str, words: str, *, able: bool = True) -> list[Words]:
        here = self._choices[self._cursor] == name
        sign = view.look.glyphs.cursor if here else " "
        letter = len(key) == 1
        return [
            (f"{sign} ", "yours_bold"),
            (key, "yours_bold" if able else "quiet"),
            ("  " if letter else " "),
            (f"{name:<{10 if letter else 9}}", "yours_bold" if here else "" if able else "quiet"),
            (words, "" if able else "quiet"),
        ]


def _detached(view: View) -> str:
    """Say what brings the run back on a screen; before it has a name it is the newest one.

    Where it is named by its path there is no room for that: it stands on the ordinary screen afterwards.
    """
    started = view.state.started
    goes_on = "it stays paused" if view.state.phase in ("paused", "pausing") else "it goes on"
    run = started.run if started is not None and not view.racing else ""
    if started is not None and called(started.folder) != started.run:
        return f"{goes_on}; fedlora-tui attach, as told when left"
    return f"{goes_on}; fedlora-tui attach {run}".rstrip()


def _for_all(view: View) -> str:
    going = sum(not run.state.over for run in view.runs)
    return f"{going} of {len(view.runs)} runs go on, and end together."


def _standing(view: View) -> str:
    state, glyphs = view.state, view.look.glyphs
    if state.phase == "starting":
        return "The run is starting. Nothing is trained yet."
    doing = {"paused": "paused", "pausing": "pausing", "finishing": "finishing"}.get(state.phase, "running")
    words = f"Round {numbers.of(state.round, state.rounds, glyphs)} is {doing}"
    left = state.seconds_left(view.now)
    if left is not None and state.phase == "running":
        words += f", {numbers.duration(left, glyphs)} left"
    if state.checkpoint is not None:
        return f"{words}. Checkpoint: round {state.checkpoint.round}, {numbers.clock(state.checkpoint_t, glyphs)}."
    return f"{words}. There is no checkpoint yet."


def _round_left(view: View) -> float | None:
    """Estimate the seconds to the end of the round under way."""
    state = view.state
    seconds = [row.seconds for row in state.history[-5:] if row.seconds and row.round > 0]
    if not seconds or state.round_since is None or state.round_finished or state.phase != "running":
        return None
    return max(0.0, sum(seconds) / len(seconds) - (view.now - state.round_since))
