"""Whatever is asked about faults, and whatever a reply holds: an answer, no crash, and nothing changed by a refusal."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.config import Config
from fedlora_tui.engine.steering import Steering, Terms
from fedlora_tui.engine.stream import Stream
from fedlora_tui.fault_profiles import profile_of
from fedlora_tui.federation.faults import moved
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import AdapterSpec, Refused, arrays_weight, encode, read_train_reply
from fedlora_tui.lora.adapter import Adapter, from_tensors
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev

SPEC = AdapterSpec({"h.lora_A.weight": (2, 5), "h.lora_B.weight": (7, 2)}, 2, 4.0)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "times", "after", "form", "rounds"]), inner, max_size=4)
    ),
    max_leaves=6,
)
sound = st.sampled_from(["nan", "slow x5", "dropout after 1", "poison x-10 for 2 rounds", "none", "crash in round 9"])
organizations = st.sampled_from(["a", "b", "z", ""]) | values


def helm(quarantined=("c",)):
    """A steering in round 1 of 5 with three organizations, and the events that it tells."""
    stream, events = Stream(), []
    stream.subscribe(lambda record: events.append(record.event))
    steering = Steering(stream)
    terms = Terms(2, lambda taken: "d", lambda: "", lambda command: None, lambda command: None, Config)
    stream.emit(ev.RunStarted("r", "m", 1, 1, 4, 8.0, "fedit", ("a", "b", "c"), "cpu", {}, rounds=5))
    steering.open(terms, ("a", "b", "c"), 5)
    steering.begin_round(1)
    steering.now_present(("a", "b", "c"), quarantined)
    return stream, steering, events


@given(st.lists(st.tuples(organizations, values | sound), min_size=1, max_size=4))
def test_every_fault_that_is_asked_for_is_answered_and_what_is_refused_changes_nothing(asked):
    stream, steering, events = helm()
    taken = []
    for org, to in asked:
        before, waiting = stream.state, steering.last_waiting
        steering.send(ask.Fault(to, org))
        answer = events[-1]
        if isinstance(answer, ev.CommandAcknowledged):
            assert org in ("a", "b")
            assert answer.value == {"org": org, "fault": profile_of(to, 2).text}
            assert answer.takes_effect_round == 2
            taken.append((org, answer.value["fault"]))
        else:
            assert isinstance(answer, ev.CommandRefused)
            assert answer.reason
            assert steering.last_waiting == waiting
            assert stream.state.organizations == before.organizations
            assert stream.state.waiting == before.waiting
    assert [(change.org, change.to) for change in steering.begin_round(2)] == taken


@given(organizations)
def test_every_release_that_is_asked_for_is_answered(org):
    stream, steering, events = helm()
    steering.send(ask.Release(org))
    assert isinstance(events[-1], ev.CommandRefused if org != "c" else ev.CommandAcknowledged)
    assert not stream.state.waiting


def test_faults_and_releases_wait_and_are_taken_back_one_by_one():
    stream, steering, events = helm()
    for command in (ask.Fault("nan", "a"), ask.Fault("none", "a"), ask.Release("c")):
        steering.send(command)
        assert isinstance(events[-1], ev.CommandAcknowledged), events[-1]
    steering.send(ask.Fault("none", "a"))
    assert events[-1].reason == "fault of a is none already"
    assert [(one.command, one.value, one.before) for one in stream.state.waiting] == [
        ("fault", {"org": "a", "fault": "nan"}, "none"),
        ("fault", {"org": "a", "fault": "none"}, "nan"),
        ("release", "c", None),
    ]
    taken_back = []
    for _ in range(3):
        steering.send(ask.Undo())
        taken_back.append(events[-1].value)
    assert taken_back == [
        {"command": "release", "org": "c"},
        {"command": "fault", "org": "a", "value": "none"},
        {"command": "fault", "org": "a", "value": "nan"},
    ]
    assert not steering.begin_round(2)
    assert not stream.state.waiting


def test_who_is_in_quarantine_does_not_count_for_the_least_number_but_may_be_dropped():
    _, steering, events = helm()
    steering.send(ask.DropOrganization("a"))
    assert events[-1].reason == "a round needs 2 (federation.min_organizations)"
    steering.send(ask.DropOrganization("c"))
    assert isinstance(events[-2], ev.CommandAcknowledged)
    steering.send(ask.Undo())
    assert events[-1] == ev.OrgState("c", "quarantine", 1, "")
    steering.send(ask.Release("c"))
    steering.send(ask.DropOrganization("a"))
    assert isinstance(events[-2], ev.CommandAcknowledged)


arrays = st.one_of(
    st.builds(
        Array,
        st.sampled_from(["float32", "float64", "object", "", "<f4", "float32" * 9]),
        st.lists(st.integers(-3, 2**40), max_size=3).map(tuple),
        st.sampled_from(["numpy.ndarray", "pickle", "", "torch"]),
        st.binary(max_size=200),
    ),
    st.sampled_from([(2, 5), (7, 2), (5, 2), (0,), (), (2, 5, 1)]).map(lambda shape: Array(np.ones(shape, np.float32))),
    st.sampled_from([np.float16, np.int64, np.complex64]).map(lambda kind: Array(np.ones((2, 5), kind))),
    st.sampled_from([math.nan, math.inf, -math.inf]).map(lambda bad: Array(np.full((2, 5), bad, np.float32))),
)
names = st.sampled_from([*SPEC.shapes, "h.lora_A.weight\0", "text", ""])
numbers = (
    st.integers(-(2**63), 2**63) | st.floats() | st.lists(st.integers(), max_size=3) | st.lists(st.floats(), max_size=3)
)
metrics = st.dictionaries(
    st.sampled_from(["num-examples", "loss", "tokens", "steps", "secret"]), numbers, max_size=5
).map(MetricRecord)
records = st.one_of(
    st.dictionaries(names, arrays, max_size=3).map(lambda own: ArrayRecord(OrderedDict(own))),
    metrics,
    st.dictionaries(names, st.text(max_size=9) | st.binary(max_size=9) | st.booleans(), max_size=3).map(ConfigRecord),
)
contents = st.dictionaries(st.sampled_from(["arrays", "metrics", "config", "base-delta", "x"]), records, max_size=4)
SOUND_METRICS = {"num-examples": 5, "loss": 2.5, "tokens": 9, "steps": 2}


def question():
    return LocalGrid(ClientApp()).create_message(RecordDict(), "train", 2, "1")


def sound_adapter():
    tensors = {name: np.ones(shape, np.float32) for name, shape in SPEC.shapes.items()}
    return ArrayRecord(OrderedDict((name, Array(values)) for name, values in tensors.items()))


def read(content):
    """What the server makes of a reply: its adapter and numbers, or None where it is refused with a reason."""
    reply = Message(RecordDict(content), reply_to=question())
    assert arrays_weight(reply) >= 0
    said = ""
    try:
        return read_train_reply(reply, SPEC)
    except Refused as refused:
        said = str(refused)
    assert 0 < len(said) < 300
    return None


@given(contents)
def test_whatever_a_reply_holds_it_is_read_or_refused(content):
    found = read(content)
    if found is not None:
        assert isinstance(found.adapter, Adapter)
        assert all(np.isfinite(tensor.numpy()).all() for tensor in found.adapter.tensors().values())
        assert all(0 <= number <= 2**53 for number in (found.examples, found.loss, found.tokens, found.steps))


@given(names, arrays)
def test_an_adapter_in_which_one_tensor_is_another_is_read_or_refused(name, array):
    record = sound_adapter()
    record[name] = array
    found = read({"arrays": record, "metrics": MetricRecord(SOUND_METRICS)})
    assert (found is None) or name in SPEC.shapes


@given(metrics)
def test_a_sound_adapter_with_any_numbers_is_read_or_refused(found):
    reply = read({"arrays": sound_adapter(), "metrics": found})
    assert reply is None or set(found) == set(SOUND_METRICS)


@given(st.integers(-(2**31), 2**31 - 1), st.none() | st.text(max_size=400))
def test_an_error_reply_is_refused_without_its_free_text(code, reason):
    reply = Message(Error(code, reason), reply_to=question())
    assert arrays_weight(reply) == 0
    with pytest.raises(Refused) as refused:
        read_train_reply(reply, SPEC)
    assert len(str(refused.value)) < 120


@given(st.floats(-1e6, 1e6), st.integers(1, 2))
def test_a_poisoned_update_is_so_many_times_the_change(times, rank):
    x0, end = np.full((2, 3), 0.5, np.float32), np.full((rank, 3), 0.75, np.float32)
    assert moved(x0, times, x0, end) == pytest.approx(np.full((rank, 3), 0.5 + times * 0.25), rel=1e-6)


def test_the_sound_reply_of_these_tests_is_read():
    assert read({"arrays": sound_adapter(), "metrics": MetricRecord(SOUND_METRICS)}).examples == 5
    adapter = from_tensors({name: torch.ones(shape) for name, shape in SPEC.shapes.items()}, 2, 4.0, {})
    assert read({"arrays": encode(adapter), "metrics": MetricRecord(SOUND_METRICS)}) is not None
