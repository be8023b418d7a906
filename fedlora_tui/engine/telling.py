"""What lanes tell of their work, in an order that does not depend on which of them was faster.

Lanes take turns in telling: the first thing of each, then the second of each, and so on. What a lane tells waits until
all lanes before it had their turn or are done, so two runs of one seed write the same journal.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from fedlora_tui.protocol.events import Event

Emit = Callable[[Event], object]


class Telling:
    """Events of lanes that work side by side, on their way to the stream."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._own = threading.local()
        self._lock = threading.RLock()
        self._waiting: list[deque[Sequence[Event]]] = []
        self._done: list[bool] = []
        self._turn = 0

    def begin(self, count: int) -> None:
        """So many lanes begin."""
        with self._lock:
            self._waiting = [deque() for _ in range(count)]
            self._done = [False] * count
            self._turn = 0

    def enter(self, lane: int) -> None:
        """The calling thread is this lane from now on."""
        self._own.lane = lane

    def finish(self) -> None:
        """The calling thread's lane tells nothing more: nobody waits for its turn any more."""
        with self._lock:
            self._done[self._own.lane] = True
            self._tell()

    def end(self) -> None:
        """The calling thread's lane is done; what it tells from now on is told at once."""
        self.finish()
        self._own.lane = None

    def tell(self, events: Sequence[Event]) -> None:
        """Tell events together, when it is the lane's turn; at once where no lanes are at work."""
        lane = getattr(self._own, "lane", None)
        if lane is None:
            for event in events:
                self._emit(event)
            return
        with self._lock:
            self._waiting[lane].append(events)
            self._tell()

    def _tell(self) -> None:
        while any(self._waiting):
            own = self._waiting[self._turn]
            if own:
                for event in own.popleft():
                    self._emit(event)
            elif not self._done[self._turn]:
                return
            self._turn = (self._turn + 1) % len(self._waiting)
