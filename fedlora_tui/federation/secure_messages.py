"""What travels for a secure sum: the stages' messages and replies, built and read with the same strictness as others.

Each holds one record of fixed names: numbers, places, and bytes of exactly the length that follows from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import SType

from fedlora_tui.federation.messages import (
    METRICS,
    SECURE,
    STAYED,
    Refused,
    TakenReply,
    TrainReply,
    array_header,
    checked_content,
    read_numbers,
)
from fedlora_tui.privacy.secure_sum.fixed_point import MOST_UNIT, Fixed
from fedlora_tui.privacy.secure_sum.keys import (
    COMMITMENT_BYTES,
    KEY_BYTES,
    NONCE_BYTES,
    PublicKeys,
    Session,
    is_usable,
)
from fedlora_tui.privacy.secure_sum.masks import Words
from fedlora_tui.privacy.secure_sum.member import BOX_BYTES, UNUSABLE, Shared
from fedlora_tui.privacy.secure_sum.server import Request, Unmasking
from fedlora_tui.privacy.secure_sum.shamir import SHARE_BYTES

ADVERTISE, SHARE, UNMASK = 1, 2, 3
"""The stages that are queries; the masked vector is the reply to a train message."""

MASKED = "masked"
"""The record, and the one array in it, that a masked vector travels in."""

MASKED_METRICS = {"loss": float, "tokens": int, "steps": int}
"""What travels beside a masked vector: the weight is inside it."""

MOST_PLACE, MOST_ORGANIZATIONS, MOST_RANGE = 2**63 - 1, 100_000, 1e12


@dataclass(frozen=True)
class Hidden:
    """What a train message says of its round's sum: its session, how numbers become words, and the sealed shares."""

    session: Session
    fixed: Fixed
    boxes: Mapping[int, bytes]


@dataclass(frozen=True)
class MaskedReply:
    """A masked vector that passed the check, and the numbers that travel beside it; no loss where it is withheld."""

    words: Words
    loss: float | None
    tokens: int
    steps: int


AnyReply = TrainReply | TakenReply | MaskedReply
"""What an organization answers a train message with: its update as it is, taken in already, or masked."""


def _content(session: Session, stage: int, **values: Any) -> RecordDict:
    return RecordDict({SECURE: _record(session, stage=stage, **values)})


def _record(session: Session, **values: Any) -> ConfigRecord:
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return ConfigRecord({"server-round": session.round, "nonce": session.nonce, **named})


def advertise_content(session: Session) -> RecordDict:
    """Ask for public keys."""
    return _content(session, ADVERTISE)


def share_content(session: Session, request: Request) -> RecordDict:
    """Tell the neighbours' keys, and ask for shares."""
    peers = sorted(request.peers)
    shown = b"".join(request.peers[peer].channel + request.peers[peer].masking for peer in peers)
    return _content(session, SHARE, place=request.place, threshold=request.threshold, places=peers, keys=shown)


def unmask_content(session: Session, asked: Unmasking) -> RecordDict:
    """Ask for shares of the seeds of those who are here, and of the keys of those who are gone."""
    return _content(session, UNMASK, alive=sorted(asked.alive), gone=sorted(asked.gone))


def hidden_record(session: Session, fixed: Fixed, boxes: Mapping[int, bytes]) -> ConfigRecord:
    """Give what a train message carries where its reply is to be masked."""
    places = sorted(boxes)
    numbers = {"organizations": fixed.organizations, "unit": fixed.unit, "range": fixed.range}
    return _record(session, **numbers, places=places, boxes=b"".join(boxes[place] for place in places))


def read_stage(message: Message) -> tuple[int, Session]:
    """Read which stage of which session a query belongs to. Raises Refused."""
    if set(message.content) != {SECURE}:
        raise Refused("a query is a stage of a secure sum and nothing else")
    record = _secure(message.content)
    stage = _whole(record, "stage", ADVERTISE, UNMASK)
    names = {ADVERTISE: (), SHARE: ("place", "threshold", "places", "keys"), UNMASK: ("alive", "gone")}[stage]
    _exactly(record, ("stage", *names))
    return stage, _session(record)


def read_request(message: Message) -> Request:
    """Read what an organization shares by. Raises Refused."""
    record = _secure(message.content)
    peers = _places(record, "places")
    shown = _pieces(record, "keys", 2 * KEY_BYTES, len(peers))
    keys = {peer: PublicKeys(own[:KEY_BYTES], own[KEY_BYTES:]) for peer, own in zip(peers, shown, strict=True)}
    place = _whole(record, "place", 0, MOST_PLACE)
    return Request(place, _whole(record, "threshold", 1, MOST_ORGANIZATIONS), keys)


def read_unmasking(message: Message) -> Unmasking:
    """Read who is said to be here and who gone; the organization judges whether that can be. Raises Refused."""
    record = _secure(message.content)
    return Unmasking(frozenset(_places(record, "alive")), frozenset(_places(record, "gone")))


def read_hidden(content: RecordDict) -> Hidden:
    """Read what a train message says of its round's sum. Raises Refused."""
    record = _secure(content)
    _exactly(record, ("organizations", "unit", "range", "places", "boxes"))
    places, limit = _places(record, "places"), record["range"]
    boxes = dict(zip(places, _pieces(record, "boxes", BOX_BYTES, len(places)), strict=True))
    if not isinstance(limit, float) or not 0 < limit <= MOST_RANGE:
        raise Refused(f"range is not a number above 0 and up to {MOST_RANGE:g}")
    organizations, unit = _whole(record, "organizations", 1, MOST_ORGANIZATIONS), _whole(record, "unit", 1, MOST_UNIT)
    return Hidden(_session(record), Fixed(organizations, unit, limit), boxes)


def advertise_reply(message: Message, session: Session, public: PublicKeys) -> Message:
    """Answer with one's public keys."""
    return Message(_content(session, ADVERTISE, keys=public.channel + public.masking), reply_to=message)


def share_reply(message: Message, session: Session, shared: Shared) -> Message:
    """Answer with sealed shares and what binds to them."""
    holders = sorted(shared.commitments)
    boxes = b"".join(shared.boxes[holder] for holder in holders if holder in shared.boxes)
    bound = b"".join(b"".join(shared.commitments[holder]) for holder in holders)
    own = next(holder for holder in holders if holder not in shared.boxes)
    values = {"place": own, "places": holders, "boxes": boxes, "commitments": bound, "seed": shared.seed}
    return Message(_content(session, SHARE, **values), reply_to=message)


def unmask_reply(message: Message, session: Session, shares: Mapping[int, bytes]) -> Message:
    """Answer with the shares that were asked for, by owner."""
    owners = sorted(shares)
    values = {"places": owners, "shares": b"".join(shares[owner] for owner in owners)}
    return Message(_content(session, UNMASK, **values), reply_to=message)


def masked_reply(message: Message, words: Words, loss: float | None, tokens: int, steps: int) -> Message:
    """Answer a train message with a masked vector; the loss is None where it is withheld."""
    data = b"".join((array_header(words.shape, words.dtype.str), words.tobytes()))
    array = Array(str(words.dtype), words.shape, SType.NUMPY, data)
    metrics = MetricRecord({**({} if loss is None else {"loss": loss}), "tokens": tokens, "steps": steps})
    return Message(RecordDict({MASKED: ArrayRecord({MASKED: array}), METRICS: metrics}), reply_to=message)


def read_keys(reply: Message, session: Session) -> PublicKeys:
    """Read public keys. Raises Refused."""
    own = _reply(reply, session, ADVERTISE, ("keys",))
    (shown,) = _pieces(own, "keys", 2 * KEY_BYTES, 1)
    keys = PublicKeys(shown[:KEY_BYTES], shown[KEY_BYTES:])
    # Else none of its neighbours could go on: it is out, and they are not.
    if not is_usable(keys.channel) or not is_usable(keys.masking):
        raise Refused(UNUSABLE)
    return keys


def place_of(node: int) -> int:
    """Give the place of a node in a sum: Flower's number of it, without the bit that no number in a message has."""
    return node & MOST_PLACE


def read_shared(reply: Message, session: Session, place: int) -> Shared:
    """Read what the organization at a place shared. Raises Refused."""
    record = _reply(reply, session, SHARE, ("place", "places", "boxes", "commitments", "seed"))
    holders = _places(record, "places")
    if record["place"] != place or place not in holders:
        raise Refused("shares of an organization that has another place")
    others = [holder for holder in holders if holder != place]
    boxes = dict(zip(others, _pieces(record, "boxes", BOX_BYTES, len(others)), strict=True))
    bound = _pieces(record, "commitments", 2 * COMMITMENT_BYTES, len(holders))
    pairs = {h: (own[:COMMITMENT_BYTES], own[COMMITMENT_BYTES:]) for h, own in zip(holders, bound, strict=True)}
    (seed,) = _pieces(record, "seed", COMMITMENT_BYTES, 1)
    return Shared(boxes, pairs, seed)


def read_shares(reply: Message, session: Session, asked: Unmasking) -> dict[int, bytes]:
    """Read the shares of exactly those that were asked for. Raises Refused."""
    record = _reply(reply, session, UNMASK, ("places", "shares"))
    owners = _places(record, "places")
    if set(owners) != asked.alive | asked.gone:
        raise Refused("shares of others than those that were asked for")
    return dict(zip(owners, _pieces(record, "shares", SHARE_BYTES, len(owners)), strict=True))


def read_masked_reply(reply: Message, length: int, fixed: Fixed, withheld: bool = False) -> MaskedReply:
    """Check a masked vector of so many words, and read it; `withheld`: no loss comes with it. Raises Refused."""
    if reply.has_error() and reply.error.reason == STAYED:
        raise Refused(STAYED)
    content = checked_content(reply, {MASKED, METRICS})
    allowed = {name: kind for name, kind in MASKED_METRICS.items() if not (withheld and name == "loss")}
    numbers, record = read_numbers(content[METRICS], allowed), content[MASKED]
    if not isinstance(record, ArrayRecord) or set(record) != {MASKED}:
        raise Refused("a masked reply holds one array")
    array, kind = record[MASKED], fixed.kind
    header = array_header((length,), kind.str)
    if array.dtype != kind.name or tuple(array.shape) != (length,) or array.stype != SType.NUMPY:
        raise Refused(f"the masked vector is not {kind.name} [{length}]")
    if not array.data.startswith(header) or len(array.data) != len(header) + length * kind.itemsize:
        raise Refused("the masked vector carries something else than its words")
    words = np.frombuffer(array.data, kind, offset=len(header))
    return MaskedReply(words, numbers.get("loss"), int(numbers["tokens"]), int(numbers["steps"]))


def _reply(reply: Message, session: Session, stage: int, names: Sequence[str]) -> ConfigRecord:
    record = _secure(checked_content(reply, {SECURE}))
    _exactly(record, ("stage", *names))
    if record["stage"] != stage or _session(record) != session:
        raise Refused("a reply of another stage or session of a secure sum")
    return record


def _secure(content: RecordDict) -> ConfigRecord:
    record = content.get(SECURE)
    if not isinstance(record, ConfigRecord):
        raise Refused(f"the message has no {SECURE}")
    return record


def _exactly(record: ConfigRecord, names: Sequence[str]) -> None:
    if set(record) != {"server-round", "nonce", *names}:
        raise Refused(f"{SECURE} holds {', '.join(names) or 'round and nonce'}; this one has others")


def _session(record: ConfigRecord) -> Session:
    (nonce,) = _pieces(record, "nonce", NONCE_BYTES, 1)
    return Session(_whole(record, "server-round", 0, 2**53), nonce)


def _whole(record: ConfigRecord, name: str, least: int, most: int) -> int:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Refused(f"{name} is not a whole number from {least:,} to {most:,}")
    return value


def _places(record: ConfigRecord, name: str) -> list[int]:
    """Read places: whole numbers, each once, in their order."""
    found = record.get(name)
    if not isinstance(found, list) or len(found) > MOST_ORGANIZATIONS:
        raise Refused(f"{name} is no list of places")
    places = [place for place in found if type(place) is int and 0 <= place <= MOST_PLACE]
    if len(places) < len(found):
        raise Refused(f"{name} is no list of places")
    if sorted(set(places)) != places:
        raise Refused(f"{name} has a place twice, or out of order")
    return places


def _pieces(record: ConfigRecord, name: str, size: int, count: int) -> list[bytes]:
    """Cut bytes into so many pieces of one size."""
    whole = record.get(name)
    if not isinstance(whole, bytes) or len(whole) != size * count:
        raise Refused(f"{name} is not {math.prod((size, count)):,} bytes")
    return [whole[size * at : size * (at + 1)] for at in range(count)]
