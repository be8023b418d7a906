"""An organization's text as rows of tokens, and the batches of a round."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""The label of a position that is in no loss: padding, and the row's first token."""


@dataclass(frozen=True)
class Rows:
    """One organization's tokens: pieces of documents for training and for its hold-out, each of 2 tokens or more."""

    organization: str
    train: tuple[tuple[int, ...], ...]
    holdout: tuple[tuple[int, ...], ...]

    @property
    def train_tokens(self) -> int:
        """Target tokens to train on; the organization's weight in the mean."""
        return targets(self.train)

    @property
    def holdout_tokens(self) -> int:
        """Target tokens to measure on."""
        return targets(self.holdout)


def targets(rows: Sequence[Sequence[int]]) -> int:
    """Count the tokens that are predicted: all of a row but its first."""
    return sum(len(row) - 1 for row in rows)


def tokenize(
    tokenizer: Any,
    organization: str,
    train: Sequence[str],
    holdout: Sequence[str],
    max_length: int,
    holdout_tokens: int,
) -> Rows:
    """Turn documents into rows; of the hold-out, whole rows up to `holdout_tokens` targets, one at least."""
    measured: list[tuple[int, ...]] = []
    left = holdout_tokens
    for row in _pieces(tokenizer, holdout, max_length):
        left -= len(row) - 1
        if left < 0 and measured:
            break
        measured.append(row)
    return Rows(organization, tuple(_pieces(tokenizer, train, max_length)), tuple(measured))


def _pieces(tokenizer: Any, documents: Sequence[str], max_length: int) -> Iterator[tuple[int, ...]]:
    """Cut each document and its end token into consecutive pieces.

    A piece of one token would predict nothing: where it would be the last, the one before leaves it a second token.
    """
    if not documents:
        return
    end = tokenizer.eos_token_id
    for tokens in tokenizer(list(documents), add_special_tokens=False, verbose=False)["input_ids"]:
        whole = (*tokens, end)
        if len(whole) == 1:
            continue
        cuts = [*range(0, len(whole), max_length), len(whole)]
        cuts[-2] -= cuts[-1] - cuts[-2] == 1
        yield from (whole[start:end] for start, end in pairwise(cuts))


def batches(
    rows: Sequence[tuple[int, ...]], batch_size: int, seed: int, organization: str, round: int, steps: int, epochs: int
) -> list[list[tuple[int, ...]]]:
    """Give the batches of one organization's round.

    Every pass over the rows is a new order, drawn from (seed, organization, round) alone; its last batch may be
    smaller. With `epochs` the passes are counted, else passes follow one another until there are `steps` batches.
    """
    generator = random.Random(hashlib.sha256(f"batches|{seed}|{organization}|{round}".encode()).digest())
    given: list[list[tuple[int, ...]]] = []
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


def padded(rows: Sequence[Sequence[int]], filler: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Lay rows into input tokens and labels, both [rows, longest]; labels are `IGNORED` where nothing is predicted.

    Padding stands on the right, where a causal model's real tokens never look, so no attention mask is needed.
    """
    longest = max((len(row) for row in rows), default=1)
    inputs = torch.full((len(rows), longest), filler, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
    for index, row in enumerate(rows):
        tokens = torch.tensor(row, dtype=torch.long)
        inputs[index, : len(row)] = tokens
        labels[index, 1 : len(row)] = tokens[1:]
    return inputs.to(device), labels.to(device)
