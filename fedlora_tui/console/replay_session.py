"""What the console knows of a run that is replayed: as of one that goes on, and how it stood after earlier rounds."""

from __future__ import annotations

import math
from dataclasses import replace

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.player import Replay
from fedlora_tui.console.session import Session
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.state import RunState, apply

MOST_KEPT = 128
"""How many states are kept to go back to: from the nearest one a few rounds are folded at most."""


class ReplaySession(Session):
    """A session whose run can be taken back."""

    def __init__(self, replay: Replay, glyphs: Glyphs) -> None:
        super().__init__(replay, glyphs, replay.time)
        self._replay = replay
        self._place = 0
        self._to_keep = frozenset(replay.marks[:: 1 + len(replay.marks) // MOST_KEPT])
        self._kept = {0: RunState()}

    def play(self, name: str, direction: str) -> None:
        """Do what one of the keys that act otherwise in a replay does, by the id of its action."""
        playing = self._replay.playing
        if name == "more_rounds":
            self._replay.speed = playing.faster if direction == "up" else playing.slower
            self._tell(f"speed {speed_words(self._replay.speed, self._glyphs)}")
        elif name == "rank":
            self._go(self._replay.mark_after() if direction == "up" else self._replay.mark_before())
        elif playing.plays:
            self._replay.stop()
            self._tell(f"stopped at {numbers.clock(self._replay.time(), self._glyphs)}")
        else:
            self._replay.start()
            self._tell(f"plays on, {speed_words(self._replay.speed, self._glyphs)}")

    def _take(self, record: Record) -> bool:
        answered = super()._take(record)
        self.unasked.clear()
        if self.said is not None and self.said.hints:
            # What was good then cannot be done now.
            self.said = replace(self.said, hints=())
        self._step_on()
        return answered

    def _step_on(self) -> None:
        self._place += 1
        if self._place in self._to_keep:
            self._kept[self._place] = self.state

    def _go(self, place: int) -> None:
        """Show the run as it was at a place, from the nearest state before it that is known."""
        if not self._place <= place or any(self._place < kept <= place for kept in self._kept):
            self._place = max(kept for kept in self._kept if kept <= place)
            self.state = self._kept[self._place]
        while self._place < place:
            self.state = apply(self.state, self._replay.records[self._place])
            self._step_on()
        self._replay.go(place)
        self.log.begin_anew(self._replay.records[:place])
        self._silent = False
        self._arrange()
        self._tell(self._where())

    def _where(self) -> str:
        if self._place == 0:
            return "the beginning"
        if self._replay.over:
            return "the end of the recording"
        return f"the end of round {self.state.round}" if self.state.round else "before round 1"

    def _note_silence(self) -> bool:
        """Say once that it ends here where the run itself did not end."""
        if self.state.over or self._silent:
            return False
        self._silent = True
        self._tell("the recording ends here, the run may have gone on")
        return True

    def _tell(self, words: str) -> None:
        self.say(self._glyphs.answered, "held", words)


def speed_words(speed: float, glyphs: Glyphs) -> str:
    """Write a speed: ×4, ×1/4, or ×max for as fast as it goes."""
    if math.isinf(speed):
        return f"{glyphs.times}max"
    return f"{glyphs.times}{f'1/{1 / speed:g}' if speed < 1 else f'{speed:g}'}"
