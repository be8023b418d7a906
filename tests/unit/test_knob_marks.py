"""Settings that were turned, as curves, the pane of rounds and the log write them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedlora_tui.console.curves import knobs_turned
from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE
from fedlora_tui.console.wording import answer, entry_of, mark_words, turned_words, waiting_words
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record, Waiting
from fedlora_tui.protocol.state import RunState, fold

RATE = ev.KnobTurned(4, "rate", 1e-3, 5e-4, 147_456)
RANK = ev.KnobTurned(6, "rank", 4, 8, 294_912)
OWN = ev.KnobTurned(6, "rank", 4, 2, 147_456, "pharmacy-2")


def told(*turned: ev.KnobTurned) -> RunState:
    return fold(RunState(), [Record(seq, float(seq), event) for seq, event in enumerate(turned, 1)])


@pytest.mark.parametrize(
    ("turned", "mark", "words"),
    [
        (RATE, "lr 5e-4", "round 4 lr 1e-3 → 5e-4"),
        (RANK, "rank 8", "round 6 rank 4 → 8"),
        (OWN, "pharmacy-2 rank 2", "round 6 pharmacy-2 rank 4 → 2"),
        (ev.KnobTurned(2, "rounds", 20, 30, 1), "rounds 30", "round 2 rounds 20 → 30"),
        (ev.KnobTurned(2, "fraction", 1.0, 0.5, 1), "fraction 0.5", "round 2 fraction 1.0 → 0.5"),
        (ev.KnobTurned(2, "aggregation", "fedit", "flora", 1), "method flora", "round 2 method fedit → flora"),
    ],
)
def test_a_turned_knob_is_named_with_its_value(turned: ev.KnobTurned, mark: str, words: str) -> None:
    assert mark_words(turned, UNICODE) == mark
    assert turned_words(turned, UNICODE) == words
    assert turned_words(turned, ASCII).isascii()


def test_a_rate_is_written_as_a_rate_in_the_log_and_while_it_waits() -> None:
    entry = entry_of(Record(1, 0.0, RATE), RunState(), UNICODE)
    assert entry is not None
    assert (entry.sign, entry.style, entry.words) == ("◆", "yours", "lr 1e-3 → 5e-4 from round 4 on")
    assert waiting_words(Waiting("rate", 5e-4, 4, 1e-3), UNICODE) == "lr 1e-3 → 5e-4"


def test_of_one_knob_that_was_turned_twice_for_a_round_the_last_turn_is_marked() -> None:
    twice = ev.KnobTurned(6, "rank", 8, 16, 589_824)
    assert knobs_turned(told(RATE, RANK, OWN, twice)) == [RATE, OWN, twice]
    assert knobs_turned(told()) == []


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (ev.CommandAcknowledged("rank", 8, 3, before=4), "rank 4 → 8, waits for round 3"),
        (ev.CommandRefused("rank", 0, "from 1 on"), "from 1 on"),
    ],
)
def test_what_others_asked_for_is_told_under_their_name(event: ev.Event, words: str) -> None:
    before = RunState()
    for by, told_words in (("you", words), ("ada@pts/1", f"ada@pts/1: {words}")):
        record = Record(1, 0.0, replace(event, by=by))  # type: ignore[call-arg]
        said = answer(before, fold(before, [record]), UNICODE)
        entry = entry_of(record, before, UNICODE)
        assert said is not None
        assert entry is not None
        assert said.words == told_words
        assert by == "you" or by in f"{entry.name} {entry.words}"
