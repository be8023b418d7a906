"""Models that say what was drawn, as far as a test lets them."""

from __future__ import annotations

from dataclasses import replace

from fedlora_tui.protocol.trying import ALL, BASE, Answer, Question, Voice

PIECES = ("The", " patient", " should", " take")
BASE_SAYS = (
    " the role of a patient in the first place. The patient should be able to take a few minutes to get to know the"
    " doctor, and the doctor should be able to get to know the"
)
ALL_SAY = (
    " the prescribed dose with water in the evening. If the fever does not fall within two days the ward calls the"
    " attending doctor, and the record is updated by the nurse on"
)
OWN_SAYS = (
    " one tablet of 500 mg three times a day with food for seven days. Counsel on drowsiness; do not combine with"
    " alcohol. Next refill after the 14th, one repeat left on"
)
LOSSES = {BASE: (8.0, 2.3, 4.2), ALL: (4.6, 1.9, 2.8), "own": (2.5, 1.4, 1.0)}
SPEEDS = (61.0, 59.0, 58.0)


class ScriptedTries:
    """Takes questions, and answers them word by word when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.stops = 0
        self.answer: Answer | None = None
        self.finished = 6
        self.pieces = PIECES
        self.longer = 1

    def ask(self, question: Question) -> None:
        self.asked.append(question)

    def stop(self) -> None:
        self.stops += 1
        if self.answer is not None:
            self.answer = replace(self.answer, over=True)

    def say(self, words: int, *, over: bool = False, waited: float = 0.8) -> None:
        """Let every model have said so many of its words."""
        question = self.asked[-1]
        lacks = "" if self.finished else "no round is finished yet"
        voices = [self._voice(BASE, 0, BASE_SAYS, words, 0, over)]
        voices.append(
            Voice(ALL, lacks=lacks)
            if lacks
            else self._voice(ALL, question.round or self.finished, ALL_SAY, words, 1, over)
        )
        if question.org:
            voices.append(
                Voice(question.org, lacks="none of its replies is here: its next one will be")
                if lacks
                else self._voice(question.org, 6, OWN_SAYS, words, 2, over)
            )
        self.answer = Answer(question.number, self.pieces, tuple(voices), waited, over)

    def refuse(self, reason: str) -> None:
        """Say why there is no answer."""
        self.answer = Answer(self.asked[-1].number, over=True, refusal=reason)

    def _voice(self, name: str, round: int, says: str, words: int, place: int, over: bool) -> Voice:
        text = "".join(f" {word}" for word in (says.split() * self.longer)[:words])
        tokens = 2 * len(text.split())
        losses = LOSSES.get(name, LOSSES["own"])
        losses = (losses * len(self.pieces))[: len(self.pieces) - 1]
        return Voice(name, round, text, tokens, tokens / SPEEDS[place], losses, over)
