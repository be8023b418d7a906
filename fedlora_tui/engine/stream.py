"""The one stream of events: numbers them, journals them, folds them, and hands them to every reader."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from fedlora_tui.engine.journal import NAME, Journal
from fedlora_tui.protocol.events import (
    ENDS,
    UNRECORDED,
    Event,
    Record,
    RunContinued,
    RunStarted,
    TrainStep,
    Warned,
)
from fedlora_tui.protocol.finite import finite
from fedlora_tui.protocol.state import RunState, apply

Reader = Callable[[Record], None]


class Stream:
    """Events go in from any thread and come out numbered 1, 2, 3, ... in one order for all readers."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.state = RunState()
        self._lock = threading.RLock()
        self._readers: list[Reader] = []
        self._journal: Journal | None = None
        self._unwritten: list[Record] = []
        self._trouble = ""
        self._seq = 0
        self._begun = False
        self._early: list[Warned] = []

    def subscribe(self, reader: Reader) -> None:
        """Let a reader see every record from now on; it is called under the stream's lock and must not wait."""
        with self._lock:
            self._readers.append(reader)

    def open_journal(self, folder: Path) -> int:
        """Journal every event from now on; give the bytes of a torn last line that was cut off for it."""
        with self._lock:
            self._journal = Journal(folder)
            return self._journal.mended

    def take_up(self, past: Iterable[Record], told: bool) -> None:
        """Go on after the records of a journal: they are folded, and, if `told`, handed to every reader.

        Readers do not hear of earlier ends: they would take the run for over until they hear that it goes on.
        """
        with self._lock:
            for record in past:
                self._seq = record.seq
                self.state = apply(self.state, record)
                if told and not isinstance(record.event, ENDS):
                    for reader in self._readers:
                        reader(record)

    @property
    def seq(self) -> int:
        """The number of the last record."""
        with self._lock:
            return self._seq

    @property
    def trouble(self) -> str:
        """Why the journal cannot be written, in words; empty where it can."""
        return self._trouble

    def sync(self) -> None:
        """Wait until the journal is on the disk. Raises OSError."""
        with self._lock:
            if self._journal is not None and not self._try_to_write():
                raise OSError(errno.EIO, self._trouble)
            if self._journal is not None:
                self._journal.sync()

    def written(self) -> bool:
        """Write what could not be written before; True where nothing is left."""
        with self._lock:
            return self._try_to_write()

    def unwritten(self) -> list[Record]:
        """Give what readers were told and the journal lacks, oldest first."""
        with self._lock:
            return list(self._unwritten)

    def close_journal(self) -> None:
        """Close the journal; what is emitted later is seen by readers alone."""
        with self._lock:
            self._try_to_write()
            journal, self._journal = self._journal, None
            if journal is not None:
                journal.close()

    def end(self, event: Event) -> None:
        """Emit the event that ends the run, unless it has ended already: a run has one ending."""
        with self._lock:
            if not self.state.over:
                self.emit(event)

    def emit_while(self, phases: Collection[str], event: Event) -> None:
        """Emit an event only while the run is in one of these phases."""
        with self._lock:
            if self.state.phase in phases:
                self.emit(event)

    def warn(self, words: str) -> None:
        """Emit a warning, from any thread: behind the run's first event, and never behind its end."""
        with self._lock:
            if not self._begun:
                self._early.append(Warned(words))
            elif not self.state.over:
                self.emit(Warned(words))

    def silence(self) -> None:
        """Close the journal and let go of every reader: what is emitted later is for nobody."""
        with self._lock:
            self.close_journal()
            self._readers.clear()

    def emit(self, event: Event) -> Record:
        """Number an event, journal it, and hand it out: to every reader as a reader of the journal will find it.

        Numbers that are not finite become None, times have milliseconds. Where the journal cannot be written, readers
        are told all the same: the run is in `trouble`, and what was told is written, in order, as soon as that is
        possible.
        """
        with self._lock:
            record = Record(self._seq + 1, round(self.clock(), 3), finite(event))
            if self._journal is not None:
                self._unwritten.append(record)
                self._try_to_write()
            self._seq = record.seq
            self._hand_out(record)
            if isinstance(event, RunStarted | RunContinued):
                self._begun = True
                early, self._early = self._early, []
                for warning in early:
                    self.emit(warning)
            return record

    def _try_to_write(self) -> bool:
        if self._journal is None:
            return True
        try:
            while self._unwritten:
                self._journal.append(self._unwritten[0])
                del self._unwritten[0]
        except OSError as error:
            self._trouble = f"the journal cannot be written: {error.strerror or error} ({error.filename or NAME})"
            return False
        self._trouble = ""
        return True

    def mention(self, event: Event) -> None:
        """Hand out an event that belongs in no journal, like what is said before the run's folder exists."""
        with self._lock:
            self._hand_out(Record(UNRECORDED, self.clock(), event))

    def answer(self, event: Event) -> None:
        """Answer what was asked of the run; behind its end it is only mentioned, for the journal ends with the end."""
        with self._lock:
            if self.state.over:
                self.mention(event)
            else:
                self.emit(event)

    def _hand_out(self, record: Record) -> None:
        self.state = apply(self.state, record)
        for reader in self._readers:
            reader(record)


class Inbox:
    """A bounded queue of records for one reader.

    When the reader falls behind, older steps of an organization that has made newer ones are let go; nothing else is.
    """

    def __init__(self, bound: int = 20_000) -> None:
        self._bound = bound
        self._records: deque[Record] = deque()
        self._lock = threading.Lock()

    def put(self, record: Record) -> None:
        """Take one record in, without waiting."""
        with self._lock:
            self._records.append(record)
            if len(self._records) > self._bound:
                pairs = without_older_steps([(0, record) for record in self._records])
                self._records = deque(record for _, record in pairs)
                self._bound = max(self._bound, 2 * len(self._records))

    def drain(self) -> list[Record]:
        """Give all records that came since the last call, oldest first."""
        with self._lock:
            drained, self._records = list(self._records), deque()
        return drained


def without_older_steps(waiting: Collection[tuple[int, Record]]) -> deque[tuple[int, Record]]:
    """Let go of local steps of organizations that have made newer ones in their round, run by run."""
    steps = [(run, record, record.event) for run, record in waiting if isinstance(record.event, TrainStep)]
    newest = {(run, event.org, event.round): record.seq for run, record, event in steps}
    older = {(run, record.seq) for run, record, event in steps if newest[run, event.org, event.round] != record.seq}
    return deque((run, record) for run, record in waiting if (run, record.seq) not in older)
