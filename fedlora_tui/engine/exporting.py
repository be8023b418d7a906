"""Exports that are under way: each is told once, as written or as not written, whatever ends its process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from fedlora_tui.engine.stream import Stream
from fedlora_tui.errors import UserError, one_line
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import Export

logger = logging.getLogger(__name__)


class Exporting:
    """Writes exports in threads of their own, and knows which of them are not done."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._changed = threading.Lock()
        self._under_way: dict[int, tuple[Export, str]] = {}
        self._begun = 0

    @property
    def under_way(self) -> bool:
        """True while something is being written."""
        return bool(self._under_way)

    def begin(self, command: Export, by: str, write: Callable[[Export], ev.AdapterExported]) -> None:
        """Write what somebody asked for without waiting, and tell how that went. `write` may raise UserError."""
        with self._changed:
            self._begun += 1
            number = self._begun
            self._under_way[number] = command, by
        threading.Thread(target=self._go, args=(number, command, by, write), name="export", daemon=True).start()

    def give_up(self, why: str) -> None:
        """Say of all that is under way that it was not written: the process ends."""
        with self._changed:
            left, self._under_way = self._under_way, {}
            for command, by in left.values():
                self._stream.emit(ev.CommandRefused(command.name, command.value, f"not written: {why}", by))

    def _go(self, number: int, command: Export, by: str, write: Callable[[Export], ev.AdapterExported]) -> None:
        told: ev.Event
        try:
            told = write(command)
        except UserError as error:
            told = ev.CommandRefused(command.name, command.value, str(error), by)
        except Exception as error:
            logger.exception("export")
            told = ev.CommandRefused(command.name, command.value, f"not written: {in_words(error)}", by)
        with self._changed:
            # What was given up has been told already.
            if number in self._under_way:
                self._stream.emit(told)
                del self._under_way[number]


def in_words(error: Exception) -> str:
    """Name an error in one short line."""
    ours = type(error).__module__.startswith("fedlora_tui")
    return one_line(error if ours else f"{type(error).__name__}: {error}", 300)
