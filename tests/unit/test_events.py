"""Events as lines of JSON: every kind comes back as it was, and what is not known is kept or passed over."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import KINDS, Gpu, Record, TextCounts, Unknown, Waiting, from_json, to_json

CONTRACT = """run_started, run_paused, run_resumed, run_finished, run_failed, round_started, round_aggregated,
round_finished, org_joined, org_left, org_state, train_step, update_received, update_rejected, org_evaluated, telemetry,
privacy_spent, checkpoint_written, adapter_exported, command_acknowledged, command_refused, warning"""

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**53), 2**53)
plain = st.recursive(
    st.none() | st.booleans() | integers | numbers | words,
    lambda inner: st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


def values(hint):
    """A strategy for the values that a field of this type may take."""
    text = str(hint)
    if hint is int:
        return integers
    if hint is float:
        return numbers
    if hint is bool:
        return st.booleans()
    if hint is str:
        return words
    if "tuple[str" in text:
        return st.lists(words, max_size=3).map(tuple)
    if "Gpu" in text:
        return st.lists(built(Gpu), max_size=2).map(tuple)
    if "TextCounts" in text:
        return st.none() | built(TextCounts)
    if "Waiting" in text:
        return st.lists(built(Waiting), max_size=2).map(tuple)
    if "str, int" in text:
        return st.dictionaries(words, integers, max_size=3)
    if "str, float" in text:
        return st.dictionaries(words, numbers, max_size=3)
    if "Mapping" in text:
        return st.dictionaries(words, plain, max_size=3)
    if "None" in text:
        inner = next(kind for kind in hint.__args__ if kind is not type(None))
        return st.none() | values(inner)
    return plain


def built(kind):
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields(kind)})


times = st.integers(0, 2 * 10**12).map(lambda thousandths: thousandths / 1000)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_comes_back_as_it_was(kind):
    @given(built(kind), st.integers(1, 10**9), times)
    @settings(max_examples=25)
    def comes_back(event, seq, t):
        line = to_json(Record(seq, t, event))
        assert "\n" not in line
        assert from_json(line) == Record(seq, t, event)
        assert json.loads(line)["type"] == kind.type

    comes_back()


def test_the_kinds_of_the_contract_are_all_there_under_their_names():
    assert {name.strip() for name in CONTRACT.split(",")} <= set(KINDS)
    assert all(kind.type == name for name, kind in KINDS.items())


def test_a_line_has_version_seq_time_and_type_first():
    line = to_json(Record(12, 1790000000.1234, ev.RunResumed(3)))
    assert line == '{"v":1,"seq":12,"t":1790000000.123,"type":"run_resumed","round":3}'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_become_null_wherever_they_stand(value):
    step = ev.TrainStep("a", 1, 1, 2, value, 3)
    assert json.loads(to_json(Record(1, 0.0, step)))["loss"] is None
    aggregated = ev.RoundAggregated(1, ("a",), {"a": value}, value, 0.1)
    body = json.loads(to_json(Record(1, 0.0, aggregated)))
    assert (body["weights"], body["drift"]) == ({"a": None}, None)
    refused = ev.CommandRefused("x", {"deep": [1, {"er": (value,)}]}, "no")
    assert json.loads(to_json(Record(1, 0.0, refused)))["value"] == {"deep": [1, {"er": [None]}]}
    telemetry = ev.Telemetry(value, 2, 3, 4, gpus=(Gpu("g", 0, busy=value),))
    assert from_json(to_json(Record(1, 0.0, telemetry))).event.gpus[0].busy is None


@given(st.dictionaries(words.filter(lambda w: w not in ("v", "seq", "t", "type")), plain, max_size=4))
def test_an_unknown_kind_is_kept_whole(body):
    line = json.dumps({"v": 1, "seq": 5, "t": 2.5, "type": "quarantined", **body})
    record = from_json(line)
    assert record.event == Unknown("quarantined", body)
    assert json.loads(to_json(record)) == json.loads(line)


def test_unknown_fields_are_passed_over():
    line = '{"v":1,"seq":1,"t":0.0,"type":"run_resumed","round":3,"later":{"x":[1]}}'
    assert from_json(line).event == ev.RunResumed(3)
    gpu = '{"v":1,"seq":1,"t":0,"type":"telemetry","cpu":0.5,"cpus":2,"memory_process":1,"memory_total":2,'
    gpu += '"gpus":[{"name":"g","index":0,"fans":3}]}'
    assert from_json(gpu).event.gpus == (Gpu("g", 0),)


def test_fields_that_came_later_have_a_default():
    line = '{"v":1,"seq":1,"t":0.0,"type":"train_step","org":"a","round":1,"step":1,"steps":2,"loss":null}'
    assert from_json(line).event == ev.TrainStep("a", 1, 1, 2, None, 0)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{broken",
        "{}",
        '{"v":2,"seq":1,"t":0,"type":"run_resumed","round":1}',
        '{"v":1,"t":0,"type":"run_resumed","round":1}',
        '{"v":1,"seq":1,"type":"run_resumed","round":1}',
        '{"v":1,"seq":1,"t":0,"round":1}',
        '{"v":1,"seq":"x","t":0,"type":"run_resumed","round":1}',
        '{"v":1,"seq":null,"t":0,"type":"run_resumed","round":1}',
        '{"v":1,"seq":1,"t":0,"type":"run_resumed"}',
        '{"v":1,"seq":1,"t":0,"type":"telemetry","cpu":1,"cpus":1,"memory_process":1,"memory_total":1,"gpus":[{}]}',
        '{"v":1,"seq":1,"t":0,"type":"telemetry","cpu":1,"cpus":1,"memory_process":1,"memory_total":1,"gpus":[3]}',
        '{"v":1,"seq":1,"t":0,"type":"telemetry","cpu":1,"cpus":1,"memory_process":1,"memory_total":1,"gpus":3}',
    ],
)
def test_a_line_that_is_no_event_is_a_value_error(line):
    with pytest.raises(ValueError):  # noqa: PT011
        from_json(line)


def test_commands_and_their_names():
    from fedlora_tui.protocol.commands import COMMANDS, AddOrganization, DropOrganization, Export, Pause

    knobs = {"rank", "rounds", "rate", "steps", "fraction", "aggregation", "fault"}
    assert set(COMMANDS) == {"pause", "resume", "add", "drop", "undo", "export", "finish", "stop", "release"} | knobs
    assert Pause().value is None
    assert (AddOrganization("x").value, DropOrganization("y").value) == ("x", "y")
    assert Export("best", True, "o").value == {"round": "best", "merged": True, "out": "o", "org": ""}


def test_a_knob_answers_with_what_it_is_turned_to_and_an_organizations_own_rank_with_whose_it_is():
    from fedlora_tui.protocol import commands as ask

    turns = (
        ask.Rank(8),
        ask.Rounds(3),
        ask.Rate(0.5),
        ask.Steps(2),
        ask.Fraction(0.25),
        ask.Method("flora"),
        ask.Fault("nan"),
    )
    assert [(turn.name, turn.value) for turn in turns] == list(
        zip(ask.KNOBS, (8, 3, 0.5, 2, 0.25, "flora", {"org": "", "fault": "nan"}), strict=True)
    )
    assert ask.Rank(2, "beta").value == {"org": "beta", "rank": 2}
