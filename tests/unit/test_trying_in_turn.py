"""Texts that are tried one after the other: never two at once over one base, whenever the next is asked for."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import pytest

from fedlora_tui.engine.gate import Gate
from fedlora_tui.engine.trying import Trying
from fedlora_tui.protocol.trying import Question

GUARD = 60.0


class Held:
    """A lock that the thread which tries texts gives back and then stands still, until it may go on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stands, self.may_go = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._lock.release()
        if threading.current_thread().name == "try it" and not self.may_go.is_set():
            self.stands.set()
            self.may_go.wait(GUARD)


def test_a_text_that_is_asked_for_as_the_last_one_ends_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trying, held, tried = Trying(Gate()), Held(), list[int]()
    done = threading.Event()

    def attempt(self: Trying, asked: Any) -> str:
        tried.append(asked.question.number)
        if asked.question.number == 2:
            done.wait(2 * GUARD)
        return ""

    monkeypatch.setattr(Trying, "_attempt", attempt)
    monkeypatch.setattr(trying, "_lock", held)
    base: Any = object()
    trying.open(base)
    trying.ask(1, Question(1, "one", tokens=1), base, lambda answer: None)
    assert held.stands.wait(GUARD)
    (first,) = (thread for thread in threading.enumerate() if thread.name == "try it")
    trying.ask(1, Question(2, "two", tokens=1), base, lambda answer: None)
    held.may_go.set()
    first.join(GUARD)
    ended = not first.is_alive()
    done.set()
    assert ended
    assert tried == [1, 2]
