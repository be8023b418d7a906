"""Adapter <-> Flower Message, and the check of what may travel.

Only two things may: the adapter's own tensors (exact names, exact shapes, float32, finite) and the named numbers below.
Anything else in a message, an extra tensor, a string, a longer buffer, is refused with its reason.
"""

from __future__ import annotations

import io
import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import SType

from fedlora_tui.lora.adapter import Adapter, from_tensors
from fedlora_tui.lora.cohort import LocalTraining, Measured, Trained

ARRAYS, METRICS, CONFIG = "arrays", "metrics", "config"
"""Flower's own names of the three records, so that Flower's strategies can drive the same apps."""

VERSION = "adapter-version"
BASE_ALONE = -1
"""The version in an evaluate message that asks for the base's own loss, with no adapter."""

TRAIN_METRICS = {"num-examples": int, "loss": float, "tokens": int, "steps": int}
EVALUATE_METRICS = {"num-examples": int, "loss": float}
GONE = "the organization is not here"
"""Why there is no reply from a node that left."""


LARGEST_NUMBER = 2**53
"""No count or loss is larger; a larger integer could carry text. Up to here a float holds every integer."""


class Refused(ValueError):
    """A message that holds what may not travel, or lacks what must."""


@dataclass(frozen=True)
class AdapterSpec:
    """What an adapter on the wire must look like: every tensor's shape by name, rank, alpha, and own alphas."""

    shapes: Mapping[str, tuple[int, int]]
    rank: int
    alpha: float
    alphas: Mapping[str, float] = field(default_factory=dict)


def encode(adapter: Adapter) -> ArrayRecord:
    """Lay an adapter's tensors into Flower's record, in the adapter's own order."""
    named = {name: Array(np.ascontiguousarray(tensor.numpy())) for name, tensor in adapter.tensors().items()}
    return ArrayRecord(OrderedDict(named))


def decode(record: ArrayRecord, spec: AdapterSpec) -> Adapter:
    """Check a record against the spec and read the adapter out of it. Raises Refused."""
    extra, missing = set(record) - set(spec.shapes), set(spec.shapes) - set(record)
    if extra:
        raise Refused(f"{len(extra)} tensors that are no part of the adapter")
    if missing:
        raise Refused(f"{len(missing)} of {len(spec.shapes)} adapter tensors missing, {min(missing)} first")
    tensors = {name: torch.from_numpy(_values(name, record[name], shape)) for name, shape in spec.shapes.items()}
    return from_tensors(tensors, spec.rank, spec.alpha, spec.alphas)


def _values(name: str, array: Array, shape: tuple[int, int]) -> np.ndarray:
    if array.dtype != "float32" or tuple(array.shape) != shape:
        raise Refused(f"{name} is not float32 {list(shape)}")
    header = _header(shape)
    if array.stype != SType.NUMPY or not array.data.startswith(header):
        raise Refused(f"{name} holds something else than the array that it declares")
    if len(array.data) != len(header) + 4 * math.prod(shape):
        raise Refused(f"{name} carries more or fewer bytes than its values")
    values = np.frombuffer(array.data, np.dtype("<f4"), offset=len(header)).reshape(shape).copy()
    if not np.isfinite(values).all():
        raise Refused(f"nan or infinity in {name}")
    return values


def _header(shape: tuple[int, int]) -> bytes:
    """Give what numpy writes before such an array's values: nothing that a message brings is parsed, only compared."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def weight(record: ArrayRecord) -> int:
    """Give the bytes that a record's arrays weigh."""
    return sum(len(array.data) for array in record.values())


def arrays_weight(message: Message) -> int:
    """Give the bytes that all arrays of a message weigh."""
    if not message.has_content():
        return 0
    return sum(weight(record) for record in message.content.array_records.values())


def train_content(plan: LocalTraining, version: int, adapter: ArrayRecord | None) -> RecordDict:
    """Give the content of a train message; the adapter is left out where the organization holds this version."""
    config = ConfigRecord({"server-round": plan.round, VERSION: version})
    for name, value in asdict(plan).items():
        if name != "round":
            config[name.replace("_", "-")] = value
    return _content(config, adapter)


def evaluate_content(round: int, version: int, adapter: ArrayRecord | None) -> RecordDict:
    """Give the content of an evaluate message."""
    return _content(ConfigRecord({"server-round": round, VERSION: version}), adapter)


def _content(config: ConfigRecord, adapter: ArrayRecord | None) -> RecordDict:
    content = RecordDict({CONFIG: config})
    if adapter is not None:
        content[ARRAYS] = adapter
    return content


def read_round(config: ConfigRecord) -> int:
    """Read which round a message belongs to. Raises Refused."""
    return int(_number(config, "server-round", int))


def read_version(config: ConfigRecord) -> int:
    """Read which version of the adapter a message speaks of. Raises Refused."""
    return int(_number(config, VERSION, int))


def read_plan(config: ConfigRecord) -> LocalTraining:
    """Read what the organization has to do. Raises Refused where a setting is missing or no number."""
    values: dict[str, int | float] = {"round": _number(config, "server-round", int)}
    for name, item in LocalTraining.__dataclass_fields__.items():
        if name != "round":
            values[name] = _number(config, name.replace("_", "-"), int if item.type == "int" else float)
    return LocalTraining(**values)  # type: ignore[arg-type]


def _number(config: ConfigRecord | MetricRecord, name: str, kind: type) -> int | float:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and not isinstance(value, int)):
        raise Refused(f"{name} is not a number")
    return int(value) if kind is int else float(value)


def train_reply(message: Message, trained: Trained, examples: int) -> Message:
    """Answer a train message with the adapter and its numbers; `num-examples` is the organization's weight."""
    metrics = MetricRecord(
        {"num-examples": examples, "loss": trained.loss, "tokens": trained.tokens, "steps": trained.steps}
    )
    return Message(RecordDict({ARRAYS: encode(trained.adapter), METRICS: metrics}), reply_to=message)


def evaluate_reply(message: Message, measured: Measured) -> Message:
    """Answer an evaluate message with the hold-out loss and the number of targets it is a mean over."""
    metrics = MetricRecord({"num-examples": measured.tokens, "loss": measured.loss})
    return Message(RecordDict({METRICS: metrics}), reply_to=message)


@dataclass(frozen=True)
class TrainReply:
    """A train reply that passed the check."""

    adapter: Adapter
    examples: int
    loss: float
    tokens: int
    steps: int


def read_train_reply(message: Message, spec: AdapterSpec) -> TrainReply:
    """Check a train reply and read it. Raises Refused."""
    content = _checked_content(message, {ARRAYS, METRICS})
    numbers = _numbers(content[METRICS], TRAIN_METRICS)
    adapter = decode(_record(content, ARRAYS, ArrayRecord), spec)
    return TrainReply(
        adapter, int(numbers["num-examples"]), numbers["loss"], int(numbers["tokens"]), int(numbers["steps"])
    )


@dataclass(frozen=True)
class EvaluateReply:
    """A hold-out loss, a mean over `tokens` targets, that passed the check."""

    loss: float
    tokens: int


def read_evaluate_reply(message: Message) -> EvaluateReply:
    """Check an evaluate reply and read it. Raises Refused."""
    content = _checked_content(message, {METRICS})
    numbers = _numbers(content[METRICS], EVALUATE_METRICS)
    return EvaluateReply(numbers["loss"], int(numbers["num-examples"]))


def _checked_content(message: Message, allowed: set[str]) -> RecordDict:
    if message.has_error():
        raise Refused(f"error {message.error.code}{_kind(message.error.reason or '')}")
    if set(message.content) != allowed:
        raise Refused(f"a reply holds {' and '.join(sorted(allowed))}, this one {len(message.content)} records")
    return message.content


def _kind(reason: str) -> str:
    """Give an error's reason where it is one of our own or one bare name; free text may quote what must not travel."""
    known = reason == GONE or re.fullmatch(r"[A-Z][A-Za-z]{0,39}", reason)
    return f": {reason}" if known else " (its reason stays in the organization's own log)"


def _record(content: RecordDict, name: str, kind: type[ArrayRecord]) -> ArrayRecord:
    record = content[name]
    if not isinstance(record, kind):
        raise Refused(f"{name} is a {type(record).__name__}, not a {kind.__name__}")
    return record


def _numbers(record: object, allowed: Mapping[str, type]) -> dict[str, float]:
    if not isinstance(record, MetricRecord):
        raise Refused(f"{METRICS} is a {type(record).__name__}, not a MetricRecord")
    if set(record) != set(allowed):
        raise Refused(f"numbers are {', '.join(allowed)}; this reply has {len(record)} others or fewer")
    numbers = {name: _number(record, name, kind) for name, kind in allowed.items()}
    for name, value in numbers.items():
        if not 0 <= value <= LARGEST_NUMBER:
            raise Refused(f"{name} is {'nan' if value != value else 'not a number from 0 to 2^53'}")
    return numbers
