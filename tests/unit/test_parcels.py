"""Records of many tensors as one array: what is put in comes out, and nothing else can lie in it."""

from __future__ import annotations

import json
from collections import OrderedDict

import numpy as np
import pytest

from fedlora_tui.federation.parcels import COUNT_BYTES, PARCEL, in_parcels, packed, unpacked

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict  # isort: skip
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects  # isort: skip
from flwr.supercore.task_identity import TaskIdentity  # isort: skip


def content():
    generator = np.random.default_rng(5)
    tensors = OrderedDict((f"h.{n}", Array(generator.standard_normal((n + 1, 3)).astype("f4"))) for n in range(20))
    alone = ArrayRecord(OrderedDict(masked=Array(np.arange(4, dtype="u4"))))
    return RecordDict({"arrays": ArrayRecord(tensors), "masked": alone, "config": ConfigRecord({"server-round": 3})})


def told(record):
    return [(name, own.dtype, own.shape, own.stype, own.data) for name, own in record.items()]


def objects(content):
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    return len(get_all_nested_objects(Message(content, 2, MessageType.TRAIN)))


def test_a_parcel_is_a_few_objects_to_flower_and_comes_out_as_it_went_in():
    whole = content()
    sent = packed(whole)
    assert objects(whole) > 40
    assert objects(sent) < 12
    found = unpacked(sent)
    assert told(found["arrays"]) == told(whole["arrays"])
    assert told(found["masked"]) == told(whole["masked"]) == told(sent["masked"])
    assert found["config"] == whole["config"]


def test_an_app_sees_no_parcel_and_sends_one():
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    message = Message(packed(content()), 2, MessageType.TRAIN)
    message.metadata.__dict__["_message_id"] = "asked"

    def answer(message, context):
        assert len(message.content["arrays"]) == 20
        return Message(message.content, reply_to=message)

    reply = in_parcels(message, Context(1, 2, {}, RecordDict(), {}), answer)
    assert list(reply.content["arrays"]) == [PARCEL]
    assert told(unpacked(reply.content)["arrays"]) == told(content()["arrays"])


def rewritten(change):
    """The parcel with another list before its tensors."""
    data = packed(content())["arrays"][PARCEL].data
    size = int.from_bytes(data[:COUNT_BYTES], "big")
    listed = change(data[COUNT_BYTES : COUNT_BYTES + size])
    return len(listed).to_bytes(COUNT_BYTES, "big") + listed + data[COUNT_BYTES + size :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 40,
        packed(content())["arrays"][PARCEL].data + b"Dear Sir",
        packed(content())["arrays"][PARCEL].data[:-1],
        rewritten(lambda listed: listed.replace(b",", b" ,", 1)),
        rewritten(
            lambda listed: json.dumps([*json.loads(listed), ["h.0", "float32", [1, 3], "numpy.ndarray", 0]]).encode()
        ),
        rewritten(lambda listed: b'{"a": 1}'),
        rewritten(lambda listed: b"[[1, 2]]"),
        rewritten(lambda listed: b"[" * 100_000),
    ],
)
def test_what_is_in_another_form_is_left_to_be_refused(data):
    record = ArrayRecord(OrderedDict({PARCEL: Array("uint8", (len(data),), PARCEL, data)}))
    found = unpacked(RecordDict({"arrays": record}))
    assert told(found["arrays"]) == told(record)
