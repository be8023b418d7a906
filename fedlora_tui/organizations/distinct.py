"""No two documents of an organization that are nearly the same: what is too close to an earlier one is not taken."""

from __future__ import annotations

from collections import Counter
from itertools import chain

MOST_SHARED = 0.6
"""The share of the shorter document's word 5-grams that it may have in common with another."""


class Distinct:
    """The documents taken so far, by their word 5-grams.

    What a pair shares is counted exactly and yet in few steps: whoever shares more than `bound` grams with a document
    shares some beside any `bound` of them. So the most widespread grams, those of a trade's set phrases, are left out
    of the first count, and only the few documents that could still pass the bound are looked at in full.
    """

    def __init__(self) -> None:
        self._holders: dict[int, list[int]] = {}
        self._taken: list[set[int]] = []
        self._smallest = 1 << 30

    def takes(self, text: str) -> bool:
        """Take the document unless it is too close to one that was taken before."""
        words = text.split()
        # Hashes differ from process to process, but they are only ever compared with one another in this one.
        grams = set(map(hash, zip(words, words[1:], words[2:], words[3:], words[4:], strict=False)))
        if self._too_close(grams):
            return False
        place = len(self._taken)
        for gram in grams:
            if gram in self._holders:
                self._holders[gram].append(place)
            else:
                self._holders[gram] = [place]
        self._taken.append(grams)
        self._smallest = min(self._smallest, len(grams))
        return True

    def _too_close(self, grams: set[int]) -> bool:
        holders = [self._holders[gram] for gram in grams if gram in self._holders]
        left_out = int(MOST_SHARED * min(len(grams), self._smallest))
        if len(holders) <= left_out:
            return False
        holders.sort(key=len)
        for place, count in Counter(chain.from_iterable(holders[: len(holders) - left_out])).items():
            other = self._taken[place]
            bound = MOST_SHARED * min(len(grams), len(other))
            if count + left_out > bound and len(grams & other) > bound:
                return True
        return False
