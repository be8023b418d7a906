"""Whole runs of the engine over a tiny base and a few small files, for tests."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fedlora_tui.config import Config, Setting, load
from fedlora_tui.engine import journal
from fedlora_tui.engine.run import Manner, Run
from fedlora_tui.protocol.events import UNRECORDED, Event, Record
from tests.tiny_models import write_base, write_texts

GUARD = 120.0
"""Seconds after which a run is thought to hang."""


@cache
def tiny_base() -> Path:
    """A tiny GPT-2 on disk, made once."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return write_base(folder)


def small_settings(folder: Path) -> dict[str, object]:
    """Settings of a small quick run in a folder: three files of text, and a base that all tests share."""
    return {
        "model.base": str(tiny_base()),
        "model.device": "cpu",
        "model.max_length": 24,
        "data.source": "folder",
        "data.path": str(write_texts(folder / "texts", ("alpha", "beta", "gamma"))),
        "federation.rounds": 2,
        "federation.local_steps": 2,
        "federation.batch_size": 2,
        "runs.dir": str(folder / "runs"),
    }


def configured(settings: dict[str, object], **changes: object) -> Config:
    """The configuration of these settings; changes are written with __ for the dot."""
    merged = settings | {name.replace("__", "."): value for name, value in changes.items()}
    texts = {name: repr(value) if isinstance(value, float) else str(value) for name, value in merged.items()}
    return load(None, [Setting(name, text, f"--set {name}={text}") for name, text in texts.items()])


class WatchedRun:
    """A run, all that its readers heard, and a way to act at a certain event."""

    def __init__(self, config: Config, patient: bool = True, **more: Any) -> None:
        self.run = Run(config, Manner(patient=patient), **more)
        self.records: list[Record] = []
        self._changed = threading.Condition()
        self._reactions: list[tuple[Callable[[Event], bool], Callable[[], None]]] = []
        self.run.subscribe(self._hear)

    def _hear(self, record: Record) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()
        for reaction in list(self._reactions):
            if reaction[0](record.event):
                self._reactions.remove(reaction)
                # A reader is called while the stream is locked; its own thread may be the worker's.
                reaction[1]()

    def when(self, test: Callable[[Event], bool], action: Callable[[], None]) -> None:
        """Do something once, in the thread that tells the first event that passes the test."""
        self._reactions.append((test, action))

    def wait_for(self, test: Callable[[Event], bool]) -> Event:
        """Wait for the first event that passes the test."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(test(r.event) for r in self.records), GUARD)
            return next(record.event for record in self.records if test(record.event))

    def go(self) -> WatchedRun:
        """Start, and wait for the end."""
        self.run.start()
        return self.end()

    def end(self) -> WatchedRun:
        """Wait for the end."""
        assert self.run.wait(GUARD), "the run hangs"
        return self

    def told(self, kind: type[Event]) -> list[Event]:
        """All recorded events of a kind, in order."""
        return [r.event for r in self.records if isinstance(r.event, kind) and r.seq != UNRECORDED]

    @property
    def folder(self) -> Path:
        """The run's folder."""
        assert self.run.folder is not None, self.run.refusal
        return self.run.folder

    def journal(self) -> list[Record]:
        """What its journal holds."""
        return list(journal.read(self.folder))
