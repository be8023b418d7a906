"""What happened at an organization's node: one frozen dataclass a kind, one line of its ledger each; never any text.

Rounds, runs and kinds of messages are those of the messages; `kind` is one of `KINDS_OF_MESSAGES`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from fedlora_tui.protocol.finite import finite_value
from fedlora_tui.protocol.typed import built, frozen, is_time

VERSION = 1

TRAIN, EVALUATE, SECURE_SUM, INTRODUCE, OTHER = "train", "evaluate", "secure-sum", "introduce", "other"
KINDS_OF_MESSAGES = (TRAIN, EVALUATE, SECURE_SUM, INTRODUCE, OTHER)


@dataclass(frozen=True)
class NodeEvent:
    """What all kinds have in common: the `type` under which a kind is written."""

    type: ClassVar[str] = ""


@dataclass(frozen=True)
class NodeStarted(NodeEvent):
    """The node was started. `insecure`: no TLS and no key. `policy` says in short what it limits."""

    type: ClassVar[str] = "node_started"
    organization: str
    superlink: str
    insecure: bool
    version: str
    policy: str = ""


@dataclass(frozen=True)
class NodeEnded(NodeEvent):
    """The node ended; nothing is answered any more. `reason` is a signal's name, or why its SuperNode ended."""

    type: ClassVar[str] = "node_ended"
    reason: str


@dataclass(frozen=True)
class LinkChanged(NodeEvent):
    """The link to the SuperLink: `state` is connecting, up or down; `note` says why."""

    type: ClassVar[str] = "link_changed"
    state: str
    note: str = ""


@dataclass(frozen=True)
class MessageReceived(NodeEvent):
    """A message came: so many `tensors` of `bytes`; `sha256` is of its arrays, empty where there were none.

    `shares` are the bytes in it of keys and shares of a secure sum, which `bytes` counts too.
    """

    type: ClassVar[str] = "message_received"
    run: str
    kind: str
    round: int
    tensors: int = 0
    bytes: int = 0
    shares: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class MessageRefused(NodeEvent):
    """The policy does not allow what a message asked: nothing was trained, and the server is told this reason.

    Of an introduction: it does not allow what the run asks as it was begun, which the server sees by it.
    """

    type: ClassVar[str] = "message_refused"
    run: str
    kind: str
    round: int
    reason: str


@dataclass(frozen=True)
class NotSetUp(NodeEvent):
    """The node cannot take part as it is set up. Why stays here: the server is told that it is so, and nothing more."""

    type: ClassVar[str] = "not_set_up"
    run: str
    kind: str
    round: int
    reason: str


@dataclass(frozen=True)
class TrainingGoesOn(NodeEvent):
    """A local step was made: told every few seconds."""

    type: ClassVar[str] = "training_goes_on"
    run: str
    round: int
    step: int
    steps: int
    loss: float | None


@dataclass(frozen=True)
class Trained(NodeEvent):
    """A round was trained; `loss` is the mean over its target tokens, and stays here where it is withheld.

    It is told of a round whose reply does not leave, too, and of one that broke after its first step.
    """

    type: ClassVar[str] = "trained"
    run: str
    round: int
    steps: int
    tokens: int
    loss: float | None
    seconds: float


BROKEN_OFF = "broken off"
"""The error of a message whose task was given up while it was worked on: no reply of it leaves."""


@dataclass(frozen=True)
class MessageAnswered(NodeEvent):
    """A reply is about to leave: `left` are its bytes by kind, `bytes` those of its arrays. Written before it leaves.

    "words" are the reason of an error, which is then in `error`: one of a list, or a bare name. `seconds` are those
    since the message came.
    """

    type: ClassVar[str] = "message_answered"
    run: str
    kind: str
    round: int
    tensors: int = 0
    numbers: int = 0
    bytes: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    sha256: str = ""
    error: str = ""
    seconds: float = 0.0


KINDS: Mapping[str, type[NodeEvent]] = {kind.type: kind for kind in NodeEvent.__subclasses__()}


@dataclass(frozen=True)
class NodeRecord:
    """An event at its place in the ledger; `t` is in seconds since the epoch."""

    seq: int
    t: float
    event: NodeEvent


def to_line(record: NodeRecord) -> str:
    """Write a record as one line of JSON; numbers that are not finite become null."""
    head = {"v": VERSION, "seq": record.seq, "t": round(record.t, 3), "type": record.event.type}
    body = finite_value({**head, **asdict(record.event)})
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_line(line: str) -> NodeRecord | None:
    """Read one line back; None for a kind that this version does not know. Raises ValueError for what is no record."""
    data = json.loads(line)
    if not isinstance(data, dict) or data.pop("v", None) != VERSION:
        raise ValueError(f"a line of a ledger is a JSON object of version {VERSION}")
    try:
        seq, t, kind = int(data.pop("seq")), float(data.pop("t")), str(data.pop("type"))
    except (KeyError, TypeError, OverflowError) as missing:
        raise ValueError(f"a line of a ledger needs seq, t and type: {missing}") from None
    if not is_time(t) or seq < 0:
        raise ValueError("seq and t are no number and time of a record")
    known = KINDS.get(kind)
    return None if known is None else NodeRecord(seq, t, _built(known, data))


def _built(kind: type[NodeEvent], data: Mapping[str, Any]) -> NodeEvent:
    try:
        event: NodeEvent = built(kind, kind.type, {name: frozen(value) for name, value in data.items()})
    except (TypeError, AttributeError) as error:
        raise ValueError(f"record {kind.type}: {error}") from None
    return event
