"""Texts that are tried on the models of a run, or of a race: one at a time, in a thread of their own.

The base is on loan for it, from the gate where training waits: a slice at a time, and back at once where anything is
asked of the run. Text and answer are in memory alone, and told to who asked alone: nothing here logs or emits a word.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedlora_tui.engine.gate import Gate
from fedlora_tui.errors import UserError
from fedlora_tui.protocol.trying import Answer, Question, Voice

if TYPE_CHECKING:
    from fedlora_tui.engine.voices import Candidate, Voices
    from fedlora_tui.lora.base_model import BaseModel
    from fedlora_tui.lora.generation import Generation

SLICE_SECONDS = 1.0
"""How long training waits at most before it takes a step."""

TELL_SECONDS = 0.05
MOST_TYPED = 1024
"""Tokens of a text."""

STARTING = "the run is starting: no base is in memory yet"
NO_MEMORY = "memory ran out: try a shorter text, or fewer tokens; the run goes on"

Tell = Callable[[Answer], None]

logger = logging.getLogger(__name__)


@dataclass
class _Asked:
    """A question that waits or is being answered; `asker` is the connection that it came from."""

    asker: int
    question: Question
    voices: Voices
    tell: Tell
    stopped: bool = False


@dataclass
class _Progress:
    """What an answer is made of: who is asked, what they say, and how long each of them took."""

    asked: _Asked
    candidates: list[Candidate]
    text: list[int]
    tokenizer: Any
    generation: Generation
    waited: Callable[[], float]
    seconds: float = 0.0
    took: dict[int, float] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """True once every model has come to its end, or nobody wants to hear more."""
        return self.generation.over or self.asked.stopped

    def step(self) -> None:
        """Let every model say one token more."""
        going = [model for model, ended in enumerate(self.generation.ended) if not ended]
        began = time.monotonic()
        self.generation.step()
        self.seconds += time.monotonic() - began
        self.took |= dict.fromkeys(going, self.seconds)

    def answer(self) -> Answer:
        """Give the answer as it stands."""
        before = self._words(self.text)
        models = iter(range(len(self.generation.tokens)))
        voices = [
            Voice(one.name, one.round, lacks=one.lacks) if one.lacks else self._voice(one, next(models), before)
            for one in self.candidates
        ]
        pieces = tuple(self._words([token]) for token in self.text)
        return Answer(self.asked.question.number, pieces, tuple(voices), round(self.waited(), 3), self.over)

    def _voice(self, candidate: Candidate, model: int, before: str) -> Voice:
        tokens, ended = self.generation.tokens[model], self.generation.ended[model]
        text = self._words([*self.text, *tokens])[len(before) :]
        return Voice(
            candidate.name,
            candidate.round,
            # A character of several tokens is half there until the last of them has come.
            text if ended else text.rstrip("\ufffd"),
            len(tokens),
            round(self.took.get(model, 0.0), 3),
            tuple(self.generation.losses[model]),
            ended or self.asked.stopped,
        )

    def _words(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class Trying:
    """The texts that wait, and the one that is tried; over the base of all runs that share the gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._lock = threading.Lock()
        self._waiting: deque[_Asked] = deque()
        self._now: _Asked | None = None
        self._base: BaseModel | None = None
        self._tokenizer: Any = None

    def open(self, base: BaseModel) -> None:
        """Take texts from now on: all passes over this base go through the gate."""
        self._base = base

    def ask(self, asker: int, question: Question, voices: Voices | None, tell: Tell) -> None:
        """Try a text; what the same asker tries already ends for it. `tell` is called from another thread."""
        if self._base is None or voices is None:
            tell(Answer(question.number, over=True, refusal=STARTING))
            return
        self.stop(asker)
        with self._lock:
            self._waiting.append(_Asked(asker, question, voices, tell))
            if self._now is None:
                self._now = self._waiting.popleft()
                threading.Thread(target=self._work, name="try it", daemon=True).start()

    def stop(self, asker: int) -> None:
        """End what an asker tries."""
        with self._lock:
            mine = [asked for asked in (self._now, *self._waiting) if asked is not None and asked.asker == asker]
        with self._gate.changed:
            for asked in mine:
                asked.stopped = True
            self._gate.changed.notify_all()

    def _work(self) -> None:
        asked = self._now
        while asked is not None:
            refusal = self._attempt(asked)
            if refusal:
                asked.tell(Answer(asked.question.number, over=True, refusal=refusal))
            with self._lock:
                # Where none waits, this thread ends, and whoever asks next starts another.
                asked = self._now = self._waiting.popleft() if self._waiting else None

    def _attempt(self, asked: _Asked) -> str:
        """Answer a question; say why not where that cannot be done, whatever went wrong: the run goes on."""
        from fedlora_tui.lora.memory import ran_out

        try:
            self._answer(asked)
            return ""
        except UserError as refused:
            return str(refused)
        except Exception as error:
            # An error's words may hold some of the text: its kind alone is told and logged.
            kind = type(error).__name__
            short = ran_out(error)
        if short:
            # On loan: what is freed while a lane captures a pass breaks that.
            with self._gate.lent(lambda: True):
                _give_back()
        logger.warning("a text that was tried was not answered: %s", kind)
        return NO_MEMORY if short else f"not answered: {kind}"

    def _answer(self, asked: _Asked) -> None:
        before = self._gate.aside_seconds

        def waited() -> float:
            return self._gate.aside_seconds - before

        candidates = asked.voices.candidates(asked.question)
        text = self._tokens(asked.question)
        progress: _Progress | None = None
        while progress is None or not progress.over:
            with self._gate.lent(lambda: not asked.stopped) as lent:
                if not lent:
                    break
                if progress is None:
                    generation = self._begin(candidates, text, asked.question)
                    progress = _Progress(asked, candidates, text, self._tokenizer, generation, waited)
                    asked.tell(progress.answer())
                self._slice(progress)
        asked.tell(Answer(asked.question.number, over=True) if progress is None else progress.answer())

    def _slice(self, progress: _Progress) -> None:
        """Go on with an answer, until training is to take a step or anything is asked of a run."""
        until, pressed = time.monotonic() + SLICE_SECONDS, self._gate.pressed
        told = 0.0
        while not progress.over and self._gate.pressed == pressed and (now := time.monotonic()) < until:
            progress.step()
            if now - told >= TELL_SECONDS:
                told = now
                progress.asked.tell(progress.answer())

    def _tokens(self, question: Question) -> list[int]:
        """Tokenize a text. Raises UserError where there is nothing to go on with, or no room behind it."""
        from fedlora_tui.lora.base_model import longest_row, own_tokenizer
        from fedlora_tui.lora.rows import text_tokens

        assert self._base is not None
        if self._tokenizer is None:
            self._tokenizer = own_tokenizer(self._base)
        text = text_tokens(self._tokenizer, question.text)
        most = min(MOST_TYPED, (longest_row(self._base.model.config) or MOST_TYPED + 1) - 1)
        if not text:
            raise UserError("type a text that the models are to go on with")
        if len(text) > most:
            raise UserError(f"a text of {len(text)} tokens: {most} at most, so that there is room for an answer")
        return text

    def _begin(self, candidates: list[Candidate], text: list[int], question: Question) -> Generation:
        from fedlora_tui.lora.base_model import longest_row
        from fedlora_tui.lora.generation import Generation, Sampling, no_adapter

        assert self._base is not None
        adapters = [one.adapter or no_adapter(self._base) for one in candidates if not one.lacks]
        longest = longest_row(self._base.model.config)
        room = question.tokens if longest is None else min(question.tokens, longest - len(text))
        sampling = Sampling(room, question.temperature, question.seed)
        return Generation(self._base, adapters, text, sampling)


def _give_back() -> None:
    """Free what the answer held; what training holds to be faster stays as it is."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
