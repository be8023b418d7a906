"""The counting models that the embedded base is compared with, and the figures of its card."""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from pretrain_ngrams import Tokens, discounts, trigram_nats, trigram_orders, unigram_nats
from pretrain_report import Score, curve_chart, curve_table
from pretrain_training import Clock, Point

SMALL = 5


def stream(tokens: list[int]) -> Tokens:
    return np.array(tokens, dtype=np.uint16)


class KneserNeyByDefinition:
    """Interpolated modified Kneser-Ney smoothing as its formulas read, one probability at a time."""

    def __init__(self, tokens: list[int], vocabulary: int) -> None:
        self.vocabulary = vocabulary
        trigrams = Counter(zip(tokens, tokens[1:], tokens[2:], strict=False))
        self.counts: dict[int, Counter[tuple[int, ...]]] = {3: Counter(trigrams)}
        for length in (2, 1):
            longer = self.counts[length + 1]
            self.counts[length] = Counter(sequence[1:] for sequence in longer)

    def discount(self, length: int, count: int) -> float:
        of_counts = Counter(self.counts[length].values())
        once, twice, thrice, four = (of_counts[number] for number in (1, 2, 3, 4))
        if count == 0:
            return 0.0
        if not (once and twice and thrice):
            return 0.5
        share = once / (once + 2 * twice)
        first, second, third = (
            1 - 2 * share * twice / once,
            2 - 3 * share * thrice / twice,
            3 - 4 * share * four / thrice,
        )
        discount = {1: first, 2: second}.get(count, third)
        return discount if discount > 0 else 0.5

    def probability(self, context: tuple[int, ...], word: int) -> float:
        length = len(context) + 1
        shorter = self.probability(context[1:], word) if context else 1.0 / self.vocabulary
        followers = {sequence: n for sequence, n in self.counts[length].items() if sequence[:-1] == context}
        total = sum(followers.values())
        if total == 0:
            return shorter
        count = followers.get((*context, word), 0)
        left_over = sum(self.discount(length, n) for n in followers.values())
        return (count - self.discount(length, count) + left_over * shorter) / total


@settings(max_examples=60, deadline=None)
@given(
    training=st.lists(st.integers(0, SMALL - 1), min_size=3, max_size=120),
    scored=st.lists(st.integers(0, SMALL - 1), min_size=2, max_size=20),
)
def test_trigram_agrees_with_its_definition(training: list[int], scored: list[int]) -> None:
    nats = trigram_nats(trigram_orders(stream(training), SMALL), stream(scored), SMALL)
    defined = KneserNeyByDefinition(training, SMALL)
    padded = [0, *scored]
    expected = [
        -math.log(defined.probability((first, second), word))
        for first, second, word in zip(padded, padded[1:], padded[2:], strict=False)
    ]
    assert nats.dtype == np.float64
    assert nats == pytest.approx(expected, rel=1e-12, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    training=st.lists(st.integers(0, SMALL - 1), min_size=3, max_size=200),
    context=st.tuples(st.integers(0, SMALL - 1), st.integers(0, SMALL - 1)),
)
def test_trigram_probabilities_of_every_context_sum_to_one(training: list[int], context: tuple[int, int]) -> None:
    orders = trigram_orders(stream(training), SMALL)
    total = sum(math.exp(-trigram_nats(orders, stream([*context, word]), SMALL)[-1]) for word in range(SMALL))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_discounts_are_those_of_the_counts_of_counts() -> None:
    # Four sequences seen once, three twice, two thrice, one four times: the share is 4 / (4 + 2 * 3) = 0.4.
    counts = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 4])
    assert discounts(counts) == pytest.approx([0.0, 1 - 2 * 0.4 * 3 / 4, 2 - 3 * 0.4 * 2 / 3, 3 - 4 * 0.4 * 1 / 2])


def test_unigram_counts_each_token_once_more_than_it_was_seen() -> None:
    probabilities = np.exp(-unigram_nats(stream([0, 1, 1, 3]), 4))
    assert probabilities == pytest.approx([2 / 8, 3 / 8, 1 / 8, 2 / 8])


def test_score_says_bits_per_byte_and_perplexities() -> None:
    two = Score(tokens=10, text_bytes=40, model=10 * math.log(8), unigram=10 * math.log(100), trigram=10 * math.log(20))
    # Three bits a token, four bytes a token.
    assert two.row("both") == "| both | 10 | 2.079 | 0.750 | 8.0 | 20.0 | 100.0 |"
    assert (two + two).row("both") == "| both | 20 | 2.079 | 0.750 | 8.0 | 20.0 | 100.0 |"


def test_curve_is_told_point_by_point_and_drawn_falling() -> None:
    losses = (8.0, 5.0, 4.0, 3.0)
    points = [Point(float(n), n * 1_000_000, loss + 0.1, loss) for n, loss in enumerate(losses)]
    clock = Clock(step=3, seconds=180.0, loss=3.1, curve=points)
    assert curve_table(clock).splitlines()[-1] == "| 3.0 | 3.00 | 3.100 | 3.000 |"
    marked = [line.index("o") for line in curve_chart(clock).splitlines() if " o" in line and "|" in line]
    assert marked == sorted(marked)
    assert len(marked) == 3
    assert curve_chart(Clock()) == ""
