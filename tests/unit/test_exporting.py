"""Exports under way: each is told once, as written or as not written, whichever comes first."""

from __future__ import annotations

import threading
import time

import pytest

from fedlora_tui.engine.exporting import Exporting
from fedlora_tui.engine.stream import Stream
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.commands import Export
from fedlora_tui.protocol.events import AdapterExported, CommandRefused
from tests.tiny_runs import GUARD

WRITTEN = AdapterExported(3, "/there", False, 10)


def until_idle(exporting):
    until = time.monotonic() + GUARD
    while exporting.under_way:
        assert time.monotonic() < until, "the export hangs"
        time.sleep(0.005)


@pytest.fixture
def told():
    return []


@pytest.fixture
def exporting(told):
    stream = Stream()
    stream.subscribe(lambda record: told.append(record.event))
    return Exporting(stream)


def test_an_export_is_written_in_a_thread_of_its_own_and_told(exporting, told):
    threads = []

    def write(command):
        threads.append(threading.current_thread())
        return WRITTEN

    exporting.begin(Export("3"), "ada@pts/3", write)
    until_idle(exporting)
    assert told == [WRITTEN]
    assert threads != [threading.current_thread()]


def test_whatever_keeps_it_from_being_written_is_told(exporting, told):
    for error in (UserError("no such round"), OSError(28, "No space left on device")):

        def write(command, error=error):
            raise error

        exporting.begin(Export("3"), "ada@pts/3", write)
        until_idle(exporting)
    assert [event.reason for event in told] == [
        "no such round",
        "not written: OSError: [Errno 28] No space left on device",
    ]


def test_what_is_given_up_is_told_as_not_written_and_not_told_again_when_it_is_done_after_all(exporting, told):
    go_on, done = threading.Event(), threading.Event()

    def write(command):
        assert go_on.wait(GUARD)
        done.set()
        return WRITTEN

    exporting.begin(Export("3"), "ada@pts/3", write)
    assert exporting.under_way
    exporting.give_up("terminated")
    assert not exporting.under_way
    go_on.set()
    assert done.wait(GUARD)
    for thread in threading.enumerate():
        if thread.name == "export":
            thread.join(GUARD)
    assert told == [CommandRefused("export", Export("3").value, "not written: terminated", "ada@pts/3")]
