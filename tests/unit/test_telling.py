"""Lanes tell in turns: the order of the events is the same whichever lane was faster."""

from __future__ import annotations

import itertools
import threading

import pytest

from fedlora_tui.engine.telling import Telling
from fedlora_tui.protocol.events import Warned


def told_by(order, reports):
    """What is told where lanes report in this order, each as often as `reports` says, and end with their last one."""
    heard = []
    telling = Telling(lambda event: heard.append(event.message))
    telling.begin(len(reports))
    left, made = list(reports), [0] * len(reports)
    for lane in order:
        telling.enter(lane)
        telling.tell([Warned(f"{lane}.{made[lane]}a"), Warned(f"{lane}.{made[lane]}b")])
        made[lane] += 1
        left[lane] -= 1
        if not left[lane]:
            telling.end()
    return heard


@pytest.mark.parametrize("reports", [(2, 2), (3, 1), (1, 3), (2, 1, 2)])
def test_the_order_does_not_depend_on_who_was_faster(reports):
    everything = [lane for lane, count in enumerate(reports) for _ in range(count)]
    found = {tuple(told_by(order, reports)) for order in set(itertools.permutations(everything))}
    turns = sorted((number, lane) for lane, count in enumerate(reports) for number in range(count))
    assert found == {tuple(f"{lane}.{number}{part}" for number, lane in turns for part in "ab")}


def test_where_no_lanes_are_at_work_it_is_told_at_once():
    heard = []
    Telling(heard.append).tell([Warned("now")])
    assert [event.message for event in heard] == ["now"]


def test_a_lane_that_ends_without_a_word_holds_nobody_up():
    heard = []
    telling = Telling(lambda event: heard.append(event.message))
    telling.begin(2)
    silent = threading.Thread(target=lambda: (telling.enter(0), telling.end()))
    telling.enter(1)
    telling.tell([Warned("second")])
    assert heard == []
    silent.start()
    silent.join()
    assert heard == ["second"]


def test_a_lane_that_tells_nothing_more_holds_nobody_up_while_it_works_on():
    heard = []
    telling = Telling(lambda event: heard.append(event.message))
    telling.begin(2)
    telling.enter(0)
    telling.tell([Warned("first")])
    telling.finish()
    second = threading.Thread(target=lambda: (telling.enter(1), [telling.tell([Warned(str(n))]) for n in range(3)]))
    second.start()
    second.join()
    assert heard == ["first", "0", "1", "2"]
    telling.end()
