"""How a round closes over its replies: by the deadline, by the number that it needs, or when all are in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.config import FederationConfig
from fedlora_tui.engine.reception import Arrivals, closing, reception
from fedlora_tui.engine.sampling import sampled
from fedlora_tui.federation.messages import TrainReply
from fedlora_tui.federation.server_app import NO_REPLY, Answer
from fedlora_tui.protocol import events as ev

ARRIVALS = {"a": 1.0, "b": 4.0, "c": 2.0, "d": 9.0}
ALL = frozenset(ARRIVALS)

arrivals = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.sampled_from([0.0, 1.0, 2.0, 3.5, 7.0, 50.0]))


@pytest.mark.parametrize(
    ("usable", "goal", "deadline", "missing", "seconds", "late"),
    [
        (ALL, 4, 0.0, 0, 9.0, ""),
        (ALL, 4, 20.0, 0, 9.0, ""),  # all are in before the deadline
        (ALL, 4, 3.0, 0, 3.0, "bd"),
        (ALL, 2, 0.0, 0, 2.0, "bd"),
        (ALL, 2, 1.5, 0, 1.5, "bcd"),
        ({"a", "b", "d"}, 2, 0.0, 0, 4.0, "d"),  # a reply that is refused does not count
        ({"a", "b"}, 3, 0.0, 0, 9.0, ""),
        ({"a"}, 2, 3.0, 0, 3.0, "bd"),
        (ALL, 5, 30.0, 1, 30.0, ""),  # from one nothing comes
        (ALL, 5, 0.0, 1, 9.0, ""),
        (ALL, 4, 30.0, 1, 9.0, ""),  # and it is not needed
        (frozenset(), 4, 0.0, 0, 9.0, ""),
    ],
)
def test_a_round_closes_with_the_last_needed_reply_or_the_deadline(usable, goal, deadline, missing, seconds, late):
    closed = closing(ARRIVALS, usable, goal, deadline, missing, "7|1")
    assert closed.seconds == seconds
    assert set(closed.late) == set(late)


def test_a_round_without_replies_closes_at_once_or_with_its_deadline():
    assert closing({}, (), 2, 0.0, 2, "7|1").seconds == 0.0
    assert closing({}, (), 2, 5.0, 2, "7|1").seconds == 5.0


@given(arrivals, st.data(), st.integers(0, 8), st.sampled_from([0.0, 1.0, 3.5, 20.0]), st.integers(0, 3))
def test_no_round_waits_longer_than_it_must_and_who_is_in_came_in_time(found, data, goal, deadline, missing):
    usable = data.draw(st.sets(st.sampled_from(sorted(found)))) if found else set()
    closed = closing(found, usable, goal, deadline, missing, "7|1")
    taken = set(found) - set(closed.late)
    assert not deadline or closed.seconds <= deadline
    assert closed.seconds <= max([*found.values(), deadline])
    assert all(found[name] <= closed.seconds for name in taken)
    assert all(found[name] >= closed.seconds for name in closed.late)
    assert len(taken & usable) <= goal or not goal
    in_time = {name for name in usable if not deadline or found[name] <= deadline}
    assert len(taken & usable) == (min(goal, len(in_time)) if goal else len(in_time))
    assert all(late.surplus != (0 < deadline < found[name]) for name, late in closed.late.items())
    assert closing(dict(reversed(found.items())), usable, goal, deadline, missing, "7|1") == closed


def test_of_replies_at_the_same_moment_not_always_the_first_by_name_are_taken():
    together = dict.fromkeys("abcdefgh", 1.0)
    taken = {frozenset(set(together) - set(closing(together, together, 2, 0.0, 0, f"7|{r}").late)) for r in range(20)}
    assert len(taken) > 5
    assert all(len(own) == 2 for own in taken)


def answer(name, refusal="", came=True):
    reply = None if refusal else TrainReply(None, 1, 2.5, 10, 2)
    return Answer(name, reply, refusal, 100, 200, came)


def test_time_is_taken_only_where_something_depends_on_it():
    def timed(faults, round=1, **keys):
        return reception(FederationConfig(**keys), faults, ("a", "b"), round, 2, float).arrivals is not None

    assert not timed({})
    assert not timed({"a": "nan", "z": "slow x5"})
    assert timed({"a": "slow x5"})
    assert not timed({"a": "slow x5 in round 3"})
    assert timed({}, deadline=5.0)
    assert timed({}, oversample=0.3)


def test_who_says_nothing_is_late_and_not_gone_where_nobody_is_waited_for_once_enough_replied():
    def told(runtime, *answers):
        config = FederationConfig(oversample=0.5, runtime=runtime)
        taking_in = reception(config, {}, ("a", "b", "c"), 1, 2, float)
        taking_in.arrivals.seconds |= {"a": 1.0, "b": 2.0}
        closed = taking_in.close(answers)
        return [taking_in.event_of(answer, closed) for answer in answers]

    silent = answer("c", NO_REPLY, came=False)
    taken, _, late = told("superlink", answer("a"), answer("b"), silent)
    assert isinstance(taken, ev.UpdateReceived)
    assert late == ev.UpdateLate("c", 1, "2 replies were in already", 2.0, True, 100, 200)
    # Fewer than it needs, or the others of one process: whoever says nothing is not there.
    assert isinstance(told("superlink", answer("a"), answer("b", "nan"), silent)[2], ev.UpdateRejected)
    assert isinstance(told("local", answer("a"), answer("b"), silent)[2], ev.UpdateRejected)


def test_a_slow_reply_comes_so_many_times_as_late_as_its_training_took():
    now = [0.0]
    taking_in = reception(FederationConfig(deadline=8.0), {"b": "slow x5"}, ("a", "b", "c"), 1, 3, lambda: now[0])
    taking_in.arrivals.begin()
    now[0] = 1.0
    taking_in.arrivals.step(["a", "b"])
    now[0] = 2.0
    taking_in.arrivals.step(["b"])
    taking_in.arrivals.begin()
    now[0] = 5.0
    taking_in.arrivals.step(["c"])
    answers = [answer("a"), answer("b"), answer("c"), answer("d", "no reply came", came=False)]
    assert taking_in.seconds(answers) == {"a": 1.0, "b": 10.0, "c": 3.0}
    closed = taking_in.close(answers)
    assert closed.seconds == 8.0
    told = [taking_in.event_of(one, closed) for one in answers]
    assert told == [
        ev.UpdateReceived("a", 1, 100, 200, 10, 2.5),
        ev.UpdateLate("b", 1, "after the deadline of 8 s", 10.0, False, 100, 200),
        ev.UpdateReceived("c", 1, 100, 200, 10, 2.5),
        ev.UpdateRejected("d", 1, "no reply came", answered=False),
    ]
    assert taking_in.slow(answers, closed) == {}
    patient = reception(FederationConfig(), {"b": "slow x5"}, ("a", "b", "c"), 1, 3, float)
    patient.arrivals.seconds |= taking_in.arrivals.seconds
    assert patient.slow(answers, patient.close(answers)) == {"b": pytest.approx(10 / 3)}


def test_a_step_outside_of_a_pass_takes_no_time():
    arrivals = Arrivals(lambda: 5.0)
    arrivals.step(["a"])
    assert arrivals.seconds == {"a": 0.0}


@given(st.integers(1, 40), st.floats(0.01, 1.0), st.integers(1, 4), st.floats(0.0, 2.0), st.integers(0, 99))
def test_more_are_sampled_by_the_share_and_none_without_one(count, fraction, least, oversample, round):
    names = [f"org-{number}" for number in range(count)]
    goal = sampled(names, fraction, least, 7, round)
    assert sampled(names, fraction, least, 7, round, 0.0) == goal
    more = len(sampled(names, fraction, least, 7, round, oversample))
    assert len(goal) <= more <= count
    assert more == count or len(goal) * (1 + oversample) - 1e-6 <= more < len(goal) * (1 + oversample) + 1
