"""What counting words alone can do: the unigram and the trigram model that the embedded base is compared with.

The trigram model is interpolated modified Kneser-Ney smoothing (S. F. Chen and J. Goodman, An empirical study
of smoothing techniques for language modeling, Computer Speech and Language 13, 1999): three discounts an
order, taken from the counts of counts, and orders below the highest counted by distinct left neighbours.
Used by ``pretrain_report.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint16]
Keys = NDArray[np.int64]
Reals = NDArray[np.float64]


def unigram_nats(training: Tokens, vocabulary: int) -> Reals:
    """Each token's negative log-probability by its frequency in training, with add-one smoothing."""
    counts = np.bincount(training, minlength=vocabulary) + 1.0
    return np.asarray(-np.log(counts / counts.sum()), dtype=np.float64)


@dataclass(frozen=True)
class Order:
    """The sequences of one length: what each keeps of its context's probability, and what each context leaves over."""

    sequences: Keys
    kept: Reals
    contexts: Keys
    left_over: Reals


def keys(tokens: Tokens, length: int, vocabulary: int) -> Keys:
    """A number for each stretch of ``length`` tokens: its tokens as digits, the last token the lowest."""
    numbers = np.zeros(len(tokens) - length + 1, dtype=np.int64)
    for place in range(length):
        numbers = numbers * vocabulary + tokens[place : len(tokens) - length + 1 + place]
    return numbers


def trigram_orders(training: Tokens, vocabulary: int) -> list[Order]:
    """The orders 1, 2 and 3 of the trigram model of a token stream."""
    sequences, counts = np.unique(keys(training, 3, vocabulary), return_counts=True)
    orders = [discounted(sequences, counts, vocabulary)]
    for length in (2, 1):
        # Each longer sequence stands once for the shorter one that it ends in: its count is of left neighbours.
        sequences, counts = np.unique(sequences % vocabulary**length, return_counts=True)
        orders.insert(0, discounted(sequences, counts, vocabulary))
    return orders


def discounted(sequences: Keys, counts: NDArray[np.intp], vocabulary: int) -> Order:
    """The order made of sequences and their counts."""
    contexts, owner = np.unique(sequences // vocabulary, return_inverse=True)
    totals = np.bincount(owner, weights=counts)
    taken = discounts(counts)[np.minimum(counts, 3)]
    return Order(sequences, (counts - taken) / totals[owner], contexts, np.bincount(owner, weights=taken) / totals)


def discounts(counts: NDArray[np.intp]) -> Reals:
    """What is taken from counts of 0, 1, 2 and of 3 or more; one half where the counts of counts give none."""
    once, twice, thrice, four = (int(np.count_nonzero(counts == number)) for number in (1, 2, 3, 4))
    if 0 in (once, twice, thrice):
        return np.array([0.0, 0.5, 0.5, 0.5])
    share = once / (once + 2 * twice)
    by_count = [1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * four / thrice]
    return np.array([0.0, *(discount if discount > 0 else 0.5 for discount in by_count)])


def trigram_nats(orders: list[Order], stream: Tokens, vocabulary: int) -> Reals:
    """The negative log-probability of every token after the first, given the two tokens before it."""
    # One more token in front gives the second token two before it as well.
    longer = np.concatenate([np.zeros(1, dtype=stream.dtype), stream])
    sequences = keys(longer, 3, vocabulary)
    probability = np.full(len(sequences), 1.0 / vocabulary)
    for length, order in enumerate(orders, start=1):
        wanted = sequences % vocabulary**length
        kept = looked_up(order.sequences, order.kept, wanted, 0.0)
        left_over = looked_up(order.contexts, order.left_over, wanted // vocabulary, 1.0)
        probability = kept + left_over * probability
    return np.asarray(-np.log(probability), dtype=np.float64)


def looked_up(known: Keys, values: Reals, wanted: Keys, otherwise: float) -> Reals:
    """The value of each wanted key among the known ones, which are sorted."""
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[places] == wanted, values[places], otherwise)
