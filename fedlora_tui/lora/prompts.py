"""A prompt as the base expects it: through the tokenizer's own chat template, or in a plain layout of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ASKED = "Below is a request. Write the reply that fits it.\n\n### Request:\n{prompt}\n\n### Reply:\n"
QUESTION, ANSWER = "a question", "an answer"


@dataclass(frozen=True)
class Layout:
    """What stands around a response: `before` makes it from the prompt, `after` closes a turn where a template does.

    The end-of-text token comes after both, and is not part of it.
    """

    before: Callable[[str], str]
    after: str = ""


def layout_of(tokenizer: Any) -> Layout:
    """The layout that suits a tokenizer: its chat template where it has one that takes a single question."""
    if getattr(tokenizer, "chat_template", None):
        try:
            asked = _templated(tokenizer, QUESTION)
            if QUESTION in asked:
                return Layout(lambda prompt: _templated(tokenizer, prompt), _closing(tokenizer, asked))
        except Exception as error:  # a template is a program of somebody else's and may raise anything
            logging.getLogger(__name__).warning("the chat template is passed over: %s", type(error).__name__)
    return Layout(lambda prompt: ASKED.format(prompt=prompt))


def _templated(tokenizer: Any, prompt: str) -> str:
    asked = [{"role": "user", "content": prompt}]
    return str(tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True))


def _closing(tokenizer: Any, asked: str) -> str:
    """What the template puts after a response, without the end of text; nothing where it moves things about."""
    turns = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    whole = str(tokenizer.apply_chat_template(turns, tokenize=False))
    if not whole.startswith(asked + ANSWER):
        return ""
    return whole.removeprefix(asked + ANSWER).strip().removesuffix(str(tokenizer.eos_token)).strip()
