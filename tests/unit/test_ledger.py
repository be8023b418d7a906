"""Every kind of what a message can hold is weighed; what an organization's own check refuses stays with it."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedlora_tui.federation import client_app
from fedlora_tui.federation.ledger import weighed
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import (
    ARRAYS,
    CONFIG,
    METRICS,
    NAN_LOSS,
    STAYED,
    AdapterSpec,
    Refused,
    read_train_reply,
    stayed,
)

SPEC = AdapterSpec({"h.lora_A.weight": (2, 3), "h.lora_B.weight": (4, 2)}, 2, 4.0)


def question() -> Message:
    message = LocalGrid(ClientApp()).create_message(RecordDict(), "train", 5, "1")
    message.metadata.__dict__["_message_id"] = "q"
    return message


def reply(**records) -> Message:
    names = {"arrays": ARRAYS, "metrics": METRICS, "config": CONFIG}
    content = RecordDict({names.get(name, name): record for name, record in records.items()})
    return Message(content, reply_to=question())


def test_what_a_reply_holds_is_weighed_by_kind():
    a, b, odd = (Array(np.zeros(shape, np.float32)) for shape in ((2, 3), (4, 2), (9,)))
    arrays = ArrayRecord({"h.lora_A.weight": a, "h.lora_B.weight": b, "diary": odd})
    assert weighed(reply(arrays=arrays, metrics=MetricRecord({"loss": 1.0, "many": [1, 2, 3]}))) == {
        "A": len(a.data),
        "B": len(b.data),
        "other": len(odd.data),
        "numbers": 32,
    }
    assert weighed(reply(more=ArrayRecord({"h.lora_A.weight": a}))) == {"other": len(a.data)}
    assert weighed(reply(config=ConfigRecord({"text": "Zwybrecht"}))) == {"other": 13}
    assert weighed(reply(more=MetricRecord({"x": 1}))) == {"other": 8}
    assert weighed(Message(Error(400, "Überlingsdorf"), reply_to=question())) == {"words": 14}
    assert weighed(Message(Error(400), reply_to=question())) == {}


def test_a_reason_for_staying_is_one_of_a_list_and_no_other_text_comes_in():
    def read(reason: str) -> str:
        with pytest.raises(Refused) as refused:
            read_train_reply(Message(Error(400, reason), reply_to=question()), SPEC)
        return str(refused.value)

    for reason in (STAYED, NAN_LOSS, "nan or infinity in h.lora_B.weight"):
        assert reason in stayed(SPEC)
        assert read(reason) == reason
    assert "quolfinamide" not in read("nan or infinity in quolfinamide")


def test_what_is_not_on_the_list_stays_with_the_organization():
    """The list is asked at both ends, so a codec that lays in more than it may is caught where it leaves."""
    a, b = (Array(np.ones(shape, np.float32)) for shape in ((2, 3), (4, 2)))
    numbers = {"num-examples": 3, "loss": 1.0, "tokens": 5, "steps": 1}
    too_much = {"h.lora_A.weight": a, "h.lora_B.weight": b, "diary": a}
    infinite = {"h.lora_A.weight": a, "h.lora_B.weight": Array(np.full((4, 2), np.inf, np.float32))}
    for arrays, reason in ((too_much, STAYED), (infinite, "nan or infinity in h.lora_B.weight")):
        made = reply(arrays=ArrayRecord(arrays), metrics=MetricRecord(numbers))
        kept = client_app.checked(made, question(), SPEC, frozenset("AB"), None, False)
        assert kept.has_error()
        assert kept.error.reason == reason
    good = reply(arrays=ArrayRecord(dict(list(too_much.items())[:2])), metrics=MetricRecord(numbers))
    assert client_app.checked(good, question(), SPEC, frozenset("AB"), None, False) is good
