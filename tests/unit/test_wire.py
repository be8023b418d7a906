"""What is said over a control socket: whatever comes is a message or is refused with a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.protocol import wire
from fedlora_tui.protocol.commands import COMMANDS, AddOrganization, Export, Fraction, Pause, Rank, Stop
from fedlora_tui.protocol.events import Record, Warned

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
        wire.Over(0),
        wire.Over(1, "no such model"),
        wire.Wheel(True, "root@pts/1", "ada@pts/2", 4.5, False),
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
        b'{"greeting":{"who":"x"},"wheel":{"word":"ask"}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.from_face(line)


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
