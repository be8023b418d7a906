"""Adapter <-> Flower Message, and the check of what may travel.

Only two things may: the adapter's own tensors (exact names, exact shapes, float32, finite) and the named numbers below.
Anything else in a message, an extra tensor, a string, a longer buffer, is refused with its reason.
"""

from __future__ import annotations

import io
import math
import re
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from functools import lru_cache

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode, SType

from fedlora_tui.config import LoraConfig
from fedlora_tui.lora.adapter import (
    A_SUFFIX,
    B_SUFFIX,
    BOTH,
    Adapter,
    Factors,
    TargetModule,
    alpha_at,
    from_tensors,
    is_one_of,
    own_alphas,
    own_ranked,
    shapes,
)
from fedlora_tui.lora.cohort import LocalTraining, Measured, Trained
from fedlora_tui.lora.delta import BaseDelta
from fedlora_tui.node_policy import is_reason

ARRAYS, METRICS, CONFIG = "arrays", "metrics", "config"
"""Flower's own names of the three records, so that Flower's strategies can drive the same apps."""

DELTA = "base-delta"
"""The record of what joins the base: factors by module, of a rank of their own."""

SECURE = "secure-sum"
"""The record of what a secure sum needs besides: keys and sealed shares, and whose they are."""

DELTA_A, DELTA_B = ".delta_A.weight", ".delta_B.weight"

VERSION = "adapter-version"
HELD_VERSION, RANK, DELTA_WHOLE = "held-version", "rank", "delta-whole"
"""Which version the message builds on, the adapter's rank, and 1 where the whole of what joined the base came."""

NOTHING = -2
"""The held version of an organization that is sent everything."""
BASE_ALONE = -1
"""The version in an evaluate message that asks for the base's own loss, with no adapter."""

TRAIN_METRICS = {"num-examples": int, "loss": float, "tokens": int, "steps": int}
EVALUATE_METRICS = {"num-examples": int, "loss": float}
GONE = "the organization is not here"
"""Why there is no reply from a node that left."""
BUSY = "it still works on what an earlier round asked of it"
"""Why a node was not asked to measure: its answer would be waited for until it has done that."""
NOT_HELD = "NotHeld"
"""The reason of an organization that does not hold what a message builds on: its process was started anew."""
STRANGER = "the reply is another node's"

FLOWERS_OWN: Mapping[int, str] = {
    ErrorCode.LOAD_CLIENT_APP_EXCEPTION: "its SuperNode could not load the app: is fedlora-tui installed there",
    ErrorCode.MESSAGE_UNAVAILABLE: "the message was lost on its way",
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE: "its reply was lost on its way",
    ErrorCode.NODE_UNAVAILABLE: "its SuperNode is gone",
    ErrorCode.INVALID_FAB: "its SuperNode does not trust the app",
    ErrorCode.CLIENT_APP_CRASHED: "its process ended before it had answered",
}
"""What is said of errors that Flower gives by itself, whatever reason it gives with them."""

NOT_FINITE, NAN_LOSS = "nan or infinity in ", "loss is nan"
"""What is said of tensors and losses that are no numbers."""


LARGEST_NUMBER = 2**53
"""No count or loss is larger; a larger integer could carry text. Up to here a float holds every integer."""


MOST_RANK, MOST_DELTA_RANK = 1024, 2**20


class Refused(ValueError):
    """A message that holds what may not travel, or lacks what must."""


@dataclass(frozen=True)
class AdapterSpec:
    """What an adapter on the wire must look like: every tensor's shape by name, rank, alpha, and own alphas.

    `own_ranked` are modules of a rank of their own, which may happen to be the adapter's.
    """

    shapes: Mapping[str, tuple[int, int]]
    rank: int
    alpha: float
    alphas: Mapping[str, float] = field(default_factory=dict)
    own_ranked: frozenset[str] = frozenset()

    def at(self, rank: int) -> AdapterSpec:
        """Give the same at another rank: alpha moves with it, and modules of a rank of their own keep both."""
        if rank == self.rank:
            return self
        shapes = dict(self.shapes)
        alphas = {**dict.fromkeys(self.own_ranked, self.alpha), **self.alphas}
        for name, (_, columns) in self.shapes.items():
            module = name.removesuffix(A_SUFFIX)
            if name.endswith(A_SUFFIX) and module not in self.own_ranked:
                shapes[name], shapes[module + B_SUFFIX] = (rank, columns), (self.shapes[module + B_SUFFIX][0], rank)
                if module in alphas:
                    alphas[module] = alpha_at(alphas[module], self.rank, rank)
        return AdapterSpec(shapes, rank, alpha_at(self.alpha, self.rank, rank), alphas, self.own_ranked)


def spec_of(lora: LoraConfig, targets: Sequence[TargetModule]) -> AdapterSpec:
    """Give what an adapter of these modules must look like at the rank of all."""
    rank = lora.default_rank
    return AdapterSpec(shapes(targets, rank), rank, lora.alpha, own_alphas(targets), own_ranked(targets))


def encode(adapter: Adapter, factors: Collection[str] = BOTH) -> ArrayRecord:
    """Lay an adapter's tensors, or those of some of its factors, into Flower's record, in the adapter's own order."""
    named = {name: _array(tensor) for name, tensor in adapter.tensors().items() if is_one_of(name, factors)}
    return ArrayRecord(OrderedDict(named))


def _array(tensor: torch.Tensor) -> Array:
    """Lay a tensor into Flower's array as Flower itself does, to the same bytes, but without numpy's file object."""
    values = np.ascontiguousarray(tensor.numpy())
    array = copy(_empty(values.shape, values.dtype))
    array.data = b"".join((array_header(values.shape, values.dtype.str), values.data))
    return array


@lru_cache(maxsize=1024)
def _empty(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Give an array of no bytes yet: to copy one is quicker than to make one, and a round has hundreds."""
    return Array(str(dtype), shape, SType.NUMPY, b"")


def decode(record: ArrayRecord, spec: AdapterSpec) -> Adapter:
    """Check a record against the spec and read the adapter out of it. Raises Refused."""
    return from_tensors(_tensors(record, spec.shapes), spec.rank, spec.alpha, spec.alphas)


def decode_part(record: ArrayRecord, spec: AdapterSpec, factors: Collection[str], rest: Adapter) -> Adapter:
    """Read an adapter of which some factors came, and the others are those of `rest`. Raises Refused."""
    wanted = {name: shape for name, shape in spec.shapes.items() if is_one_of(name, factors)}
    came, kept = _tensors(record, wanted), rest.tensors()
    tensors = {name: came[name] if name in came else kept[name] for name in spec.shapes}
    return from_tensors(tensors, spec.rank, spec.alpha, spec.alphas)


def _tensors(record: ArrayRecord, shapes: Mapping[str, tuple[int, int]]) -> dict[str, torch.Tensor]:
    """Read exactly the tensors of these names and shapes. Raises Refused."""
    extra, missing = set(record) - set(shapes), set(shapes) - set(record)
    if extra:
        raise Refused(f"{len(extra)} tensors that are no part of the adapter")
    if missing:
        raise Refused(f"{len(missing)} of {len(shapes)} adapter tensors missing, {min(missing)} first")
    return {name: torch.from_numpy(_values(name, record[name], shape)) for name, shape in shapes.items()}


def encode_delta(delta: BaseDelta) -> ArrayRecord:
    """Lay what joins the base into Flower's record."""
    named = OrderedDict()
    for module, own in delta.factors.items():
        named[module + DELTA_A], named[module + DELTA_B] = _array(own.a), _array(own.b)
    return ArrayRecord(named)


def decode_delta(record: ArrayRecord, spec: AdapterSpec) -> BaseDelta:
    """Check factors that join the base against the modules of the spec and read them. Raises Refused.

    Every module may have a rank of its own, as long as both factors have it.
    """
    modules = [name.removesuffix(A_SUFFIX) for name in spec.shapes if name.endswith(A_SUFFIX)]
    present = [module for module in modules if module + DELTA_A in record]
    shapes: dict[str, tuple[int, int]] = {}
    for module in present:
        rank = _rank(record[module + DELTA_A])
        shapes[module + DELTA_A] = rank, spec.shapes[module + A_SUFFIX][1]
        shapes[module + DELTA_B] = spec.shapes[module + B_SUFFIX][0], rank
    tensors = _tensors(record, shapes)
    return BaseDelta({module: Factors(tensors[module + DELTA_A], tensors[module + DELTA_B]) for module in present})


def _rank(array: Array) -> int:
    if len(array.shape) != 2 or not 0 < array.shape[0] <= MOST_DELTA_RANK:
        raise Refused(f"what joins the base has a rank from 1 to {MOST_DELTA_RANK:,}")
    return int(array.shape[0])


def _values(name: str, array: Array, shape: tuple[int, int]) -> np.ndarray:
    if array.dtype != "float32" or tuple(array.shape) != shape:
        raise Refused(f"{name} is not float32 {list(shape)}")
    header = array_header(shape)
    if array.stype != SType.NUMPY or not array.data.startswith(header):
        raise Refused(f"{name} holds something else than the array that it declares")
    if len(array.data) != len(header) + 4 * math.prod(shape):
        raise Refused(f"{name} carries more or fewer bytes than its values")
    values = np.frombuffer(array.data, np.dtype("<f4"), offset=len(header)).reshape(shape).copy()
    if not np.isfinite(values).all():
        raise Refused(f"{NOT_FINITE}{name}")
    return values


@lru_cache(maxsize=1024)
def array_header(shape: tuple[int, ...], format: str = "<f4") -> bytes:
    """Give what numpy writes before such an array's values: nothing that a message brings is parsed, only compared."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": format, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def weight(record: ArrayRecord) -> int:
    """Give the bytes that a record's arrays weigh."""
    return sum(len(array.data) for array in record.values())


def arrays_weight(message: Message) -> int:
    """Give the bytes that all arrays of a message weigh, and what it holds for a secure sum."""
    if not message.has_content():
        return 0
    arrays = sum(weight(record) for record in message.content.array_records.values())
    return arrays + secure_weight(message.content.config_records.get(SECURE, {}))


def secure_weight(record: Mapping[str, object]) -> int:
    """Give the bytes of keys and shares, and 8 for each number of a list."""
    return sum(
        len(value) * (8 if isinstance(value, list) else 1)
        for value in record.values()
        if isinstance(value, bytes | list)
    )


def counted(message: Message) -> tuple[int, int]:
    """Give how many tensors and how many numbers a message holds."""
    content = message.content
    records = content.array_records.values(), content.metric_records.values()
    return sum(len(record) for record in records[0]), sum(len(record) for record in records[1])


@dataclass(frozen=True)
class Sent:
    """What a message brings of the global model: its version and rank, and the parts that the organization lacks.

    `held` is the version that the parts are added to, `NOTHING` where they are the whole. `adapter` has the factors
    that changed since, `delta` what joined the base since (all of it where `delta_whole`); None: nothing.
    """

    version: int
    rank: int
    held: int = NOTHING
    adapter: ArrayRecord | None = None
    delta: ArrayRecord | None = None
    delta_whole: bool = False


def train_content(plan: LocalTraining, sent: Sent) -> RecordDict:
    """Give the content of a train message."""
    config = ConfigRecord({"server-round": plan.round})
    for name, value in asdict(plan).items():
        if name != "round":
            config[name.replace("_", "-")] = value
    return _content(config, sent)


def evaluate_content(round: int, sent: Sent) -> RecordDict:
    """Give the content of an evaluate message."""
    return _content(ConfigRecord({"server-round": round}), sent)


def base_content(round: int) -> RecordDict:
    """Give the content of an evaluate message that asks for the base's own loss."""
    return RecordDict({CONFIG: ConfigRecord({"server-round": round, VERSION: BASE_ALONE})})


def _content(config: ConfigRecord, sent: Sent) -> RecordDict:
    numbers = {VERSION: sent.version, HELD_VERSION: sent.held, RANK: sent.rank, DELTA_WHOLE: int(sent.delta_whole)}
    for name, value in numbers.items():
        config[name] = value
    content = RecordDict({CONFIG: config})
    if sent.adapter is not None:
        content[ARRAYS] = sent.adapter
    if sent.delta is not None:
        content[DELTA] = sent.delta
    return content


def read_sent(message: Message) -> Sent:
    """Read what a message brings of the global model; its arrays are not looked into yet. Raises Refused."""
    config = read_config(message)
    allowed = {CONFIG, ARRAYS, DELTA, *((SECURE,) if message.metadata.message_type == MessageType.TRAIN else ())}
    extra = set(message.content) - allowed
    if extra:
        raise Refused(f"{len(extra)} records that are no part of a message")
    rank = int(_number(config, RANK, int))
    if not 0 < rank <= MOST_RANK:
        raise Refused(f"a rank is from 1 to {MOST_RANK:,}")
    arrays = {name: _record(message.content, name, ArrayRecord) for name in (ARRAYS, DELTA) if name in message.content}
    return Sent(
        version=read_version(config),
        rank=rank,
        held=int(_number(config, HELD_VERSION, int)),
        adapter=arrays.get(ARRAYS),
        delta=arrays.get(DELTA),
        delta_whole=bool(_number(config, DELTA_WHOLE, int)),
    )


def read_config(message: Message) -> ConfigRecord:
    """Give a message's numbers. Raises Refused."""
    config = message.content.get(CONFIG)
    if not isinstance(config, ConfigRecord):
        raise Refused("the message has no config")
    return config


def read_round(config: ConfigRecord) -> int:
    """Read which round a message belongs to. Raises Refused."""
    return int(_number(config, "server-round", int))


def read_version(config: ConfigRecord) -> int:
    """Read which version of the adapter a message speaks of. Raises Refused."""
    return int(_number(config, VERSION, int))


def read_plan(config: ConfigRecord) -> LocalTraining:
    """Read what the organization has to do. Raises Refused where a setting is missing, no number or below its least."""
    values: dict[str, int | float] = {"round": _number(config, "server-round", int)}
    for name, item in LocalTraining.__dataclass_fields__.items():
        if name != "round":
            values[name] = _number(config, name.replace("_", "-"), int if item.type == "int" else float)
    if values["batch_size"] < 1 or min(values[name] for name in ("local_steps", "local_epochs", "own_rank")) < 0:
        # A batch of less than one row would never make a step, and a rank below zero is one that no policy sees.
        raise Refused("a plan has batches of one row at least, and no steps, passes or rank below zero")
    return LocalTraining(**values)  # type: ignore[arg-type]


def _number(config: ConfigRecord | MetricRecord, name: str, kind: type) -> int | float:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and not isinstance(value, int)):
        raise Refused(f"{name} is not a number")
    return int(value) if kind is int else float(value)


def train_reply(
    message: Message, trained: Trained, examples: int, sends: Collection[str] = BOTH, withheld: bool = False
) -> Message:
    """Answer a train message with the adapter, or those of its factors that travel, and its numbers.

    `num-examples` is the organization's weight; the loss is not among them where it is `withheld`.
    """
    numbers = {"num-examples": examples, "loss": trained.loss, "tokens": trained.tokens, "steps": trained.steps}
    metrics = MetricRecord({name: number for name, number in numbers.items() if not (withheld and name == "loss")})
    return Message(RecordDict({ARRAYS: encode(trained.adapter, sends), METRICS: metrics}), reply_to=message)


def evaluate_reply(message: Message, measured: Measured) -> Message:
    """Answer an evaluate message with the hold-out loss and the number of targets it is a mean over."""
    metrics = MetricRecord({"num-examples": measured.tokens, "loss": measured.loss})
    return Message(RecordDict({METRICS: metrics}), reply_to=message)


@dataclass(frozen=True)
class TrainReply:
    """A train reply that passed the check; its loss is None where it was withheld."""

    adapter: Adapter
    examples: int
    loss: float | None
    tokens: int
    steps: int


@dataclass(frozen=True)
class TakenReply:
    """What is left of a train reply whose adapter was taken in as soon as it was read, and let go of."""

    examples: int
    loss: float | None
    tokens: int
    steps: int


def read_train_reply(
    message: Message,
    spec: AdapterSpec,
    sends: Collection[str] = BOTH,
    rest: Adapter | None = None,
    withheld: bool = False,
) -> TrainReply:
    """Check a train reply and read it; factors that do not travel are those of `rest`. Raises Refused.

    Where losses are `withheld`, one that comes all the same is refused.
    """
    if message.has_error() and message.error.reason in stayed(spec):
        raise Refused(message.error.reason)
    content = checked_content(message, {ARRAYS, METRICS})
    allowed = {name: kind for name, kind in TRAIN_METRICS.items() if not (withheld and name == "loss")}
    numbers = read_numbers(content[METRICS], allowed)
    record = _record(content, ARRAYS, ArrayRecord)
    adapter = decode(record, spec) if rest is None else decode_part(record, spec, sends, rest)
    return TrainReply(
        adapter, int(numbers["num-examples"]), numbers.get("loss"), int(numbers["tokens"]), int(numbers["steps"])
    )


STAYED = "what it made may not travel, and stayed with it"
"""Why there is no reply of an organization whose own check refused it, where that is not said more closely."""


def stayed(spec: AdapterSpec) -> frozenset[str]:
    """Give all reasons that an organization may give for a reply that stayed with it: a list, so no text fits in."""
    return frozenset((STAYED, NAN_LOSS, *(f"{NOT_FINITE}{name}" for name in spec.shapes)))


@dataclass(frozen=True)
class EvaluateReply:
    """A hold-out loss, a mean over `tokens` targets, that passed the check."""

    loss: float
    tokens: int


def read_evaluate_reply(message: Message) -> EvaluateReply:
    """Check an evaluate reply and read it. Raises Refused."""
    content = checked_content(message, {METRICS})
    numbers = read_numbers(content[METRICS], EVALUATE_METRICS)
    return EvaluateReply(numbers["loss"], int(numbers["num-examples"]))


def checked_content(message: Message, allowed: set[str]) -> RecordDict:
    """Give a reply's content where it holds these records and no others. Raises Refused."""
    if message.has_error():
        raise Refused(_said(message.error.code, message.error.reason or ""))
    if set(message.content) != allowed:
        raise Refused(f"a reply holds {' and '.join(sorted(allowed))}, this one {len(message.content)} records")
    return message.content


def _said(code: int, reason: str) -> str:
    """Give an error's reason where it is one of our own or one bare name; free text may quote what must not travel."""
    if is_reason(reason) or reason == BUSY:
        return reason
    if reason in (GONE, STRANGER) or re.fullmatch(r"[A-Z][A-Za-z]{0,39}", reason):
        return f"error {code}: {reason}"
    return FLOWERS_OWN.get(code, f"error {code} (its reason stays in the organization's own log)")


def _record(content: RecordDict, name: str, kind: type[ArrayRecord]) -> ArrayRecord:
    record = content[name]
    if not isinstance(record, kind):
        raise Refused(f"{name} is a {type(record).__name__}, not a {kind.__name__}")
    return record


def read_numbers(record: object, allowed: Mapping[str, type]) -> dict[str, float]:
    """Read exactly the numbers of these names and kinds. Raises Refused."""
    if not isinstance(record, MetricRecord):
        raise Refused(f"{METRICS} is a {type(record).__name__}, not a MetricRecord")
    if set(record) != set(allowed):
        raise Refused(f"numbers are {', '.join(allowed)}; this reply has {len(record)} others or fewer")
    numbers = {name: _number(record, name, kind) for name, kind in allowed.items()}
    for name, value in numbers.items():
        if not 0 <= value <= LARGEST_NUMBER:
            raise Refused(f"{name} is {'nan' if value != value else 'not a number from 0 to 2^53'}")
    return numbers
