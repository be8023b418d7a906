"""When the console paints: at the data's pace, at once, and not at all at rest."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.pace import SETTLE_SECONDS, Pace
from fedlora_tui.protocol.events import Record, RunResumed, Telemetry
from fedlora_tui.protocol.state import RoundSummary, RunState

RUNNING = RunState(phase="running", round=1)


def painted(state: RunState, seconds: float = 0.25) -> Pace:
    pace = Pace(seconds)
    pace.painted((state,), 100.0)
    return pace


def test_steps_are_painted_four_times_a_second_and_slow_things_once() -> None:
    pace, state, due = painted(RUNNING), RUNNING, []
    for tenth in range(1, 21):
        state = replace(state, step=tenth)
        due.append(pace.due((state,), 100.0 + tenth / 10))
    assert due.count("all") == 2
    assert 4 <= due.count("fast") <= 6


def test_steps_wait_until_what_the_last_paint_took_is_earned_and_slow_things_do_not() -> None:
    spent = [0.0]
    pace = Pace(0.25, 0.02, lambda: spent[0])
    pace.painted((RUNNING,), 100.0)
    spent[0] += 0.012  # 0.6 s of an allowance of 0.02 a second
    step, further = replace(RUNNING, step=1), replace(RUNNING, step=2)
    assert [pace.due((step,), 100.0 + tenth / 10) for tenth in range(1, 6)] == [None] * 5
    assert pace.due((step,), 100.61) == "fast"
    spent[0] += 0.1  # 5 s of it
    assert pace.due((further,), 100.9) is None
    assert pace.due((further,), 101.0) == "all"


def test_what_matters_waits_for_no_allowance() -> None:
    spent = [0.0]
    pace = Pace(0.25, 0.02, lambda: spent[0])
    pace.painted((RUNNING,), 100.0)
    spent[0] += 9.0
    assert pace.due((replace(RUNNING, phase="paused"),), 100.01) == "all"


def test_only_a_console_that_spares_the_run_and_was_told_no_pace_has_an_allowance() -> None:
    assert ConsoleOptions().allowance() == 0.0
    assert ConsoleOptions(spares=True).allowance() == pytest.approx(0.01 * (os.cpu_count() or 1))
    assert ConsoleOptions(spares=True, refresh_hz=4.0).allowance() == 0.0


def test_a_rounds_end_is_painted_at_once() -> None:
    pace = painted(RUNNING)
    assert pace.due((replace(RUNNING, history=(RoundSummary(1, 2.0, 2.1),)),), 100.01) == "all"


def test_nothing_new_is_painted_for_the_clock_alone() -> None:
    pace = painted(RUNNING)
    assert pace.due((RUNNING,), 100.5) is None
    assert pace.due((RUNNING,), 101.0) == "all"


def test_at_rest_measurements_alone_paint_nothing() -> None:
    paused = replace(RUNNING, phase="paused")
    pace = painted(RUNNING)
    assert pace.due((paused,), 100.1) == "all"
    later = 100.1 + SETTLE_SECONDS + 0.1
    pace.due((paused,), later - 0.2)
    measured = replace(paused, machine=Telemetry(0.0, 2, 1, 2))
    assert [pace.due((measured,), later + k) for k in range(20)] == [None] * 20
    told = replace(measured, log=(Record(9, 1.0, RunResumed(1)),))
    assert pace.due((told,), later + 30) == "all"


def test_the_pace_is_halved_over_ssh() -> None:
    options = ConsoleOptions()
    assert options.seconds_between_paints({}) == 0.25
    assert options.seconds_between_paints({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}) == 0.5
    assert ConsoleOptions(refresh_hz=10).seconds_between_paints({"SSH_CONNECTION": "x"}) == 0.1


def test_a_round_that_ends_in_any_run_of_a_race_is_painted_at_once() -> None:
    pace = Pace(0.25)
    pace.painted((RUNNING, RUNNING), 100.0)
    ended = replace(RUNNING, history=(RoundSummary(1, 2.0, 2.1),))
    assert pace.due((RUNNING, ended), 100.01) == "all"
    assert pace.due((RUNNING, ended), 100.02) is None


def test_a_race_is_at_rest_when_all_its_runs_are() -> None:
    done = replace(RUNNING, phase="done")
    pace = Pace(0.25)
    pace.painted((done, RUNNING), 100.0)
    later = 100.0 + SETTLE_SECONDS + 1
    assert pace.due((done, RUNNING), later) == "all"
    assert pace.due((done, done), later + 0.1) == "all"
    pace.due((done, done), later + 1.2)
    assert [pace.due((done, done), later + 0.1 + SETTLE_SECONDS + k) for k in range(1, 9)] == [None] * 8


def test_in_a_replay_what_matters_is_painted_whole_at_the_pace_of_steps() -> None:
    pace = Pace(0.25, at_once=False)
    pace.painted((RUNNING,), 100.0)
    rounds = [replace(RUNNING, history=(RoundSummary(1, 2.0, 2.1),) * number) for number in range(1, 7)]
    due = [pace.due((state,), 100.0 + 0.1 * number) for number, state in enumerate(rounds, 1)]
    assert due == [None, None, "all", None, None, "all"]
