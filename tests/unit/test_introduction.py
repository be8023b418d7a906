"""What a node may say of itself: counts and a few bounded words, at both ends."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict

from fedlora_tui import __version__
from fedlora_tui.federation.admission import NOT_SET_UP, Admission
from fedlora_tui.federation.client_app import UNFIT
from fedlora_tui.federation.introduction import (
    INTRODUCE,
    LONGEST_POLICY,
    Introduction,
    introduction_reply,
    question,
    read_introduction,
    version_said,
)
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import Refused
from fedlora_tui.protocol.events import NodeRefused, Warned

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


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({"version": "0.9.0", "diary": "x"}, "0.9.0"),
        ({"diary": "x"}, "0.1.0"),
        ({"version": "two\nlines"}, ""),
        ({"version": 2}, ""),
    ],
)
def test_of_another_form_its_version_can_be_read_where_it_is_a_word(changes, version):
    assert version_said(said(**changes)) == version
    other = Message(
        RecordDict({"introduction": ArrayRecord({"text": Array(np.zeros(3, np.float32))})}), reply_to=asked()
    )
    assert version_said(other) == version_said(Message(Error(0, "no"), reply_to=asked())) == ""


def test_who_may_take_part_is_judged_by_version_key_and_base_and_a_key_stays_whose_it_was():
    owners = [{b"c": "clinic"}, {}, {}, {}]
    admission = Admission("ab" * 32, lambda: owners.pop(0))

    def judged(key: bytes = b"", **changes: object):
        return admission.judged(said(**{"version": __version__, **changes}), key)

    assert judged(b"c") == replace(CLINIC, version=__version__)
    assert judged(b"c", organization="mill").reason.startswith("its key is clinic's, and it calls itself mill")
    assert judged(b"x").reason == "it calls itself clinic, and its key is not clinic's"
    assert judged(b"x", organization="mill", base="cd" * 32).reason.startswith("mill has another base model")
    differs = f"has fedlora-tui 9.0.0, this run {__version__}: install the same"
    assert judged(version="9.0.0") == NodeRefused(f"clinic {differs}", "", "", 1)
    assert judged(version="9.0.0", diary="x") == NodeRefused(f"it {differs}", "", "", 1)
    assert judged(diary="x") == NodeRefused("an introduction says something else than it is asked", "", "", 1)
    broke = Message(Error(2, UNFIT), reply_to=asked())
    assert admission.judged(broke, b"c") == Warned(f"a SuperNode cannot take part: {NOT_SET_UP}")


def test_what_may_not_travel_is_refused_where_it_leaves():
    with pytest.raises(Refused):
        introduction_reply(asked(), replace(CLINIC, organization="two\nlines"))


def test_no_array_comes_with_it():
    reply = said()
    reply.content["arrays"] = ArrayRecord({"text": Array(np.zeros(3, np.float32))})
    with pytest.raises(Refused):
        read_introduction(reply)
