"""Records of many tensors as one array on their way: Flower sends every array of a message by requests of its own.

An adapter of 256 tensors is more than 500 objects to Flower, each asked for and answered on three ways; as a parcel it
is two. What a parcel holds is written before the tensors, in one form alone, and whoever receives it takes it apart
before anything else looks at the message: what may travel is checked, and weighed, as if it had come by itself.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from flwr.app import Array, ArrayRecord, Context, Message, RecordDict

PARCEL = "parcel"
"""The name of the one array in a record that is a parcel, and how its bytes are meant."""

MOST_LISTED = 2**24
"""Bytes of the list of what a parcel holds; a longer one is not read."""

COUNT_BYTES = 8


def packed(content: RecordDict) -> RecordDict:
    """Give a message's content with every record of several tensors as a parcel."""
    return _changed(content, lambda record: _parcel(record) if len(record) > 1 else record)


def unpacked(content: RecordDict) -> RecordDict:
    """Give a message's content with every parcel taken apart; one that is not in its form stays, to be refused."""
    return _changed(content, lambda record: _apart(record) or record)


def in_parcels(message: Message, context: Context, answer: Callable[[Message, Context], Message]) -> Message:
    """Let an app (as one of its mods) be sent parcels and send some, and see none."""
    if message.has_content():
        message.content = unpacked(message.content)
    reply = answer(message, context)
    if reply.has_content():
        reply.content = packed(reply.content)
    return reply


def _changed(content: RecordDict, change: Callable[[ArrayRecord], ArrayRecord]) -> RecordDict:
    found = RecordDict()
    for name, record in content.items():
        found[name] = change(record) if isinstance(record, ArrayRecord) else record
    return found


def _parcel(record: ArrayRecord) -> ArrayRecord:
    listed = _list([[name, own.dtype, list(own.shape), own.stype, len(own.data)] for name, own in record.items()])
    parts = [len(listed).to_bytes(COUNT_BYTES, "big"), listed, *(own.data for own in record.values())]
    data = b"".join(parts)
    return ArrayRecord(OrderedDict({PARCEL: Array("uint8", (len(data),), PARCEL, data)}))


def _apart(record: ArrayRecord) -> ArrayRecord | None:
    """Give what a parcel holds, None where it is none, or not in the one form that it can have."""
    if list(record) != [PARCEL] or record[PARCEL].stype != PARCEL:
        return None
    data = record[PARCEL].data
    size = int.from_bytes(data[:COUNT_BYTES], "big")
    written = data[COUNT_BYTES : COUNT_BYTES + size]
    if size > MOST_LISTED:
        return None
    try:
        listed = json.loads(written)
        tensors, at = OrderedDict[str, Array](), COUNT_BYTES + size
        for name, dtype, shape, stype, length in listed:
            tensors[name] = Array(dtype, tuple(shape), stype, data[at : at + length])
            at += length
        found = ArrayRecord(tensors)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    # Written again it has to be what came: else something would lie in it that nobody looks at.
    return found if len(tensors) > 1 and at == len(data) and _parcel(found)[PARCEL].data == data else None


def _list(listed: list[Any]) -> bytes:
    return json.dumps(listed, separators=(",", ":")).encode()
