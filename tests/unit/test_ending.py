"""How long a process that a signal ends waits for its runs."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace

import pytest

from fedlora_tui.engine import ending
from fedlora_tui.engine.ending import Signals


@pytest.fixture
def _handlers_as_before():
    kinds = (*ending.REASONS, ending.ASKED, signal.SIGHUP)
    before = [signal.getsignal(kind) for kind in kinds]
    yield
    for kind, handler in zip(kinds, before, strict=True):
        signal.signal(kind, handler)


@pytest.mark.usefixtures("_handlers_as_before")
def test_what_follows_a_write_has_the_time_of_a_step(monkeypatch):
    monkeypatch.setattr(ending, "LAST_STEP_SECONDS", 1_000.0)
    monkeypatch.setattr(ending, "LAST_WRITE_SECONDS", 100_000.0)
    race = SimpleNamespace(writing=True)
    signals = Signals(race)
    signals.caught, signals.since = signal.SIGTERM, time.monotonic() - 10_000.0
    assert not signals.late
    race.writing = False
    assert not signals.late
    signals.since -= 100_000.0
    race.writing = True
    assert signals.late


@pytest.mark.usefixtures("_handlers_as_before")
@pytest.mark.parametrize("let_go", [False, True])
def test_a_process_whose_runs_are_over_is_ended_unless_others_see_to_that(monkeypatch, let_go):
    monkeypatch.setattr(ending, "LAST_SAID_SECONDS", 0.0)
    asked, left = [], []
    monkeypatch.setattr(Signals, "leave_now", lambda signals: left.append(signals.exit_status))
    race = SimpleNamespace(writing=False, over=True, send=lambda command, by: asked.append((command.reason, by)))
    signals = Signals(race)
    if let_go:
        signals.let_go()
    signals.end("standard output was closed")
    signals.caught, signals.since = signal.SIGTERM, time.monotonic()
    signals._see_to_it(signal.SIGTERM)
    assert asked == [("standard output was closed", ending.NOBODY)]
    assert left == ([] if let_go else [143])
