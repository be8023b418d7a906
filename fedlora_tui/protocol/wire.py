"""What is said over a run's control socket, one line of JSON each: a face greets, watches, and steers if it may.

A face sends a `Greeting` first, then `Ask`, `WheelWord`, `Try` and `StopTrying`. The engine answers with a `Welcome`,
then tells records, endings, refusals and who steers. Records travel as they stand in the journal; what becomes of a
text that is tried is told to the face that asked, and stands nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeVar

from fedlora_tui.protocol.commands import COMMANDS, Command, read_command
from fedlora_tui.protocol.events import Record, from_mapping
from fedlora_tui.protocol.trying import Answer, Question, answer_of, body_of, question_of

VERSION = 1
LONGEST_LINE = 64 * 1024
"""Bytes of a line that a face may send."""

WHEEL_WORDS = ("ask", "keep", "give")
"""Ask for the wheel; keep it from who asks for it; give it back."""


class WireError(ValueError):
    """A line that is none of this protocol, with the reason."""


@dataclass(frozen=True)
class Greeting:
    """A face's first line: who it is, and whether it may steer."""

    name: ClassVar[str] = "greeting"
    who: str
    steers: bool = True
    v: int = VERSION


@dataclass(frozen=True)
class Ask:
    """A command for the run at a place of its race, counted from 0."""

    name: ClassVar[str] = "ask"
    place: int
    command: Command


@dataclass(frozen=True)
class WheelWord:
    """What a face says about the wheel: one of `WHEEL_WORDS`."""

    name: ClassVar[str] = "wheel"
    word: str


@dataclass(frozen=True)
class Try:
    """A text to be tried on the models of the run at a place."""

    name: ClassVar[str] = "try"
    place: int
    question: Question


@dataclass(frozen=True)
class StopTrying:
    """End the answers that this face waits for."""

    name: ClassVar[str] = "stop_trying"
    place: int


@dataclass(frozen=True)
class Welcome:
    """The engine's first line: the labels of its runs by their places, which was called, and the engine's process.

    `history` has the number of each run's last record so far, empty for a face that is told nothing of before.
    """

    name: ClassVar[str] = "welcome"
    labels: tuple[str, ...]
    place: int
    process: int
    history: tuple[int, ...] = ()
    v: int = VERSION


@dataclass(frozen=True)
class Told:
    """An event of the run at a place."""

    name: ClassVar[str] = "told"
    place: int
    record: Record


@dataclass(frozen=True)
class Over:
    """No further record of the run at a place will come; `refusal` says why it could not begin, else it is empty."""

    name: ClassVar[str] = "over"
    place: int
    refusal: str = ""


@dataclass(frozen=True)
class Wheel:
    """Who steers: this face or another (`holder` is empty where nobody does), and who asks for it, for how long still.

    `sole` is True while no other face watches.
    """

    name: ClassVar[str] = "steers"
    yours: bool
    holder: str = ""
    asked_by: str = ""
    seconds: float = 0.0
    sole: bool = True


@dataclass(frozen=True)
class Tried:
    """How the answer to a text stands, from the run at a place."""

    name: ClassVar[str] = "tried"
    place: int
    answer: Answer


FromFace = Greeting | Ask | WheelWord | Try | StopTrying
FromEngine = Welcome | Told | Over | Wheel | Tried
_Plain = TypeVar("_Plain")


def told_line(place: int, record: Record) -> bytes:
    """Write one event for faces."""
    return journal_line(place, record.line.encode())


def journal_line(place: int, line: bytes) -> bytes:
    """Write one line of a journal, without its end, for faces."""
    return b'{"told":%d,"record":%s}\n' % (place, line)


def line_of(message: FromFace | Welcome | Over | Wheel | Tried) -> bytes:
    """Write a message as one line."""
    if isinstance(message, Ask):
        body: dict[str, Any] = {"place": message.place, "command": message.command.name, **asdict(message.command)}
        return _line({"ask": body})
    if isinstance(message, Try):
        return _line({"try": {"place": message.place, **body_of(message.question)}})
    if isinstance(message, Tried):
        return _line({"tried": {"place": message.place, **body_of(message.answer)}})
    return _line({message.name: asdict(message)})


def from_face(line: bytes) -> FromFace:
    """Read what a face said. Raises WireError for anything else, and changes nothing."""
    name, body = _parted(line)
    if name == "greeting":
        greeting = _read(Greeting, body)
        if greeting.v != VERSION:
            raise WireError(f"version {greeting.v!r} of the console, version {VERSION} of the run")
        return greeting
    if name == "wheel":
        word = _read(WheelWord, body)
        if word.word not in WHEEL_WORDS:
            raise WireError("no such word about the wheel")
        return word
    if name == "ask":
        return _ask(body)
    if name == "try":
        return Try(_place_of(body), _made(question_of, body))
    if name == "stop_trying":
        return StopTrying(_place_of(body))
    raise WireError("no such message")


def from_engine(line: bytes) -> FromEngine | None:
    """Read what the engine said; None for what this version does not know. Raises WireError for what is no message."""
    data = _loaded(line)
    if "told" in data:
        try:
            return Told(int(data["told"]), from_mapping(data["record"]))
        except (KeyError, TypeError, ValueError) as error:
            raise WireError(str(error)) from None
    name, body = _single(data)
    if name == "welcome":
        return _read(Welcome, body)
    if name == "over":
        return _read(Over, body)
    if name == "tried":
        return Tried(_place_of(body), _made(answer_of, body))
    return _read(Wheel, body) if name == "steers" else None


def _ask(body: Mapping[str, Any]) -> Ask:
    place, name = _place_of(body), body.get("command")
    if not isinstance(name, str) or name not in COMMANDS:
        raise WireError("no such command")
    values = {key: value for key, value in body.items() if key not in ("place", "command")}
    return Ask(place, _made(lambda values: read_command(name, values), values))


def _place_of(body: Mapping[str, Any]) -> int:
    place = body.get("place")
    if type(place) is not int or place < 0:
        raise WireError("no such run")
    return place


def _made(make: Callable[[Mapping[str, Any]], _Plain], body: Mapping[str, Any]) -> _Plain:
    try:
        return make(body)
    except ValueError as error:
        raise WireError(str(error)) from None


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _loaded(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise WireError("no line of JSON") from None
    if not isinstance(data, dict):
        raise WireError("no JSON object")
    return data


def _single(data: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if len(data) != 1:
        raise WireError("one message a line")
    name, body = next(iter(data.items()))
    if not isinstance(body, dict):
        raise WireError("a message holds an object")
    return name, body


def _parted(line: bytes) -> tuple[str, Mapping[str, Any]]:
    return _single(_loaded(line))


def _read(kind: type[_Plain], body: Mapping[str, Any]) -> _Plain:
    """Build a message from what it holds; fields that this version does not know are passed over."""
    values: dict[str, Any] = {}
    for name, expected in kind.__annotations__.items():
        if name not in body or expected.startswith("ClassVar"):
            continue
        value = body[name]
        right = {
            "str": isinstance(value, str),
            "bool": isinstance(value, bool),
            "int": type(value) is int,
            "float": isinstance(value, int | float) and not isinstance(value, bool),
            "tuple[str, ...]": isinstance(value, list) and all(isinstance(item, str) for item in value),
            "tuple[int, ...]": isinstance(value, list) and all(type(item) is int for item in value),
        }[expected]
        if not right:
            raise WireError(f"{name} cannot be that")
        values[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except TypeError:
        raise WireError("something is missing") from None
