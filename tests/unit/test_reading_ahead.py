"""Texts read ahead by processes of their own: equal texts, nobody left behind, and no harm where one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from fedlora_tui.config import DataConfig
from fedlora_tui.organizations import ahead
from fedlora_tui.organizations.ahead import ReadAhead, can_be_read_apart
from fedlora_tui.organizations.source import open_source
from fedlora_tui.organizations.text import Document, Documents
from tests.tiny_models import write_texts

GUARD = 60.0
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")


@pytest.fixture
def source(tmp_path):
    return open_source(DataConfig(source="folder", path=str(write_texts(tmp_path, NAMES, 6))), 7)


@pytest.fixture
def opened():
    """Makes readers that end with the test."""
    made = []

    def make(source, order=NAMES, readers=1):
        made.append(ReadAhead(source, order, readers))
        return made[-1]

    yield make
    for each in made:
        each.close()
    reached(lambda: not readers_of(os.getpid()))


def reached(there):
    until = time.monotonic() + GUARD
    while not there() and time.monotonic() < until:
        time.sleep(0.02)
    assert there()


def readers_of(pid):
    """The processes that read for another one."""
    found = []
    for child in psutil.Process(pid).children():
        try:
            found += [child] if ahead.START in child.cmdline() else []
        except psutil.Error:
            continue
    return found


class Failing:
    """A source in which one organization cannot be read, and one ends its process."""

    def documents(self, name):
        if name == "beta":
            raise ValueError("no such thing")
        if name == "delta":
            os._exit(3)
        return Documents((Document(name, "asks", "label"),), {"empty": 2}, 1, 3, True)


@pytest.mark.parametrize("readers", [1, 3])
def test_texts_are_those_of_the_source(source, opened, readers):
    reading = opened(source, readers=readers)
    for name in NAMES:
        assert reading.documents(name) == source.documents(name)


def test_invented_texts_are_the_same_in_another_process(opened):
    source = open_source(DataConfig(), 7)
    assert opened(source, ["farm-coop"]).documents("farm-coop") == source.documents("farm-coop")


def test_readers_end_with_the_order(source, opened):
    reading = opened(source, readers=2)
    for name in NAMES:
        reading.documents(name)
    reached(lambda: not readers_of(os.getpid()))


def test_readers_end_with_the_last_reference(source):
    reading = ReadAhead(source, NAMES, 2)
    assert reading.documents("alpha")
    del reading
    reached(lambda: not readers_of(os.getpid()))


KILLED = """
import sys, time
from fedlora_tui.config import DataConfig
from fedlora_tui.organizations.ahead import ReadAhead
from fedlora_tui.organizations.source import open_source
from fedlora_tui.organizations.synthetic import organization_names
reading = ReadAhead(open_source(DataConfig(), 7), organization_names(), 2)
reading.documents("clinic")
print("up", "torch" in sys.modules, flush=True)
time.sleep(600)
"""


def test_no_reader_outlives_a_process_that_was_killed():
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().split() == ["up", "False"]
            reached(lambda: len(readers_of(process.pid)) == 2)
            readers = readers_of(process.pid)
        finally:
            process.send_signal(signal.SIGKILL)
    left = psutil.wait_procs(readers, GUARD)[1]
    for each in left:
        each.kill()
    assert not left


def test_what_could_not_be_read_is_left_to_who_asks(opened):
    reading = opened(Failing())
    assert reading.documents("alpha") == Failing().documents("alpha")
    assert reading.documents("beta") is None
    assert reading.documents("gamma") == Failing().documents("gamma")


def test_a_reader_that_dies_leaves_the_rest_to_who_asks(opened):
    reading = opened(Failing())
    assert reading.documents("gamma") == Failing().documents("gamma")
    assert reading.documents("delta") is None
    assert reading.documents("epsilon") is None


def test_without_a_python_to_start_all_is_left_to_who_asks(source, opened, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    reading = opened(source)
    assert [reading.documents(name) for name in NAMES] == [None] * len(NAMES)


def shelf(order=NAMES):
    made = ahead._Shelf(order, 1)
    return made, lambda: made.put(made.next_name(), Documents((Document("text"),)))


def test_who_was_passed_over_makes_room_and_is_not_read_again(monkeypatch):
    monkeypatch.setattr(ahead, "MOST_AHEAD", 3)
    own, read = shelf()
    for _ in range(3):
        read()
    assert own.take("gamma") is not None
    assert list(own._kept) == []
    assert own.next_name() == "delta"


def test_who_is_asked_for_before_its_turn_comes_first_and_once():
    own, _ = shelf()
    taker = threading.Thread(target=own.take, args=("delta",), daemon=True)
    taker.start()
    reached(lambda: own._urgent)
    assert own.next_name() == "delta"
    own.put("delta", Documents((Document("text"),)))
    taker.join(GUARD)
    assert [own.next_name() for _ in range(5)] == ["alpha", "beta", "gamma", "epsilon", None]


def test_who_joins_from_outside_the_order_is_read_too(source, opened, monkeypatch):
    monkeypatch.setattr(ahead, "MOST_AHEAD", 2)
    reading = opened(source, NAMES[:4])
    for name in ("epsilon", "beta", "alpha"):
        assert reading.documents(name) == source.documents(name)


@pytest.mark.parametrize(("limit", "most"), [("MOST_AHEAD", 2), ("MOST_CHARACTERS", 8)])
def test_no_more_is_kept_than_may_be(monkeypatch, limit, most):
    monkeypatch.setattr(ahead, limit, most)
    own, read = shelf()
    read()
    read()
    third = []
    waiting = threading.Thread(target=lambda: third.append(own.next_name()), daemon=True)
    waiting.start()
    assert own.take("alpha") is not None
    waiting.join(GUARD)
    assert third == ["gamma"]
    own.close()
    assert own.next_name() is None


def test_only_sources_that_give_one_text_without_the_others_are_read_apart(source, tmp_path):
    assert can_be_read_apart(source)
    assert can_be_read_apart(open_source(DataConfig(), 7))
    assert not can_be_read_apart(Failing())
