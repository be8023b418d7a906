"""Who was refused at the SuperLink's door, how often and why: a small file that the door writes and a run reads."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fedlora_tui.whole_file import replace_file

FILE = "FEDLORA_TUI_REFUSED"
"""The environment variable by which a run that the SuperLink starts finds the file."""
DIFFERENT = 200
"""As many different refusals are kept apart; whoever comes later is counted as one more of these."""
OTHERS = "others, after too many different ones"
WRITE_SECONDS = 1.0


@dataclass(frozen=True)
class Refusal:
    """One reason for which one peer was refused: from where, which key, how often, when first and last (epoch).

    `whose` is the organization after which the key's file is or was named, empty where none was.
    """

    reason: str
    address: str
    key: str = ""
    times: int = 0
    first: float = 0.0
    last: float = 0.0
    whose: str = ""


class Refusals:
    """Counts refusals and keeps them in a file, written whole and renamed into place, at most once a second."""

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._kept: dict[tuple[str, str, str], Refusal] = {}
        self._names: Mapping[str, str] = {}
        self._written = 0.0
        self._dirty = False
        # The door counts in one thread, and who keeps the roll counts and writes in another.
        self._turn = threading.RLock()
        if file is not None:
            self._kept = {(entry.reason, entry.address, entry.key): entry for entry in read(file)}

    def know(self, names: Mapping[str, str]) -> None:
        """Know whose keys are: the organization of each fingerprint; who was known once stays so."""
        with self._turn:
            self._names = {**self._names, **names}
            for place, entry in self._kept.items():
                if (whose := self._names.get(entry.key, entry.whose)) != entry.whose:
                    self._kept[place] = replace(entry, whose=whose)
                    self._dirty = True

    def count(self, reason: str, address: str, key: str = "") -> bool:
        """Count one refusal; True where it is the first of its kind."""
        with self._turn:
            return self._counted((reason, address, key))

    def _counted(self, place: tuple[str, str, str]) -> bool:
        if place not in self._kept and len(self._kept) >= DIFFERENT:
            place = (OTHERS, "", "")
        now = self._clock()
        new = place not in self._kept
        known = self._kept.get(place, Refusal(*place, first=now, whose=self._names.get(place[2], "")))
        self._kept[place] = replace(known, times=known.times + 1, last=now)
        self._dirty = True
        self.write(at_once=new)
        return new

    def write(self, at_once: bool = False) -> None:
        """Write what was counted since; not more often than once a second, unless it is to be at once."""
        with self._turn:
            self._write(at_once)

    def _write(self, at_once: bool) -> None:
        now = self._clock()
        if self._file is None or not self._dirty or (not at_once and now - self._written < WRITE_SECONDS):
            return
        text = json.dumps([asdict(entry) for entry in self._kept.values()], indent=1) + "\n"
        try:
            replace_file(self._file, text.encode())
        except OSError:
            # A full disk must not close the door to nodes that are let in; the next refusal tries again.
            return
        self._written, self._dirty = now, False


def read(file: Path) -> list[Refusal]:
    """Read the file; empty where there is none yet, or where somebody else wrote into it."""
    try:
        entries = json.loads(file.read_text())
        return [Refusal(**entry) for entry in entries]
    except (OSError, ValueError, TypeError):
        return []


def since(before: list[Refusal], now: list[Refusal]) -> list[Refusal]:
    """Give what was refused between two readings; `times` counts what is new alone."""
    known = {(entry.reason, entry.address, entry.key): entry.times for entry in before}
    grown = [(entry, entry.times - known.get((entry.reason, entry.address, entry.key), 0)) for entry in now]
    return [replace(entry, times=times) for entry, times in grown if times > 0]
