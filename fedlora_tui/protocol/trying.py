"""Texts that are tried on a run's models: what a console asks, and what it alone is told of the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

MOST_CHARACTERS = 4_000
MOST_TOKENS = 512
MOST_TEMPERATURE = 5.0
MOST_SEED = 2**63 - 1

BASE, ALL = "base", "all organizations"
"""What the two models are called that every run has."""


@dataclass(frozen=True)
class Question:
    """A text, and how the base, all organizations' adapter and that of `org` (empty: none) are to go on with it.

    `round` is that of all organizations' adapter, 0 for the latest finished one. At temperature 0 each model takes the
    token that it thinks most likely; above, the draws of all models are those of the seed.
    """

    number: int
    text: str
    org: str = ""
    round: int = 0
    tokens: int = 60
    temperature: float = 0.0
    seed: int = 7


@dataclass(frozen=True)
class Voice:
    """One model's part of an answer, as far as it is: its words, how many tokens they are, and the seconds they took.

    `losses` are nats of each token of the typed text behind the first, None where they are not finite. `lacks` says
    why this model does not answer, empty where it does.
    """

    name: str
    round: int = 0
    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    losses: tuple[float | None, ...] = ()
    over: bool = False
    lacks: str = ""

    @property
    def loss(self) -> float | None:
        """The mean loss on the typed text, nan where one is not finite, None where there is none."""
        if not self.losses:
            return None
        return sum(math.nan if loss is None else loss for loss in self.losses) / len(self.losses)


@dataclass(frozen=True)
class Answer:
    """How the answer to a question stands: the typed text in tokens, every model's part, and what training waited.

    `refusal` says why there is none, or no more of it.
    """

    number: int
    pieces: tuple[str, ...] = ()
    voices: tuple[Voice, ...] = ()
    waited: float = 0.0
    over: bool = False
    refusal: str = ""


class Tries(Protocol):
    """The way to a run's models."""

    def ask(self, question: Question) -> None:
        """Ask; one that is being answered ends for it."""

    def stop(self) -> None:
        """End the answer that comes now."""

    @property
    def answer(self) -> Answer | None:
        """How the newest answer stands."""


def question_of(body: Mapping[str, Any]) -> Question:
    """Read a question. Raises ValueError where it is none."""
    values = _checked(body, _QUESTION)
    if "text" not in values or "number" not in values:
        raise ValueError("no such question")
    question = Question(**values)
    bounded = (
        question.number >= 0
        and question.round >= 0
        and len(question.text) <= MOST_CHARACTERS
        and 1 <= question.tokens <= MOST_TOKENS
        and 0 <= question.temperature <= MOST_TEMPERATURE
        and 0 <= question.seed <= MOST_SEED
    )
    if not bounded:
        raise ValueError("no such question")
    return question


def body_of(told: Question | Answer) -> dict[str, Any]:
    """Give a question or an answer as what a line of JSON holds; losses that are not finite become null."""
    if isinstance(told, Answer):
        told = replace(told, voices=tuple(_writable(voice) for voice in told.voices))
    return asdict(told)


def _writable(voice: Voice) -> Voice:
    losses = tuple(loss if loss is not None and math.isfinite(loss) else None for loss in voice.losses)
    return replace(voice, losses=losses)


def answer_of(body: Mapping[str, Any]) -> Answer:
    """Read an answer. Raises ValueError where it is none."""
    values = _checked(body, _ANSWER)
    voices = values.get("voices", ())
    if "number" not in values or not all(isinstance(voice, Mapping) for voice in voices):
        raise ValueError("no such answer")
    if not all(isinstance(piece, str) for piece in values.get("pieces", ())):
        raise ValueError("no such answer")
    values["voices"] = tuple(_voice_of(voice) for voice in voices)
    return Answer(**values)


def _voice_of(body: Mapping[str, Any]) -> Voice:
    values = _checked(body, _VOICE)
    losses = values.get("losses", ())
    if "name" not in values or not all(loss is None or _is_number(loss) for loss in losses):
        raise ValueError("no such answer")
    return Voice(**values)


_QUESTION = {
    "number": int,
    "text": str,
    "org": str,
    "round": int,
    "tokens": int,
    "temperature": float,
    "seed": int,
}
_VOICE = {
    "name": str,
    "round": int,
    "text": str,
    "tokens": int,
    "seconds": float,
    "losses": tuple,
    "over": bool,
    "lacks": str,
}
_ANSWER = {"number": int, "pieces": tuple, "voices": tuple, "waited": float, "over": bool, "refusal": str}


def _checked(body: Mapping[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
    """Give the values that are known, each of its kind; what a later version added is passed over."""
    values: dict[str, Any] = {}
    for name, kind in kinds.items():
        if name not in body:
            continue
        value = body[name]
        if kind is float and _is_number(value):
            value = float(value)
        elif kind is tuple and isinstance(value, list):
            value = tuple(value)
        elif type(value) is not kind:
            raise ValueError(f"{name} cannot be that")
        values[name] = value
    return values


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
