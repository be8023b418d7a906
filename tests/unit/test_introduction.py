"""What a node may say of itself: counts and a few bounded words, at both ends."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from fedlora_tui.federation.introduction import (
    INTRODUCE,
    LONGEST_POLICY,
    Introduction,
    introduction_reply,
    question,
    read_introduction,
)
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import Refused

CLINIC = Introduction("clinic", "0.1.0", "1.41.0", "2.13.0", "ab" * 32, 40, 1883, 215, 84, 63, 75, "rank at most 8")


def asked() -> Message:
    grid = LocalGrid(None)  # type: ignore[arg-type]
    message = grid.create_message(question(), INTRODUCE, 2, "0")
    message.metadata.__dict__["_message_id"] = "1"
    return message


def said(**changes: object) -> Message:
    return Message(RecordDict({"introduction": ConfigRecord(asdict(CLINIC) | changes)}), reply_to=asked())


def test_an_introduction_travels_whole():
    assert read_introduction(introduction_reply(asked(), CLINIC)) == CLINIC


@pytest.mark.parametrize(
    "changes",
    [
        {"diary": "what the patient told"},
        {"organization": "x" * 65},
        {"organization": " "},
        {"organization": "two\nlines"},
        {"organization": "x/../../elsewhere"},
        {"organization": ".clinic"},
        {"organization": "clinic "},
        {"torch": 2},
        {"policy": "x" * (LONGEST_POLICY + 1)},
        {"base": "the weights"},
        {"tokens": -1},
        {"tokens": 2**53 + 1},
        {"tokens": 1.5},
        {"rows": True},
        {"documents": "forty"},
    ],
)
def test_anything_else_is_refused_where_it_comes_in(changes):
    with pytest.raises(Refused):
        read_introduction(said(**changes))


def test_what_may_not_travel_is_refused_where_it_leaves():
    with pytest.raises(Refused):
        introduction_reply(asked(), replace(CLINIC, organization="two\nlines"))


def test_no_array_comes_with_it():
    reply = said()
    reply.content["arrays"] = ArrayRecord({"text": Array(np.zeros(3, np.float32))})
    with pytest.raises(Refused):
        read_introduction(reply)
