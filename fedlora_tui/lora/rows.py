"""An organization's text as rows of tokens, and the batches of a round."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
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
    """Tokens in a row; those from `first_target` on are predicted. It is 1 but where a prompt stands before them.

    `starts` are the places at which further documents begin, in a row that holds several: none of them sees another,
    and the first token of each is not predicted.
    """

    tokens: tuple[int, ...]
    first_target: int = 1
    starts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def targets(self) -> int:
        """How many tokens are predicted."""
        return max(len(self.tokens) - self.first_target - len(self.starts), 0)


class RowArray(Sequence[Row]):
    """Rows in the bytes of their tokens, two or four each: so an organization that waits for its turn is kept.

    A row that is asked for is made anew.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        """Take the rows one after another; none of them is kept."""
        tokens, ends, first_targets, starts, start_ends = (array("I") for _ in range(5))
        for row in rows:
            tokens.extend(row.tokens)
            ends.append(len(tokens))
            first_targets.append(row.first_target)
            starts.extend(row.starts)
            start_ends.append(len(starts))
        self._tokens, self._ends, self._first_targets = _short(tokens), _short(ends), _short(first_targets)
        self._starts, self._start_ends = _short(starts), _short(start_ends)
        lengths, others = (np.diff(np.asarray(bounds, np.int64), prepend=0) for bounds in (ends, start_ends))
        self.targets = int(np.maximum(lengths - np.asarray(first_targets, np.int64) - others, 0).sum())

    def __len__(self) -> int:
        return len(self._ends)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> RowArray: ...
    def __getitem__(self, place: int | slice) -> Row | RowArray:
        if isinstance(place, slice):
            return RowArray(self[at] for at in range(*place.indices(len(self))))
        at = range(len(self))[place]
        tokens = self._tokens[self._ends[at - 1] if at else 0 : self._ends[at]]
        starts = self._starts[self._start_ends[at - 1] if at else 0 : self._start_ends[at]]
        return Row(tuple(tokens.tolist()), int(self._first_targets[at]), tuple(starts.tolist()))

    @property
    def lengths(self) -> NDArray[Any]:
        """The tokens of each row."""
        return np.diff(self._ends, prepend=self._ends.dtype.type(0))

    @property
    def tokens(self) -> int:
        """All tokens, those that are not predicted too."""
        return len(self._tokens)

    @property
    def unigrams(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The tokens that occur, in order, and how often each does."""
        found, counts = np.unique(self._tokens, return_counts=True)
        return found, counts.astype(np.uint32)


def _short(numbers: array[int]) -> NDArray[Any]:
    """Lay numbers into two bytes each where they fit."""
    wide = np.asarray(numbers, np.uint32)
    return wide.astype(np.uint16) if wide.max(initial=0) < 2**16 else wide.copy()


@dataclass(frozen=True)
class Rows:
    """One organization's tokens: pieces of documents for training and for its hold-out, each with a target or more.

    `longest` are the tokens of the longest document to train on, 0 where nobody counted.
    """

    organization: str
    train: Sequence[Row]
    holdout: Sequence[Row]
    longest: int = 0

    @property
    def train_tokens(self) -> int:
        """Target tokens to train on; the organization's weight in the mean."""
        return targets(self.train)

    @property
    def holdout_tokens(self) -> int:
        """Target tokens to measure on."""
        return targets(self.holdout)

    @property
    def unigrams(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The tokens to train on that occur, in order, and how often each does."""
        return (self.train if isinstance(self.train, RowArray) else RowArray(self.train)).unigrams


def targets(rows: Iterable[Row]) -> int:
    """Count the tokens that are predicted: all of a document but its first, or but its prompt."""
    if isinstance(rows, RowArray):
        return rows.targets
    return sum(row.targets for row in rows)


@dataclass(frozen=True)
class Shape:
    """What rows documents become: how long, how much of a hold-out, and whether a row holds several documents.

    An organization that would have fewer than `fewest` rows with several documents in each has one a row.
    """

    max_length: int
    holdout_tokens: int
    packed: bool = False
    fewest: int = 1


def tokenize(
    tokenizer: Any, organization: str, train: Sequence[Document], holdout: Sequence[Document], shape: Shape
) -> Rows:
    """Turn documents into rows; of the hold-out, whole rows up to `holdout_tokens` targets, one at least."""
    longest = 0

    def documents() -> Iterator[Row]:
        nonlocal longest
        for row in encoded(tokenizer, train):
            longest = max(longest, len(row))
            yield row

    rows, held = learned(documents, shape), encoded(tokenizer, holdout)
    return Rows(organization, rows, measured(held, shape), longest)


def learned(documents: Callable[[], Iterable[Row]], shape: Shape) -> RowArray:
    """Lay documents, of which each call gives all anew, into rows to train on."""
    rows = RowArray(packed(documents(), shape.max_length) if shape.packed else ())
    if len(rows) >= max(shape.fewest, 1):
        return rows
    return RowArray(piece for row in documents() for piece in pieces(row, shape.max_length))


def measured(documents: Iterable[Row], shape: Shape) -> RowArray:
    """Lay documents into rows to measure on, up to the shape's targets.

    Never several documents in a row: where a row of several is full, a document is cut, and its rest would be measured
    with less before it.
    """
    most = shape.holdout_tokens
    taken: list[Row] = []
    for row in (piece for document in documents for piece in pieces(document, shape.max_length)):
        most -= row.targets
        if most < 0 and taken:
            break
        taken.append(row)
    return RowArray(taken)


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
        for prompt, text in zip(
            asked, _tokens(tokenizer, [document.text for document in some], literal=True), strict=True
        ):
            if text:
                whole = (*prompt, *text, *(after if prompt else ()), end)
                # One object a token of the vocabulary, and not one a place, takes a quarter of the memory.
                yield Row(tuple(map(shared.setdefault, whole, whole)), max(len(prompt), 1))


def text_tokens(tokenizer: Any, text: str) -> list[int]:
    """Tokenize a text as documents are, without the token that ends one."""
    return texts_tokens(tokenizer, [text])[0]


def texts_tokens(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Tokenize several texts in the same way."""
    return _tokens(tokenizer, texts, literal=True)


def _tokens(tokenizer: Any, texts: list[str], literal: bool = False) -> list[list[int]]:
    """Tokenize; where texts are `literal`, one that spells a special token (the end of text) does not become it."""
    if _only_calls_its_backend(tokenizer):
        # What transformers does, without the masks and offsets that it makes of every text beside its tokens.
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = literal or tokenizer.split_special_tokens
        return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
    how = {"split_special_tokens": True} if literal else {}
    given: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False, **how)["input_ids"]
    return given


def _only_calls_its_backend(tokenizer: Any) -> bool:
    """Tell whether a tokenizer is one of transformers' that hands texts to `tokenizers` as they are."""
    from transformers import PreTrainedTokenizerFast

    kind, plain = type(tokenizer), PreTrainedTokenizerFast
    return isinstance(tokenizer, plain) and all(
        getattr(kind, name) is getattr(plain, name) for name in ("__call__", "_encode_plus")
    )


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


def packed(documents: Iterable[Row], length: int) -> Iterator[Row]:
    """Lay documents one after the other into rows of `length`, so that next to no padding is computed with.

    Where a row is full, the document is cut and goes on in the next row as one that begins there. A piece of one token
    would predict nothing, so a row may end up to two tokens short. A document with a prompt has rows of its own.
    """
    tokens: list[int] = []
    starts: list[int] = []
    for row in documents:
        if row.first_target > 1:
            yield from pieces(row, length)
            continue
        rest = row.tokens
        while rest:
            taken = _fitting(len(rest), length - len(tokens))
            if taken:
                starts.append(len(tokens))
                tokens += rest[:taken]
                rest = rest[taken:]
            if rest or len(tokens) > length - 2:
                yield Row(tuple(tokens), 1, tuple(starts[1:]))
                tokens, starts = [], []
    if tokens:
        yield Row(tuple(tokens), 1, tuple(starts[1:]))


def _fitting(left: int, room: int) -> int:
    """How many of a document's tokens go into what is left of a row; neither piece may be of one token."""
    taken = left if left <= room else room - (left - room == 1)
    return taken if taken > 1 else 0


@dataclass(frozen=True)
class Batches(Sequence[list[Row]]):
    """The batches of one organization's round, as places in its rows: a batch's rows are made when it is asked for."""

    rows: Sequence[Row]
    places: Sequence[Sequence[int]]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> list[Row]: ...
    @overload
    def __getitem__(self, at: slice) -> Batches: ...
    def __getitem__(self, at: int | slice) -> list[Row] | Batches:
        if isinstance(at, slice):
            return Batches(self.rows, self.places[at])
        return [self.rows[place] for place in self.places[at]]

    @property
    def longest(self) -> int:
        """The tokens of its longest row."""
        if isinstance(self.rows, RowArray):
            return int(self.rows.lengths[[place for batch in self.places for place in batch]].max())
        return max(len(self.rows[place]) for batch in self.places for place in batch)


def batches(
    rows: Sequence[Row], batch_size: int, seed: int, organization: str, round: int, steps: int, epochs: int
) -> list[list[Row]]:
    """Give the batches of one organization's round; see `drawn`."""
    return list(drawn(rows, batch_size, seed, organization, round, steps, epochs))


def drawn(
    rows: Sequence[Row], batch_size: int, seed: int, organization: str, round: int, steps: int, epochs: int
) -> Batches:
    """Draw the batches of one organization's round.

    Every pass over the rows is a new order, drawn from (seed, organization, round) alone; its last batch may be
    smaller. With `epochs` the passes are counted, else passes follow one another until there are `steps` batches.
    """
    generator = random.Random(hashlib.sha256(f"batches|{seed}|{organization}|{round}".encode()).digest())
    places: list[list[int]] = []
    passes = 0
    while passes < epochs if epochs else len(places) < steps:
        order = _shuffled(len(rows), generator.getrandbits)
        places += [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        passes += 1
    return Batches(rows, places if epochs else places[:steps])


def _shuffled(count: int, draw: Callable[[int], int]) -> list[int]:
    """Give the order that `random.shuffle` draws, from bits that `draw` gives, in half its time."""
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        bits = (last + 1).bit_length()
        place = draw(bits)
        while place > last:
            place = draw(bits)
        order[last], order[place] = order[place], order[last]
    return order


def generator_seed(purpose: str, seed: int, organization: str, round: int) -> int:
    """Derive a 63-bit seed for one purpose of one organization in one round."""
    digest = hashlib.sha256(f"{purpose}|{seed}|{organization}|{round}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Inputs:
    """Rows as a model takes them, each [rows, longest].

    `positions` begin anew at each document of a row, which is how transformers is told to keep attention inside
    documents; None where no row holds several. `labels`, on the processor, are `IGNORED` where nothing is predicted.
    """

    tokens: Tensor
    labels: Tensor
    positions: Tensor | None


def padded(rows: Sequence[Row], filler: int, device: torch.device, length: int = 0) -> Inputs:
    """Lay rows out as inputs, the shorter ones filled up, to a `length` at least.

    Padding stands on the right, where a causal model's real tokens never look, so no attention mask is needed.
    """
    longest = max(length, max((len(row) for row in rows), default=1))
    inputs = np.full((len(rows), longest), filler, np.int64)
    labels = np.full((len(rows), longest), IGNORED, np.int64)
    for index, row in enumerate(rows):
        inputs[index, : len(row)] = row.tokens
        labels[index, row.first_target : len(row)] = inputs[index, row.first_target : len(row)]
        labels[index, list(row.starts)] = IGNORED
    positions = sent(_positions(rows, longest), device) if any(row.starts for row in rows) else None
    return Inputs(sent(torch.from_numpy(inputs), device), torch.from_numpy(labels), positions)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Send a tensor from the processor to a device, without waiting until it is there."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _positions(rows: Sequence[Row], longest: int) -> Tensor:
    """Count from zero at the beginning of each document -> [rows, longest]; padding counts on."""
    begun = np.zeros((len(rows), longest), np.int64)
    for index, row in enumerate(rows):
        for start in row.starts:
            begun[index, start:] = start
    return torch.from_numpy(np.arange(longest) - begun)
