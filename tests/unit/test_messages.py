"""What may travel: the adapter's own tensors and the named numbers, bit for bit; all else is refused with a reason."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import asdict

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given
from hypothesis import strategies as st

from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import (
    AdapterSpec,
    Refused,
    Sent,
    arrays_weight,
    decode,
    decode_delta,
    decode_part,
    encode,
    encode_delta,
    evaluate_content,
    evaluate_reply,
    read_evaluate_reply,
    read_plan,
    read_round,
    read_train_reply,
    read_version,
    train_content,
    train_reply,
    weight,
)
from fedlora_tui.lora.adapter import Adapter, Factors
from fedlora_tui.lora.cohort import LocalTraining, Measured, Trained
from fedlora_tui.lora.delta import BaseDelta
from fedlora_tui.lora.resize import first_rows

SPEC = AdapterSpec(
    {"h.lora_A.weight": (2, 5), "h.lora_B.weight": (7, 2), "g.lora_A.weight": (2, 3), "g.lora_B.weight": (4, 2)}, 2, 4.0
)
FIRST = "h.lora_A.weight"
PLANTED = "the patient is called marmalade"


def adapter(seed=0):
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(*shape, generator=generator) for name, shape in SPEC.shapes.items()}
    return Adapter({m: Factors(tensors[f"{m}.lora_A.weight"], tensors[f"{m}.lora_B.weight"]) for m in "hg"}, 2, 4.0)


def question():
    """A numbered train message, as the grid sends it."""
    grid = LocalGrid(ClientApp())
    message = grid.create_message(RecordDict(), "train", 5, "1")
    message.metadata.__dict__["_message_id"] = "q"
    return message


def answered(arrays=None, metrics=None, **more):
    numbers = {"num-examples": 40, "loss": 2.5, "tokens": 30, "steps": 3} if metrics is None else metrics
    content = RecordDict({"arrays": encode(adapter()) if arrays is None else arrays, "metrics": MetricRecord(numbers)})
    for name, record in more.items():
        content[name] = record
    return Message(content, reply_to=question())


def refusal(message, read=lambda message: read_train_reply(message, SPEC)):
    with pytest.raises(Refused) as refused:
        read(message)
    assert str(refused.value)
    assert "\n" not in str(refused.value)
    assert "marmalade" not in str(refused.value)
    return str(refused.value)


def with_tensor(array, name=FIRST):
    record = encode(adapter())
    record[name] = array
    return answered(record)


def same(one, other):
    ours, theirs = one.tensors(), other.tensors()
    assert list(ours) == list(theirs)
    return all(ours[name].numpy().tobytes() == theirs[name].numpy().tobytes() for name in ours)


# --- what is right passes, bit for bit


def test_a_right_reply_is_read_as_it_was_sent():
    reply = read_train_reply(answered(), SPEC)
    assert same(reply.adapter, adapter())
    assert (reply.examples, reply.loss, reply.tokens, reply.steps) == (40, 2.5, 30, 3)
    assert (reply.adapter.rank, reply.adapter.alpha) == (2, 4.0)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=10, max_size=10))
def test_every_finite_float32_travels_bit_for_bit(values):
    tensor = torch.tensor(values, dtype=torch.float32).reshape(2, 5)
    sent = adapter()
    sent = Adapter({**sent.factors, "h": Factors(tensor, sent.factors["h"].b)}, 2, 4.0)
    assert same(decode(encode(sent), SPEC), sent)


def test_a_transposed_tensor_travels_by_its_values():
    sent = adapter()
    turned = Adapter({**sent.factors, "h": Factors(sent.factors["h"].a.T.contiguous().T, sent.factors["h"].b)}, 2, 4.0)
    assert not turned.factors["h"].a.is_contiguous()
    assert same(decode(encode(turned), SPEC), sent)


def test_what_is_decoded_can_be_changed_without_changing_the_message():
    record = encode(adapter())
    decode(record, SPEC).factors["h"].a.zero_()
    assert same(decode(record, SPEC), adapter())


def test_the_adapter_survives_flowers_own_wire_format():
    from flwr.common.serde import message_from_proto, message_to_proto

    message = answered()
    message.metadata.__dict__["_message_id"] = "r"
    assert same(read_train_reply(message_from_proto(message_to_proto(message)), SPEC).adapter, adapter())


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("shape", [(2, 5), (1, 7), (7, 1), (0, 3)])
def test_an_array_is_to_the_byte_what_flower_makes_of_it(kind, shape):
    drawn = [torch.randn(*shape).to(kind), torch.randn(*shape[::-1]).to(kind).T]
    for tensor in drawn:
        found = encode(Adapter({"h": Factors(tensor, tensor)}, 2, 4.0))["h.lora_A.weight"]
        assert found == Array(np.ascontiguousarray(tensor.numpy()))
        assert type(found.data) is bytes


def test_two_arrays_of_one_shape_hold_each_its_own():
    first, second = encode(adapter(0)), encode(adapter(1))
    assert first[FIRST].data != second[FIRST].data
    assert first[FIRST].object_id != second[FIRST].object_id


def test_weight_is_what_the_arrays_weigh():
    record = encode(adapter())
    assert weight(record) == sum(len(array.data) for array in record.values())
    assert 4 * adapter().parameters < weight(record) <= 4 * adapter().parameters + 4 * 128
    assert arrays_weight(answered()) == weight(record)
    assert arrays_weight(Message(Error(2, "X"), reply_to=question())) == 0
    assert arrays_weight(Message(evaluate_content(1, Sent(1, 2, held=1)), 5, "evaluate")) == 0


PLAN = LocalTraining(
    round=3, seed=2**62, local_steps=8, local_epochs=0, batch_size=4, learning_rate=1e-3, clip_norm=0.5, dropout=0.1
)


def test_a_plan_travels_whole():
    content = train_content(PLAN, Sent(2, 2, adapter=encode(adapter())))
    assert read_plan(content["config"]) == PLAN
    assert read_version(content["config"]) == 2
    assert read_round(content["config"]) == 3
    assert same(decode(content["arrays"], SPEC), adapter())
    assert "arrays" not in train_content(PLAN, Sent(2, 2, held=2))
    settings_of_plan = {name.replace("_", "-") for name in asdict(PLAN)} - {"round"}
    numbers = {"adapter-version", "held-version", "rank", "delta-whole", "server-round"}
    assert set(content["config"]) == numbers | settings_of_plan


def test_factors_that_do_not_travel_are_those_that_both_ends_have():
    sent, trained = adapter(0), adapter(1)
    for factor in "AB":
        part = encode(trained, {factor})
        assert set(part) == {name for name in SPEC.shapes if f"lora_{factor}" in name}
        whole = decode_part(part, SPEC, {factor}, sent).tensors()
        for name, tensor in whole.items():
            assert torch.equal(tensor, (trained if name in part else sent).tensors()[name])
        with pytest.raises(Refused, match="tensors that are no part of the adapter"):
            decode_part(encode(trained), SPEC, {factor}, sent)
        with pytest.raises(Refused, match="missing"):
            decode(part, SPEC)


def test_what_joins_the_base_travels_whole_and_nothing_else_does_in_its_place():
    generator = torch.Generator().manual_seed(3)
    factors = {"h": Factors(torch.randn(6, 5, generator=generator), torch.randn(7, 6, generator=generator))}
    record = encode_delta(BaseDelta(factors))
    read = decode_delta(record, SPEC).factors
    assert list(read) == ["h"]
    assert torch.equal(read["h"].a, factors["h"].a)
    assert torch.equal(read["h"].b, factors["h"].b)
    wrong = {
        "another module": {"x.delta_A.weight": record["h.delta_A.weight"]},
        "half of a product": {"h.delta_A.weight": record["h.delta_A.weight"]},
        "factors of unequal rank": {**record, "h.delta_A.weight": Array(np.zeros((3, 5), np.float32))},
        "another width": {**record, "h.delta_A.weight": Array(np.zeros((6, 4), np.float32))},
        "not finite": {**record, "h.delta_A.weight": Array(np.full((6, 5), np.nan, np.float32))},
        "no rank": {**record, "h.delta_A.weight": Array(np.zeros((0, 5), np.float32))},
        "no matrix": {**record, "h.delta_A.weight": Array(np.zeros(5, np.float32))},
    }
    for arrays in wrong.values():
        with pytest.raises(Refused):
            decode_delta(ArrayRecord(OrderedDict(arrays)), SPEC)


def test_a_spec_at_another_rank_is_that_of_an_adapter_whose_scale_stays():
    narrow = SPEC.at(1)
    assert narrow.shapes == {
        name: (1, columns) if "lora_A" in name else (rows, 1) for name, (rows, columns) in SPEC.shapes.items()
    }
    assert narrow.alpha / narrow.rank == SPEC.alpha / SPEC.rank
    assert same(decode(encode(first_rows(adapter(), 1)), narrow), first_rows(adapter(), 1))


@pytest.mark.parametrize("name", ["server-round", "seed", "learning-rate", "batch-size"])
@pytest.mark.parametrize("value", ["8", None, [1, 2], True, b"8"])
def test_a_plan_with_a_setting_that_is_no_number_is_refused(name, value):
    config = train_content(PLAN, Sent(2, 2, held=2))["config"]
    if value is None:
        del config[name]
    else:
        config[name] = value
    with pytest.raises(Refused, match=name):
        read_plan(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch-size", 0), ("batch-size", -1), ("local-steps", -1), ("local-epochs", -2), ("own-rank", -1)],
)
def test_a_plan_below_its_least_is_refused(name, value):
    config = train_content(PLAN, Sent(2, 2, held=2))["config"]
    config[name] = value
    with pytest.raises(Refused, match="a plan has batches of one row at least"):
        read_plan(config)


# --- tensors


def test_an_extra_tensor_is_refused():
    assert "1 tensors that are no part" in refusal(with_tensor(Array(np.zeros((2, 2), np.float32)), "marmalade"))


def test_base_weights_are_refused():
    record = encode(adapter())
    record["h.weight"] = Array(np.zeros((7, 5), np.float32))
    refusal(answered(record))
    refusal(answered(ArrayRecord(OrderedDict({"h.weight": Array(np.zeros((7, 5), np.float32))}))))


def test_a_missing_tensor_is_refused():
    record = encode(adapter())
    del record[FIRST]
    assert FIRST in refusal(answered(record))
    refusal(answered(ArrayRecord()))


@pytest.mark.parametrize("shape", [(5, 2), (2, 6), (10,), (2, 5, 1), (1, 2, 5), (), (2, 0)])
def test_a_wrong_shape_is_refused(shape):
    refusal(with_tensor(Array(np.zeros(shape, np.float32))))


def test_an_adapter_of_rank_one_that_would_broadcast_is_refused():
    record = ArrayRecord(
        OrderedDict(
            (name, Array(np.ones(tuple(1 if n == 2 else n for n in shape), np.float32)))
            for name, shape in SPEC.shapes.items()
        )
    )
    refusal(answered(record))


@pytest.mark.parametrize("kind", ["float64", "float16", "int32", "int64", ">f4", "complex64", "bool", "U8", "S4"])
def test_another_number_format_is_refused(kind):
    refusal(with_tensor(Array(np.zeros((2, 5), kind))))


@pytest.mark.parametrize("kind", ["float64", "float16", "int32", ">f4", "U1"])
def test_another_number_format_that_claims_to_be_float32_is_refused(kind):
    data = Array(np.zeros((2, 5), kind)).data
    refusal(with_tensor(Array(dtype="float32", shape=(2, 5), stype="numpy.ndarray", data=data)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", SPEC.shapes)
def test_what_is_not_finite_is_refused(value, name):
    array = np.zeros(SPEC.shapes[name], np.float32)
    array.flat[-1] = value
    assert name in refusal(with_tensor(Array(array), name))


# --- smuggling


def raw(data, shape=(2, 5), stype="numpy.ndarray", dtype="float32"):
    return with_tensor(Array(dtype=dtype, shape=shape, stype=stype, data=data))


def npy(values, header=None):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue() if header is None else header + values.tobytes()


VALUES = np.zeros((2, 5), np.float32)


def own_header(text, version=1):
    """An npy header of our own making around `text`."""
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text


DESCRIBED = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 5), }"


def test_what_numpy_itself_writes_passes():
    read_train_reply(raw(npy(VALUES)), SPEC)


@pytest.mark.parametrize(
    "data",
    [
        npy(VALUES) + PLANTED.encode(),
        npy(VALUES) + b"\0",
        npy(VALUES)[:-1],
        npy(VALUES)[:-4],
        npy(VALUES)[:40],
        b"",
        PLANTED.encode(),
        b"\x93NUMPY",
        # The text in the header's padding, in a comment of it, in a longer header, in one of another version.
        npy(VALUES, own_header(DESCRIBED + PLANTED.encode().ljust(58) + b"\n")),
        npy(VALUES, own_header(DESCRIBED + b" # " + PLANTED.encode().ljust(55) + b"\n")),
        npy(VALUES, own_header(DESCRIBED + b" " * 500 + b"\n")),
        npy(VALUES, own_header(DESCRIBED + b" " * 58 + b"\n", version=2)),
        npy(VALUES, own_header(DESCRIBED.replace(b"False", b"True ") + b" " * 58 + b"\n")),
        # A header that asks for more memory than there is, and one that is no literal.
        npy(VALUES, own_header(DESCRIBED.replace(b"(2, 5)", b"(1000000000000, 5)") + b" " * 47 + b"\n")),
        npy(VALUES, own_header(DESCRIBED.replace(b"(2, 5)", b"(-2, -5)") + b" " * 56 + b"\n")),
        npy(VALUES, own_header(b"(" * 200)),
        npy(VALUES, own_header(b"__import__('os')" + b" " * 100)),
        b"PK\x03\x04 no archive at all",
        pickle.dumps(VALUES),
        pickle.dumps(PLANTED),
    ],
)
def test_bytes_that_are_not_exactly_the_array_are_refused(data):
    refusal(raw(data))


def test_an_archive_of_arrays_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", npy(VALUES))
    refusal(raw(buffer.getvalue()))


def test_objects_are_refused_and_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    buffer = io.BytesIO()
    np.save(buffer, np.array([[Bomb()] * 5] * 2, dtype=object), allow_pickle=True)
    refusal(raw(buffer.getvalue()))
    refusal(raw(pickle.dumps(Bomb())))
    assert not (tmp_path / "made").exists()


def test_text_in_an_arrays_own_labels_is_refused():
    refusal(raw(npy(VALUES), stype=PLANTED))
    refusal(raw(npy(VALUES), stype=""))
    refusal(raw(npy(VALUES), dtype=PLANTED))
    refusal(raw(npy(VALUES), shape=(10,)))


@given(st.binary(max_size=300))
def test_no_bytes_make_the_check_raise_anything_else(data):
    with pytest.raises(Refused):
        read_train_reply(raw(data), SPEC)


@given(st.integers(0, 167), st.integers(1, 255))
def test_every_changed_byte_is_refused_or_changes_a_value_alone(place, change):
    data = bytearray(npy(VALUES))
    assert len(data) == 168
    data[place] ^= change
    if place < 128:
        refusal(raw(bytes(data)))
    elif not np.isfinite(np.frombuffer(data[128:], np.float32)).all():
        assert "nan or infinity" in refusal(raw(bytes(data)))
    else:
        values = read_train_reply(raw(bytes(data)), SPEC).adapter.factors["h"].a.numpy()
        assert values.tobytes() == bytes(data[128:])


# --- records and numbers


def test_text_in_a_config_record_is_refused():
    refusal(answered(config=ConfigRecord({"note": PLANTED})))
    content = RecordDict({"arrays": encode(adapter()), "metrics": ConfigRecord({"loss": PLANTED})})
    refusal(Message(content, reply_to=question()))
    content = RecordDict({"arrays": ConfigRecord({"a": PLANTED}), "metrics": answered().content["metrics"]})
    refusal(Message(content, reply_to=question()))
    renamed = RecordDict({"arrays": encode(adapter()), PLANTED: answered().content["metrics"]})
    refusal(Message(renamed, reply_to=question()))


def test_a_second_record_of_arrays_or_numbers_and_an_empty_reply_are_refused():
    refusal(answered(more=encode(adapter())))
    refusal(answered(more=MetricRecord({"loss": 1.0})))
    refusal(Message(RecordDict(), reply_to=question()))
    refusal(Message(RecordDict({"metrics": answered().content["metrics"]}), reply_to=question()))


RIGHT = {"num-examples": 40, "loss": 2.5, "tokens": 30, "steps": 3}


@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {**RIGHT, "marmalade": 1.0},
        {name: value for name, value in RIGHT.items() if name != "loss"},
        {**RIGHT, "loss": float("nan")},
        {**RIGHT, "loss": float("inf")},
        {**RIGHT, "loss": [2.5, 2.5]},
        {**RIGHT, "tokens": [1, 2, 3, 4, 5, 6, 7, 8]},
        {**RIGHT, "num-examples": -1},
        {**RIGHT, "tokens": -30},
        {**RIGHT, "steps": -3},
        {**RIGHT, "num-examples": 1.5},
        {**RIGHT, "steps": 3.0},
    ],
)
def test_numbers_that_are_not_the_named_ones_are_refused(numbers):
    refusal(answered(metrics=numbers))


@given(st.dictionaries(st.sampled_from([*RIGHT, "more"]), st.integers(-5, 5) | st.floats() | st.lists(st.floats())))
def test_no_numbers_make_the_check_raise_anything_else(numbers):
    try:
        reply = read_train_reply(answered(metrics=numbers), SPEC)
    except Refused:
        return
    assert set(numbers) == set(RIGHT)
    assert reply.examples == numbers["num-examples"] >= 0


def test_an_error_reply_is_refused_by_its_kind_and_its_free_text_stays_out():
    assert refusal(Message(Error(2, "OutOfMemoryError"), reply_to=question())) == "error 2: OutOfMemoryError"
    gone = Message(Error(5, "the organization is not here"), reply_to=question())
    assert refusal(gone) == "error 5: the organization is not here"
    for reason in (PLANTED, f"ValueError: {PLANTED}", "ValueError\n" + PLANTED, None, ""):
        assert refusal(Message(Error(2, reason), reply_to=question())).startswith("error 2 (")


# --- hold-out replies


def test_a_measured_loss_travels():
    reply = read_evaluate_reply(evaluate_reply(question(), Measured("a", 2.25, 400)))
    assert (reply.loss, reply.tokens) == (2.25, 400)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"metrics": MetricRecord({"num-examples": 1, "loss": float("nan")})},
        {"metrics": MetricRecord({"num-examples": -1, "loss": 1.0})},
        {"metrics": MetricRecord({"num-examples": 1, "loss": 1.0, "marmalade": 1})},
        {"metrics": MetricRecord({"num-examples": 1, "loss": 1.0}), "arrays": encode(adapter())},
        {"metrics": MetricRecord({"num-examples": 1, "loss": 1.0}), "config": ConfigRecord({"x": PLANTED})},
        {"metrics": ConfigRecord({"num-examples": 1, "loss": PLANTED})},
    ],
)
def test_a_hold_out_reply_holds_its_two_numbers_and_nothing_else(content):
    refusal(Message(RecordDict(content), reply_to=question()), read_evaluate_reply)


def test_what_the_organizations_side_writes_is_what_the_server_reads():
    trained = Trained("a", adapter(3), 1.75, 60, 5)
    reply = read_train_reply(train_reply(question(), trained, 99), SPEC)
    assert same(reply.adapter, adapter(3))
    assert (reply.examples, reply.loss, reply.tokens, reply.steps) == (99, 1.75, 60, 5)
