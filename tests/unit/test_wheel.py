"""Who steers: one console at a time, and how the wheel passes on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.engine.wheel import REFUSAL_SECONDS, Steerers

FACES = st.integers(1, 4)


def test_the_first_who_asks_steers_at_once() -> None:
    assert Steerers().asked(1, 0.0) == Steerers(1)


def test_the_wheel_passes_when_the_holder_says_nothing() -> None:
    asked = Steerers(1).asked(2, 10.0)
    assert asked.at(10.0 + REFUSAL_SECONDS - 0.01).holder == 1
    assert asked.at(10.0 + REFUSAL_SECONDS) == Steerers(2)


def test_the_holder_keeps_it_by_saying_so_and_nobody_else_can() -> None:
    asked = Steerers(1).asked(2, 10.0)
    assert asked.kept(2) == asked == asked.kept(3)
    assert asked.kept(1).at(1e9).holder == 1


def test_asking_again_does_not_shorten_or_lengthen_the_wait() -> None:
    asked = Steerers(1).asked(2, 10.0)
    assert asked.asked(2, 12.0) == asked == asked.asked(3, 12.0)
    assert asked.seconds_left(12.0) == REFUSAL_SECONDS - 2


def test_who_asks_has_it_when_the_holder_goes() -> None:
    assert Steerers(1).asked(2, 0.0).left(1) == Steerers(2)
    assert Steerers(1).left(1) == Steerers()
    assert Steerers(1).asked(2, 0.0).left(2) == Steerers(1)


@given(st.lists(st.tuples(st.sampled_from(["ask", "keep", "left", "time"]), FACES), max_size=30))
def test_whatever_is_said_one_steers_and_it_is_one_who_is_there(words: list[tuple[str, int]]) -> None:
    steerers, here, now = Steerers(), set(), 0.0
    for word, face in words:
        now += 1.0
        before = steerers.holder
        if word == "ask":
            here.add(face)
            steerers = steerers.asked(face, now)
        elif word == "keep":
            steerers = steerers.kept(face)
        elif word == "left":
            here.discard(face)
            steerers = steerers.left(face)
        steerers = steerers.at(now)
        assert steerers.holder == 0 or steerers.holder in here
        assert steerers.asking != steerers.holder or steerers.asking == 0
        if before and before in here and word == "keep" and face == before:
            assert steerers.holder == before
