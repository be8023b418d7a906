"""An organization's text as rows of tokens, and the batches of a round."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from fedlora_tui.errors import UserError
from fedlora_tui.lora.prompts import Layout, layout_of
from fedlora_tui.organizations.text import Document

IGNORED = -100
"""The label of a position that is in no loss: padding, a prompt, and the row's first token."""


TOGETHER = 256
"""Documents that are tokenized at once: together they are quick, and all of them at once would take much memory."""


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens in a row; those from `first_target` on are predicted. It is 1 but where a prompt stands before them."""

    tokens: tuple[int, ...]
    first_target: int = 1

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def targets(self) -> int:
        """How many tokens are predicted."""
        return max(len(self.tokens) - self.first_target, 0)


@dataclass(frozen=True)
class Rows:
    """One organization's tokens: pieces of documents for training and for its hold-out, each with a target or more."""

    organization: str
    train: tuple[Row, ...]
    holdout: tuple[Row, ...]

    @property
    def train_tokens(self) -> int:
        """Target tokens to train on; the organization's weight in the mean."""
        return targets(self.train)

    @property
    def holdout_tokens(self) -> int:
        """Target tokens to measure on."""
        return targets(self.holdout)


def targets(rows: Iterable[Row]) -> int:
    """Count the tokens that are predicted: all of a row but its first, or but its prompt."""
    return sum(row.targets for row in rows)


def tokenize(
    tokenizer: Any,
    organization: str,
    train: Sequence[Document],
    holdout: Sequence[Document],
    max_length: int,
    holdout_tokens: int,
) -> Rows:
    """Turn documents into rows; of the hold-out, whole rows up to `holdout_tokens` targets, one at least."""
    learned = tuple(piece for row in encoded(tokenizer, train) for piece in pieces(row, max_length))
    asked = (piece for row in encoded(tokenizer, holdout) for piece in pieces(row, max_length))
    return Rows(organization, learned, measured(asked, holdout_tokens))


def measured(rows: Iterable[Row], most: int) -> tuple[Row, ...]:
    """Whole rows up to `most` targets, one at least."""
    taken: list[Row] = []
    for row in rows:
        most -= row.targets
        if most < 0 and taken:
            break
        taken.append(row)
    return tuple(taken)


def check_enough(rows: Rows, batch_size: int) -> None:
    """Refuse an organization that has no full batch to train on, or nothing to measure on, with a UserError."""
    if len(rows.train) < batch_size or not rows.holdout:
        raise UserError(
            f"organization {rows.organization}: {len(rows.train)} rows to train on, {len(rows.holdout)} to measure on, "
            f"a batch takes {batch_size}: give it more text, lower batch_size, or take it out"
        )


def encoded(tokenizer: Any, documents: Sequence[Document]) -> Iterator[Row]:
    """Each document and its end token as one row, however long; one of no tokens is left out.

    A prompt is laid out as the tokenizer's chat template says, and the targets begin where the response does.
    """
    layout: Layout | None = None
    after: list[int] = []
    end = tokenizer.eos_token_id
    shared: dict[int, int] = {}
    for at in range(0, len(documents), TOGETHER):
        some = documents[at : at + TOGETHER]
        if layout is None and any(document.prompt for document in some):
            layout = layout_of(tokenizer)
            after = _tokens(tokenizer, [layout.after])[0] if layout.after else []
        prompts = [layout.before(document.prompt) if layout and document.prompt else "" for document in some]
        asked = _tokens(tokenizer, prompts) if any(prompts) else [[]] * len(some)
        for prompt, text in zip(asked, _tokens(tokenizer, [document.text for document in some]), strict=True):
            if text:
                whole = (*prompt, *text, *(after if prompt else ()), end)
                # One object a token of the vocabulary, and not one a place, takes a quarter of the memory.
                yield Row(tuple(map(shared.setdefault, whole, whole)), max(len(prompt), 1))


def _tokens(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    given: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return given


def pieces(row: Row, max_length: int) -> Iterator[Row]:
    """Cut a document's row into consecutive pieces of `max_length`.

    A piece of one token would predict nothing: where it would be the last, the one before leaves it a second token. A
    prompt stands before the first piece of its response; where both do not fit, the prompt gives way to half a row and
    keeps its end.
    """
    tokens, prompt = row.tokens, row.first_target if row.first_target > 1 else 0
    if prompt and len(row) > max_length:
        kept = max(max_length - row.targets, max_length // 2)
        tokens, prompt = tokens[max(prompt - kept, 0) :], min(prompt, kept)
    cuts = [*range(0, len(tokens), max_length), len(tokens)]
    cuts[-2] -= cuts[-1] - cuts[-2] == 1
    for start, stop in pairwise(cuts):
        yield Row(tokens[start:stop], max(prompt - start, 1))


def batches(
    rows: Sequence[Row], batch_size: int, seed: int, organization: str, round: int, steps: int, epochs: int
) -> list[list[Row]]:
    """Give the batches of one organization's round.

    Every pass over the rows is a new order, drawn from (seed, organization, round) alone; its last batch may be
    smaller. With `epochs` the passes are counted, else passes follow one another until there are `steps` batches.
    """
    generator = random.Random(hashlib.sha256(f"batches|{seed}|{organization}|{round}".encode()).digest())
    given: list[list[Row]] = []
    passes = 0
    while passes < epochs if epochs else len(given) < steps:
        order = list(range(len(rows)))
        generator.shuffle(order)
        given += [[rows[i] for i in order[at : at + batch_size]] for at in range(0, len(order), batch_size)]
        passes += 1
    return given if epochs else given[:steps]


def generator_seed(purpose: str, seed: int, organization: str, round: int) -> int:
    """Derive a 63-bit seed for one purpose of one organization in one round."""
    digest = hashlib.sha256(f"{purpose}|{seed}|{organization}|{round}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def padded(rows: Sequence[Row], filler: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Lay rows into input tokens and labels, both [rows, longest]; labels are `IGNORED` where nothing is predicted.

    Padding stands on the right, where a causal model's real tokens never look, so no attention mask is needed.
    """
    longest = max((len(row) for row in rows), default=1)
    inputs = torch.full((len(rows), longest), filler, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
    for index, row in enumerate(rows):
        tokens = torch.tensor(row.tokens, dtype=torch.long)
        inputs[index, : len(row)] = tokens
        labels[index, row.first_target : len(row)] = tokens[row.first_target :]
    return inputs.to(device), labels.to(device)
