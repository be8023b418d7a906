"""The gate where runs wait together: when a pause is told, and by whom."""

from __future__ import annotations

import threading
import time

from fedlora_tui.config import Config
from fedlora_tui.engine.gate import Gate
from fedlora_tui.engine.steering import Steering, Terms
from fedlora_tui.engine.stream import Stream
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev

GUARD = 120.0
TERMS = Terms(2, lambda taken: None, lambda: "", lambda command: None, lambda command: None, Config)


class Runs:
    """Several runs behind one gate, and what each of them told."""

    def __init__(self, count):
        self.gate = Gate()
        self.changed = threading.Condition()
        self.told = [[] for _ in range(count)]
        self.steerings = []
        for told in self.told:
            stream = Stream()
            stream.subscribe(lambda record, told=told: self.hear(record, told))
            steering = Steering(stream, self.gate)
            stream.emit(ev.RunStarted("r", "m", 1, 1, 4, 8.0, "fedit", ("a", "b"), "cpu", {}, rounds=5))
            steering.open(TERMS, ("a", "b"), 5)
            self.steerings.append(steering)

    def hear(self, record, told):
        with self.changed:
            told.append(record.event.type)
            self.changed.notify_all()

    def send(self, command):
        with self.gate.changed:
            for steering in self.steerings:
                steering.send(command)

    def wait_for(self, *numbers, kind="run_paused"):
        with self.changed:
            assert self.changed.wait_for(lambda: all(kind in self.told[number] for number in numbers), GUARD)

    def in_lane(self, work):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


def joined(*threads):
    for thread in threads:
        thread.join(GUARD)
        assert not thread.is_alive()


def test_all_runs_tell_a_pause_when_the_last_lane_has_come_and_none_before():
    runs = Runs(3)
    runs.gate.lanes_begin(2)
    runs.send(ask.Pause())

    def lane():
        for steering in runs.steerings:
            steering.between(1, 4)
        runs.gate.lane_ended()

    first = runs.in_lane(lane)
    while not runs.gate._waiting:
        pass
    assert not any("run_paused" in told for told in runs.told)
    second = runs.in_lane(lane)
    runs.wait_for(0, 1, 2)
    runs.send(ask.Resume())
    joined(first, second)
    assert [told.count("run_paused") for told in runs.told] == [1, 1, 1]
    assert [told.count("run_resumed") for told in runs.told] == [1, 1, 1]


def test_a_lane_that_ends_while_another_waits_lets_the_pause_be_told():
    runs = Runs(2)
    runs.gate.lanes_begin(2)
    runs.send(ask.Pause())
    waiting = runs.in_lane(lambda: [steering.between(1, 1) for steering in runs.steerings])
    runs.gate.lane_ended()
    runs.wait_for(0, 1)
    runs.send(ask.Resume())
    joined(waiting)


def test_between_passes_a_run_tells_its_own_pause_alone():
    runs = Runs(2)
    runs.send(ask.Pause())
    waiting = runs.in_lane(lambda: runs.steerings[1].between(2, 0))
    runs.wait_for(1)
    assert "run_paused" not in runs.told[0]
    other = runs.in_lane(lambda: runs.steerings[0].between(2, 0))
    runs.wait_for(0)
    runs.send(ask.Resume())
    joined(waiting, other)


def test_a_run_that_waits_for_one_that_is_paused_is_paused_too():
    runs = Runs(3)
    runs.steerings[0].rest()
    runs.send(ask.Pause())
    waiting = runs.in_lane(lambda: runs.steerings[1].between(2, 0))
    runs.wait_for(0, 1)
    assert "run_paused" not in runs.told[2]
    runs.steerings[2].rest()
    runs.wait_for(2)
    runs.send(ask.Resume())
    joined(waiting)
    assert [told.count("run_paused") for told in runs.told] == [1, 1, 1]


def test_a_run_that_is_over_tells_no_pause():
    runs = Runs(2)
    runs.gate.lanes_begin(1)
    runs.send(ask.Pause())
    runs.steerings[0].close()
    waiting = runs.in_lane(lambda: runs.steerings[1].between(1, 1))
    runs.wait_for(1)
    assert "run_paused" not in runs.told[0]
    runs.steerings[1].send(ask.Resume())
    joined(waiting)


def test_the_time_of_a_pause_counts_for_every_run_that_waited():
    runs = Runs(2)
    runs.gate.lanes_begin(1)
    runs.send(ask.Pause())
    waiting = runs.in_lane(lambda: [steering.between(1, 1) for steering in runs.steerings])
    runs.wait_for(0, 1)
    runs.send(ask.Resume())
    joined(waiting)
    assert all(steering.paused_seconds > 0 for steering in runs.steerings)


def test_the_base_is_lent_while_nothing_works_and_what_begins_waits_for_it():
    gate, order = Gate(), []

    def begin():
        gate.lanes_begin(1)
        order.append("begun")

    with gate.lent(lambda: True) as lent:
        assert lent
        beginning = threading.Thread(target=begin, daemon=True)
        beginning.start()
        until(lambda: gate._beginning == 1)
        order.append("lent")
    joined(beginning)
    assert order == ["lent", "begun"]
    assert gate.aside_seconds > 0


def test_a_lane_stands_aside_for_one_loan_and_takes_a_step_before_the_next():
    gate, order, goes_on = Gate(), [], threading.Event()
    gate.lanes_begin(1)

    def work():
        while not goes_on.is_set():
            order.append("step")
            with gate.changed:
                gate.step_aside()

    lane = threading.Thread(target=work, daemon=True)
    lane.start()
    for _ in range(3):
        with gate.lent(lambda: True):
            before = len(order)
            order.append("loan")
            assert order[before - 1] == "step"
            assert len(order) == before + 1
    goes_on.set()
    joined(lane)


def test_a_loan_that_is_not_wanted_any_more_is_not_given_and_holds_nobody():
    gate = Gate()
    gate.lanes_begin(1)
    with gate.lent(lambda: False) as lent:
        assert not lent
    with gate.changed:
        gate.step_aside()
    assert gate.aside_seconds == 0


def test_a_paused_run_lends_the_base_and_one_that_is_resumed_meanwhile_waits_for_it():
    runs = Runs(1)
    runs.gate.lanes_begin(1)
    runs.send(ask.Pause())
    lane = runs.in_lane(lambda: runs.steerings[0].between(1, 1))
    runs.wait_for(0)
    with runs.gate.lent(lambda: True) as lent:
        assert lent
        runs.send(ask.Resume())
        assert runs.gate.pressed == 2
        runs.wait_for(0, kind="run_resumed")
        assert lane.is_alive()
    joined(lane)
    assert runs.gate.aside_seconds == 0


def until(found):
    end = time.monotonic() + GUARD
    while not found():
        assert time.monotonic() < end
        time.sleep(0.005)
