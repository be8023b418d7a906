"""What the console knows of a text that is tried: the fields, earlier texts, and how the answer stands; no screen."""

from __future__ import annotations

from collections.abc import Sequence

from fedlora_tui.console.reading import Reading
from fedlora_tui.console.typed_line import DIGITS, TypedLine
from fedlora_tui.protocol.trying import (
    ALL,
    BASE,
    MOST_CHARACTERS,
    MOST_SEED,
    Answer,
    Question,
    Tries,
    Voice,
)

READY = (
    "A patient with this rash should",
    "Dear Sir, the charge on my account",
    "The line has been down since",
    "Clause 4 of the lease says",
    "The permit for the corner of",
)
"""Texts that come along; none of them comes from an organization's text."""

MOST_READY = 9
"""Texts that one key takes."""

FIELDS = ("text", "org", "round", "tokens", "temperature", "seed")
TOKENS = (10, 20, 40, 60, 80, 100, 150, 200, 300, 500)
MOST_VOICES = 3
"""Models that answer at once at most."""

HOTTEST = 20
"""The highest temperature that keys reach, in tenths."""


class Asking:
    """A text that is written, how it is to be answered, and the answer to the last one.

    `field` is the place in FIELDS of the one that takes keys, None where none does. `tab` is the model whose answer is
    shown where there is room for one, `offset` the first token of the table of losses, `readings` where the reader
    stands in each answer. `unseen` is True where the
    answer has grown and was not painted, `stopping` from when it was to stop to the next question.
    """

    def __init__(self, own: Sequence[str] = ()) -> None:
        """`own` are ready texts that the operator has configured."""
        self.ready = (*own, *READY)[:MOST_READY]
        self.own = min(len(own), MOST_READY)
        self.line = TypedLine(MOST_CHARACTERS)
        self.field: int | None = 0
        self.org, self.round = "", 0
        self.tokens, self.tenths = 60, 0
        self.seed_line = TypedLine(len(str(MOST_SEED)), DIGITS, "7")
        self.tab = 0
        self.offset = 0
        self.readings = tuple(Reading() for _ in range(MOST_VOICES))
        self.unseen = self.stopping = False
        self.answer: Answer | None = None
        self._asked: Question | None = None
        self._tries: Tries | None = None
        self._earlier: list[str] = []
        self._back = 0

    @property
    def text(self) -> str:
        """The text as it stands."""
        return self.line.text

    @property
    def seed(self) -> int:
        """The seed of the next answer."""
        return min(MOST_SEED, int(self.seed_line.text or 0))

    @property
    def writes(self) -> bool:
        """True while letters are written into the text."""
        return self.field == 0

    @property
    def answering(self) -> bool:
        """True from the question to the end of its answer."""
        return self._asked is not None and (self.answer is None or not self.answer.over)

    @property
    def temperature(self) -> float:
        """The temperature of the next answer."""
        return self.tenths / 10

    @property
    def wanted(self) -> int:
        """How many tokens the answer that is shown may have."""
        return self.tokens if self._asked is None else self._asked.tokens

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The parts of the answer that is shown; before there is one, those that it will have."""
        if self.answer is not None and self.answer.voices:
            return self.answer.voices
        names = [BASE, ALL, *([self._asked.org] if self._asked is not None and self._asked.org else [])]
        if self._asked is None and self.org:
            names.append(self.org)
        return tuple(map(Voice, names))

    def ask(self, tries: Tries) -> int:
        """Ask for an answer to the text; give how many models are asked."""
        text = self.text.strip()
        number = 1 if self._asked is None else self._asked.number + 1
        # What another run said before is none of this one's numbers.
        number = max(number, 0 if tries.answer is None else tries.answer.number + 1)
        self._asked = Question(number, text, self.org, self.round, self.tokens, self.temperature, self.seed)
        self._tries, self.answer, self.offset, self.stopping = tries, None, 0, False
        self.readings = tuple(Reading() for _ in range(MOST_VOICES))
        if text not in self._earlier[-1:]:
            self._earlier.append(text)
        self._back = 0
        tries.ask(self._asked)
        return 3 if self.org else 2

    def stop(self) -> None:
        """End the answer that comes."""
        self.stopping = True
        if self._tries is not None:
            self._tries.stop()

    def look(self) -> bool:
        """Take in how the answer stands; True where that has changed."""
        told = None if self._tries is None else self._tries.answer
        if told is None or self._asked is None or told.number != self._asked.number or told is self.answer:
            return False
        self.answer = told
        return True

    @property
    def outcome(self) -> str:
        """Say what came of the question."""
        most = max((voice.tokens for voice in self.voices), default=0)
        return f"answered, {most} tokens at most; training waited {(self.answer.waited if self.answer else 0):.1f} s"

    def forget_process(self) -> bool:
        """The process that was to answer is gone: wait no longer. True where something was waited for."""
        waited = self.answering
        if waited and self._asked is not None:
            self.answer = Answer(self._asked.number, over=True, refusal="the run's process is gone")
        return waited

    def earlier(self, step: int) -> None:
        """Go back or on among earlier texts; behind the last one stands an empty line."""
        self._back = max(0, min(len(self._earlier), self._back - step))
        self.line.put(self._earlier[-self._back] if self._back else "")

    def next_field(self, step: int) -> None:
        """Go to the field before or after."""
        self.field = 0 if self.field is None else (self.field + step) % len(FIELDS)

    def turn(self, step: int, organizations: Sequence[str], rounds: Sequence[int]) -> None:
        """Change the field that takes keys by a step; `rounds` are those that are finished."""
        name = FIELDS[self.field or 0]
        if name == "org" and organizations:
            here = organizations.index(self.org) if self.org in organizations else 0
            self.org = organizations[(here + step) % len(organizations)]
        elif name == "round" and rounds:
            here = rounds.index(self.round) if self.round in rounds else len(rounds) - 1
            to = max(0, min(len(rounds) - 1, here + step))
            # At the latest it follows the run again.
            self.round = 0 if to == len(rounds) - 1 else rounds[to]
        elif name == "tokens":
            here = TOKENS.index(self.tokens)
            self.tokens = TOKENS[max(0, min(len(TOKENS) - 1, here + step))]
        elif name == "temperature":
            self.tenths = max(0, min(HOTTEST, self.tenths + step))
        elif name == "seed":
            self.seed_line.put(str(max(0, min(MOST_SEED, self.seed + step))))
