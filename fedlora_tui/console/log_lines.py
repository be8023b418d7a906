"""The lines of the log page: all that the log tells of a run's events, and the end of its engine.log."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from fedlora_tui.console.actions.keymap import USUAL, Keymap
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.filtering import Filter
from fedlora_tui.console.log_file import LogFile
from fedlora_tui.console.run_log import MOST, RunLog
from fedlora_tui.console.since import pausing_words
from fedlora_tui.console.wording import Entry, entry_of
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.state import RunState


@dataclass(frozen=True)
class LogLine:
    """One line: a number that stays its own, and either an entry of the log or the plain words of a file."""

    number: int
    entry: Entry | None
    words: str

    def said(self, glyphs: Glyphs) -> str:
        """Give all that it says, for filters and where it is shown whole."""
        if self.entry is None:
            return self.words
        return f"{numbers.clock(self.entry.t, glyphs)}  {self.entry.sign} {self.entry.name}   {self.entry.words}"


class EventLines:
    """A run's events in words, oldest first: those that the overview shows in its log, and those it shows elsewhere.

    Each is written once, when it comes.
    """

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque()
        self._written = 0
        self._of: tuple[RunLog | None, int] = None, 0

    def look(self, log: RunLog, state: RunState, glyphs: Glyphs, keymap: Keymap = USUAL) -> Sequence[LogLine]:
        """Write what came since the last look; of another run, or where the log began anew, all."""
        if self._of != (log, log.beginnings):
            self._of, self._written = (log, log.beginnings), 0
            self._lines.clear()
        new = log.since(self._written)
        self._written = log.count
        for number, record in new:
            entry = entry_of(record, state, glyphs, keymap) or plain_entry(record, glyphs, state)
            if entry is not None:
                self._lines.append(LogLine(number, entry, entry.words))
        while self._lines and self._lines[0].number < log.count - MOST:
            self._lines.popleft()
        return tuple(self._lines)


def plain_entry(record: Record, glyphs: Glyphs, state: RunState) -> Entry | None:
    """Write an event that the overview shows elsewhere than in its log, None where it says nothing by itself."""
    event, sign = record.event, glyphs.organization_state
    match event:
        case ev.Preparing() if event.state == "done":
            return Entry(record.t, glyphs.run_state("starting"), "quiet", event.stage, event.detail or "done")
        case ev.RoundStarted():
            words = f"begins: {len(event.orgs)} organizations, {event.steps} steps"
            return Entry(record.t, sign("training"), "train", f"round {event.round}", words)
        case ev.CheckpointWritten():
            size, took = numbers.bytes_text(event.bytes, glyphs), numbers.milliseconds(event.seconds, glyphs)
            return Entry(record.t, sign("done"), "quiet", f"round {event.round}", f"checkpoint: {size} in {took}")
        case ev.PauseRequested():
            return Entry(record.t, glyphs.run_state("pausing"), "care", "pause", f"asked for, {pausing_words(state)}")
        case ev.PrivacySpent():
            of = f" of {numbers.epsilon(event.target, glyphs)}" if event.target else ""
            spent = f"{numbers.epsilon(event.epsilon, glyphs)}{of} at {glyphs.delta}"
            by = f"with round {event.round} ({event.accountant})"
            words = f"{spent} {numbers.learning_rate(event.delta, glyphs)} {by}"
            return Entry(record.t, glyphs.epsilon[0], "guard", "privacy", words)
        case ev.SecureSummed():
            many = f"{len(event.orgs)} of {len(event.orgs) + len(event.gone)} updates" if event.gone else "all updates"
            sent = numbers.bytes_text(event.bytes_up + event.bytes_down, glyphs)
            words = f"sum of {many}, none seen: {sent} of shares, {numbers.milliseconds(event.seconds, glyphs)}"
            return Entry(record.t, sign("done"), "held", f"round {event.round}", words)
        case ev.SecureFailed():
            return Entry(record.t, sign("fault"), "fault", f"round {event.round}", f"no sum: {event.reason}")
        case ev.Unknown():
            return Entry(record.t, "?", "quiet", "unknown", event.kind)
    return None


def file_lines(file: LogFile) -> list[LogLine]:
    """Give the lines of a log file that were read."""
    return [LogLine(file.first + place, None, words) for place, words in enumerate(file.lines)]


def filtered(lines: Sequence[LogLine], chosen: Filter, glyphs: Glyphs) -> list[LogLine]:
    """Give the lines that pass a filter."""
    return [line for line in lines if chosen.empty or chosen.passes(line.said(glyphs))]
