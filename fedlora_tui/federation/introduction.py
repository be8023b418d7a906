"""Who a node is: what it is asked before its organization takes part, and the check of what it may say.

An introduction is counts and a few bounded words. Nothing else may be in it, and both ends hold it to that.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields

from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from fedlora_tui.federation.messages import CONFIG, LARGEST_NUMBER, Refused, checked_content
from fedlora_tui.protocol.naming import ALLOWED, LONGEST, is_name

ACTION = "introduce"
INTRODUCE = f"{MessageType.QUERY}.{ACTION}"
"""The kind of message that asks a node who it is."""

RECORD = "introduction"
LONGEST_WORD, LONGEST_POLICY = LONGEST, 200
FINGERPRINT = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Introduction:
    """What a node says of itself: its organization, its software, its base, how much text it has, what it allows.

    `base` is the fingerprint of its base model. `rows` and what follows are of the text to train on. `policy` says in
    words what it allows, empty where it allows everything.
    """

    organization: str
    version: str
    flower: str
    torch: str
    base: str
    documents: int
    tokens: int
    holdout_tokens: int
    rows: int
    longest: int
    kinds: int
    policy: str = ""


def question() -> RecordDict:
    """Give the content of the message that asks for an introduction."""
    return RecordDict({CONFIG: ConfigRecord({"server-round": 0})})


def introduction_reply(message: Message, introduction: Introduction) -> Message:
    """Answer with an introduction. Raises Refused where it is not what may travel."""
    reply = Message(RecordDict({RECORD: ConfigRecord(asdict(introduction))}), reply_to=message)
    read_introduction(reply)
    return reply


def read_introduction(message: Message) -> Introduction:
    """Check an introduction and read it. Raises Refused."""
    record = checked_content(message, {RECORD})[RECORD]
    if not isinstance(record, ConfigRecord) or set(record) != {item.name for item in fields(Introduction)}:
        raise Refused("an introduction says something else than it is asked")
    for item in fields(Introduction):
        _check(item.name, record[item.name], item.type == "int")
    return Introduction(**record)  # type: ignore[arg-type]


def _check(name: str, value: object, number: bool) -> None:
    if number:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_NUMBER:
            raise Refused(f"{name} is not a number from 0 to 2^53")
        return
    longest = LONGEST_POLICY if name == "policy" else LONGEST_WORD
    if not isinstance(value, str) or len(value) > longest or not (value.isprintable() or not value):
        raise Refused(f"{name} is not one line of at most {longest} characters")
    if name == "organization" and not is_name(value):
        raise Refused(f"a node's name is not {ALLOWED}")
    if name == "base" and not FINGERPRINT.fullmatch(value):
        raise Refused("base is not a fingerprint")
