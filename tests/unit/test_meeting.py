"""Where the runs of a race meet: who waits for whom, and what happens to those who wait."""

from __future__ import annotations

import threading

import pytest

from fedlora_tui.engine.meeting import Meeting

GUARD = 120.0


class Seats:
    """Threads that bring something and keep what they are given."""

    def __init__(self, meeting):
        self.meeting = meeting
        self.given = {}
        self.threads = []

    def bring(self, seat, what):
        def body():
            try:
                self.given[seat] = self.meeting.bring(seat, what)
            except Exception as error:
                self.given[seat] = error

        thread = threading.Thread(target=body, daemon=True)
        self.threads.append(thread)
        thread.start()

    def all_given(self):
        for thread in self.threads:
            thread.join(GUARD)
            assert not thread.is_alive()
        return self.given


def summed(brought):
    return {seat: (what, sum(brought.values())) for seat, what in brought.items()}


def test_what_all_brought_is_settled_once_and_each_is_given_its_own():
    settled = []

    def settle(brought):
        settled.append(list(brought))
        return summed(brought)

    seats = Seats(Meeting(3, settle))
    for seat, what in ((2, 30), (0, 10), (1, 20)):
        seats.bring(seat, what)
    assert seats.all_given() == {0: (10, 60), 1: (20, 60), 2: (30, 60)}
    assert settled == [[0, 1, 2]]


def test_nobody_waits_for_one_who_left_before_or_meanwhile():
    meeting = Meeting(3, summed)
    meeting.leave(2)
    seats = Seats(meeting)
    seats.bring(0, 1)
    assert not seats.given
    meeting.leave(1)
    assert seats.all_given() == {0: (1, 1)}


def test_an_error_of_settling_is_raised_at_every_seat_and_the_next_meeting_works():
    errors = [ValueError("no")]

    def settle(brought):
        if errors:
            raise errors.pop()
        return summed(brought)

    meeting = Meeting(2, settle)
    seats = Seats(meeting)
    seats.bring(0, 1)
    seats.bring(1, 2)
    assert {seat: str(error) for seat, error in seats.all_given().items()} == {0: "no", 1: "no"}
    again = Seats(meeting)
    again.bring(0, 1)
    again.bring(1, 2)
    assert again.all_given() == {0: (1, 3), 1: (2, 3)}


def test_who_is_given_nothing_yet_waits_on_with_what_it_brought():
    settled = []

    def settle(brought):
        settled.append(dict(brought))
        words = {seat: what for seat, what in brought.items() if what is not None}
        return words or dict.fromkeys(brought, "all")

    meeting = Meeting(2, settle)
    seats = Seats(meeting)
    seats.bring(0, None)
    assert meeting.bring(1, "word") == "word"
    assert not seats.given
    assert meeting.bring(1, None) == "all"
    assert seats.all_given() == {0: "all"}
    assert settled == [{0: None, 1: "word"}, {0: None, 1: None}]


def test_a_seat_alone_is_settled_in_its_own_thread():
    meeting = Meeting(1, lambda brought: dict.fromkeys(brought, threading.current_thread()))
    assert meeting.bring(0, None) is threading.current_thread()


@pytest.mark.parametrize("rounds", [200])
def test_seats_meet_again_and_again_without_mixing_their_rounds(rounds):
    meeting, wrong = Meeting(3, summed), []

    def body(seat):
        for turn in range(rounds):
            given = meeting.bring(seat, turn)
            if given != (turn, 3 * turn):
                wrong.append((seat, turn, given))

    threads = [threading.Thread(target=body, args=(seat,), daemon=True) for seat in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
        assert not thread.is_alive()
    assert wrong == []
