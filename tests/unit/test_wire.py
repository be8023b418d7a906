"""What is said over a control socket: whatever comes is a message or is refused with a reason."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.protocol import wire
from fedlora_tui.protocol.commands import COMMANDS, AddOrganization, Export, Fraction, Pause, Rank, Stop
from fedlora_tui.protocol.events import Record, Warned
from fedlora_tui.protocol.trying import MOST_CHARACTERS, Answer, Question, Voice

VALUES = {"rank": 4, "rounds": 9, "rate": 5e-4, "steps": 2, "fraction": 0.5, "aggregation": "fedex", "fault": "slow x5"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "message",
    [
        wire.Greeting("root@pts/1"),
        wire.Greeting("root@pts/1", steers=False),
        wire.WheelWord("ask"),
        wire.Ask(0, Pause()),
        wire.Ask(1, Rank(16, "pharmacy-1")),
        wire.Ask(0, Fraction(0.5)),
        wire.Ask(0, AddOrganization()),
        wire.Ask(0, Export("best", merged=True, out="/tmp/x")),
        wire.Ask(0, Stop("terminated")),
        wire.Try(1, Question(3, "The patient\nshould", "pharmacy-1", 6, 60, 0.7, 11)),
        wire.StopTrying(1),
    ],
)
def test_what_a_face_says_is_read_as_it_was_meant(message: wire.FromFace) -> None:
    line = wire.line_of(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert wire.from_face(line) == message


@pytest.mark.parametrize(
    "message",
    [
        wire.Welcome(("rank 2", "rank 4"), 1, 4711),
        wire.Welcome(("",), 0, 4711, (18_820,)),
        wire.Over(0),
        wire.Over(1, "no such model"),
        wire.Wheel(True, "root@pts/1", "ada@pts/2", 4.5, False),
        wire.Tried(0, Answer(3, over=True, refusal="nobody steers")),
        wire.Tried(
            0, Answer(3, ("The", " ä"), (Voice("base", 0, "ö", 2, 0.5, (1.5, None)), Voice("a", lacks="b")), 0.8)
        ),
    ],
)
def test_what_the_engine_says_is_read_as_it_was_meant(message: wire.FromEngine) -> None:
    assert wire.from_engine(wire.line_of(message)) == message


def test_an_event_is_the_same_from_the_queue_and_from_the_journal() -> None:
    record = Record(7, 1.5, Warned("ä word", "alpha"))
    line = wire.told_line(2, record)
    assert wire.from_engine(line) == wire.Told(2, record)
    from fedlora_tui.protocol.events import to_json

    assert wire.journal_line(2, to_json(record).encode()) == line


def test_a_message_of_a_later_version_is_passed_over_and_a_later_greeting_is_refused() -> None:
    assert wire.from_engine(b'{"weather":{"sun":true}}') is None
    with pytest.raises(wire.WireError, match="version 2 of the console, version 1 of the run"):
        wire.from_face(b'{"greeting":{"who":"x","steers":true,"v":2}}')


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.0\r",
        b"[]",
        b"{}",
        b'{"ask":{}}',
        b'{"ask":{"place":0,"command":"destroy"}}',
        b'{"ask":{"place":-1,"command":"pause"}}',
        b'{"ask":{"place":true,"command":"pause"}}',
        b'{"ask":{"place":0,"command":"rank","to":"many"}}',
        b'{"ask":{"place":0,"command":"rank","to":true}}',
        b'{"ask":{"place":0,"command":"rate","to":NaN}}',
        b'{"ask":{"place":0,"command":"rank"}}',
        b'{"ask":{"place":0,"command":"pause","extra":1}}',
        b'{"wheel":{"word":"grab"}}',
        b'{"greeting":{"who":7}}',
        b'{"try":{"place":0,"number":1}}',
        b'{"try":{"place":0,"text":"a"}}',
        b'{"try":{"place":-1,"number":1,"text":"a"}}',
        b'{"try":{"place":0,"number":1,"text":7}}',
        b'{"try":{"place":0,"number":1,"text":"a","tokens":0}}',
        b'{"try":{"place":0,"number":1,"text":"a","tokens":100000}}',
        b'{"try":{"place":0,"number":1,"text":"a","tokens":true}}',
        b'{"try":{"place":0,"number":1,"text":"a","temperature":NaN}}',
        b'{"try":{"place":0,"number":1,"text":"a","seed":-1}}',
        b'{"stop_trying":{}}',
        b'{"greeting":{"who":"x"},"wheel":{"word":"ask"}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.from_face(line)


def test_a_longer_text_than_can_be_tried_is_refused_and_the_longest_fits_a_line() -> None:
    line = wire.line_of(wire.Try(0, Question(1, "\N{GRINNING FACE}" * MOST_CHARACTERS)))
    assert len(line) <= wire.LONGEST_LINE
    assert isinstance(wire.from_face(line), wire.Try)
    with pytest.raises(wire.WireError, match="no such question"):
        wire.from_face(wire.line_of(wire.Try(0, Question(1, "a" * (MOST_CHARACTERS + 1)))))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"number": 1, "voices": [7]},
        {"number": 1, "voices": [{}]},
        {"number": 1, "voices": [{"name": "base", "losses": ["a"]}]},
        {"number": 1, "pieces": [1]},
        {"number": "1"},
    ],
)
def test_what_is_no_answer_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(wire.WireError):
        wire.from_engine(json.dumps({"tried": {"place": 0, **body}}).encode())


@given(JSON, st.dictionaries(st.sampled_from(["text", "number", "tokens", "org", "temperature"]), JSON))
def test_no_values_of_a_question_do_more_than_be_refused(place: object, values: dict[str, object]) -> None:
    line = json.dumps({"try": {"place": place, **values}}).encode()
    try:
        message = wire.from_face(line)
    except wire.WireError:
        return
    assert isinstance(message, wire.Try)
    assert wire.from_face(wire.line_of(message)) == message


def test_losses_that_are_not_finite_travel_as_nothing_and_make_the_mean_nan() -> None:
    sent = wire.Tried(0, Answer(1, ("a", "b"), (Voice("base", losses=(float("inf"), 2.0)),)))
    came = wire.from_engine(wire.line_of(sent))
    assert isinstance(came, wire.Tried)
    (voice,) = came.answer.voices
    assert voice.losses == (None, 2.0)
    assert voice.loss is not None
    assert math.isnan(voice.loss)
    assert Voice("base").loss is None


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(line: bytes) -> None:
    for read in (wire.from_face, wire.from_engine):
        try:
            read(line)
        except wire.WireError:
            continue


@given(st.sampled_from(sorted(COMMANDS)), st.dictionaries(st.sampled_from(["to", "org", "round", "x"]), JSON), JSON)
def test_no_values_of_a_command_do_more_than_be_refused(name: str, values: dict[str, object], place: object) -> None:
    line = json.dumps({"ask": {"place": place, "command": name, **values}}).encode()
    try:
        message = wire.from_face(line)
    except wire.WireError:
        return
    assert isinstance(message, wire.Ask)
    assert message.command.name == name
    assert wire.from_face(wire.line_of(message)) == message


def test_every_command_of_the_registry_can_travel() -> None:
    made = [wire.read_command(name, {"to": to}) for name, to in VALUES.items()]
    made += [wire.read_command(name, {"org": "alpha"}) for name in ("add", "drop", "release")]
    made += [wire.read_command(name, {}) for name in ("pause", "resume", "undo", "export", "finish", "stop")]
    assert {command.name for command in made} == set(COMMANDS)
    for command in made:
        assert wire.from_face(wire.line_of(wire.Ask(0, command))) == wire.Ask(0, command)
