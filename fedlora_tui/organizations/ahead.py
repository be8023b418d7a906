"""Texts that are read before they are asked for, by processes of their own, so that nothing here waits for Python.

A reader is this Python with the source and nothing heavy. It is handed names through a pipe; where the pipe ends,
because its run is over or was killed, the reader ends too.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Protocol

from fedlora_tui.organizations.folder import FolderSource
from fedlora_tui.organizations.synthetic import SyntheticSource
from fedlora_tui.organizations.text import Document, Documents

MOST_AHEAD = 24
MOST_CHARACTERS = 64 << 20
"""Texts, and characters of them, that are kept for those who ask later; each reader may bring one more."""

START = "import sys; sys.path[:] = sys.argv[1:]; from fedlora_tui.organizations.ahead import serve; serve()"
YIELDING = 5
"""How far a reader stands back behind training and the console (nice)."""


class Reads(Protocol):
    """What a reader needs of a source."""

    def documents(self, name: str) -> Documents:
        """All text of one organization."""


def can_be_read_apart(source: object) -> bool:
    """Tell whether a source reads one organization's text without passing by the others'."""
    return isinstance(source, SyntheticSource | FolderSource)


class ReadAhead:
    """Some readers, which go through the organizations in the order in which they will be asked for.

    They end with the order, with `close`, with the last reference to this, and with this process however it ends.
    """

    def __init__(self, source: Reads, order: Iterable[str], readers: int) -> None:
        self._shelf = _Shelf(order, readers)
        self.close: Callable[[], object] = weakref.finalize(self, self._shelf.close)
        for _ in range(readers):
            threading.Thread(target=_keep_reading, args=(self._shelf, source), name="reader", daemon=True).start()

    def documents(self, name: str) -> Documents | None:
        """Give an organization's text as soon as a reader has it; None where no reader is left, or where it failed."""
        return self._shelf.take(name)


class _Shelf:
    """What was read and nobody asked for yet, and what is to be read or being read (None), in the order of reading."""

    def __init__(self, order: Iterable[str], readers: int) -> None:
        self._order = iter(order)
        self._readers = readers
        self._changed = threading.Condition()
        self._begun: set[str] = set()
        self._urgent: list[str] = []
        self._kept: dict[str, Documents | None] = {}
        self._sizes: dict[str, int] = {}

    def next_name(self) -> str | None:
        """Wait until there is room, or somebody waits; give the next to read, None where that was all."""
        with self._changed:
            self._changed.wait_for(lambda: not self._readers or self._urgent or self._has_room())
            if not self._readers:
                return None
            if self._urgent:
                return self._urgent.pop(0)
            name = next((name for name in self._order if name not in self._begun), None)
            if name is not None:
                self._begun.add(name)
                self._kept[name] = None
            return name

    def put(self, name: str, documents: Documents | None) -> None:
        """Lay down what was read, unless it was passed over meanwhile; None: it could not be read."""
        with self._changed:
            if documents is None:
                self._kept.pop(name, None)
            elif name in self._kept:
                self._kept[name] = documents
                self._sizes[name] = sum(len(own.text) + len(own.prompt) for own in documents.texts)
            self._changed.notify_all()

    def take(self, name: str) -> Documents | None:
        """Hand over a text; who stood before it was passed over, because an operator changed who takes part."""
        with self._changed:
            passed = list(self._kept)[: list(self._kept).index(name)] if name in self._kept else []
            if name not in self._kept and self._readers:
                self._begun.add(name)
                self._kept[name] = None
                self._urgent.append(name)
            self._drop(*passed)
            self._changed.wait_for(lambda: not self._readers or self._kept.get(name, self) is not None)
            found = self._kept.get(name)
            self._drop(name)
            return found

    def leave(self) -> None:
        """Count one reader less."""
        with self._changed:
            self._readers = max(self._readers - 1, 0)
            self._changed.notify_all()

    def close(self) -> None:
        """Let all readers end."""
        with self._changed:
            self._readers = 0
            self._changed.notify_all()

    def _drop(self, *names: str) -> None:
        for name in names:
            self._kept.pop(name, None)
            self._sizes.pop(name, None)
        self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self._kept) < MOST_AHEAD and sum(self._sizes.values()) < MOST_CHARACTERS


def _keep_reading(shelf: _Shelf, source: Reads) -> None:
    """Let one reader read until there is no more, or until it fails: once none is left, who asks reads."""
    name = None
    try:
        with _reader(source) as read:
            while (name := shelf.next_name()) is not None:
                shelf.put(name, read(name))
    except (OSError, EOFError, pickle.PickleError):
        return
    finally:
        if name is not None:
            shelf.put(name, None)
        shelf.leave()


@contextmanager
def _reader(source: Reads) -> Iterator[Callable[[str], Documents | None]]:
    process = subprocess.Popen(
        [sys.executable, "-c", START, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # An interrupt at the terminal is for the run; the reader ends with its pipe.
        start_new_session=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, told = process.stdin, process.stdout

        def read(name: str) -> Documents | None:
            _send(name, asked)
            return _unpacked(told)

        _send(source, asked)
        yield read


def serve() -> None:
    """Read for another process, the source first and then one name after another, until it has no more or is gone."""
    if hasattr(os, "nice"):
        os.nice(YIELDING)
    asked, told = sys.stdin.buffer, sys.stdout.buffer
    # Whatever a library prints must not come between the answers.
    sys.stdout = sys.stderr
    try:
        source = pickle.load(asked)
        while True:
            _send(_packed(source, pickle.load(asked)), told)
    except (EOFError, OSError):
        # Nothing is left in a buffer that could fail once more at the end.
        os._exit(0)


def _send(value: object, stream: IO[bytes]) -> None:
    pickle.dump(value, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _packed(source: Reads, name: str) -> tuple[Documents, list[tuple[str, str, str]]] | None:
    """Give what was read in a form that is quickly unpacked; None where it failed, and who asks will see why."""
    try:
        found = source.documents(name)
    except Exception:
        return None
    return replace(found, texts=()), [(own.text, own.prompt, own.label) for own in found.texts]


def _unpacked(told: IO[bytes]) -> Documents | None:
    packed = pickle.load(told)
    if packed is None:
        return None
    documents: Documents
    documents, texts = packed
    return replace(documents, texts=tuple(Document(*own) for own in texts))
