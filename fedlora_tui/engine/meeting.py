"""Where the runs of a race meet: each brings something, and it is settled for all of them at once.

Who brings something waits until every run that is still in the race has brought something too; the last to come settles
it for all, or for some while the rest wait on. Nobody waits for a run that has left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

Brought = TypeVar("Brought")
Given = TypeVar("Given")


class Meeting(Generic[Brought, Given]):
    """Seats of runs, counted from 0, and what makes of all that they bring what each of them is given.

    Seats that `settle` gives nothing, though never all of them, wait on with what they brought.
    """

    def __init__(self, seats: int, settle: Callable[[Mapping[int, Brought]], Mapping[int, Given]]) -> None:
        self._settle = settle
        self._changed = threading.Condition()
        self._seated = set(range(seats))
        self._brought: dict[int, Brought] = {}
        self._given: dict[int, Given | BaseException] = {}

    def bring(self, seat: int, what: Brought) -> Given:
        """Wait for the others; give what was settled for this seat. An error of settling is raised at every seat."""
        with self._changed:
            self._brought[seat] = what
            self._changed.notify_all()
            while seat not in self._given:
                if self._brought and self._brought.keys() >= self._seated:
                    self._settle_now()
                else:
                    self._changed.wait()
            given = self._given.pop(seat)
        if isinstance(given, BaseException):
            raise given
        return given

    def leave(self, seat: int) -> None:
        """A run brings nothing more; the others wait for it no longer."""
        with self._changed:
            self._seated.discard(seat)
            self._changed.notify_all()

    def _settle_now(self) -> None:
        """Settle in the calling thread; the others look again when it is done."""
        brought, self._brought = dict(sorted(self._brought.items())), {}
        self._changed.release()
        given: Mapping[int, Given | BaseException]
        try:
            given = self._settle(brought)
        except BaseException as error:
            given = dict.fromkeys(brought, error)
        finally:
            self._changed.acquire()
        self._brought = {seat: what for seat, what in brought.items() if seat not in given}
        self._given |= given
        self._changed.notify_all()
