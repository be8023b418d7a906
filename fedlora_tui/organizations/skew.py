"""How far an organization's text is from everybody's, as one number that reveals no text."""

from __future__ import annotations

import math
from collections.abc import Mapping


def distance(own: Mapping[int, int], pooled: Mapping[int, int]) -> float | None:
    """The Jensen-Shannon distance of two distributions of tokens given by their counts, from 0 (equal) to 1 (disjoint).

    It is the square root of the Jensen-Shannon divergence in bits (Lin 1991), which Endres and Schindelin (2003) showed
    to be a metric. Chosen over Kullback-Leibler, which is infinite as soon as one side lacks a token, and over total
    variation, which tells less apart where the common words are shared and the rare ones differ, as between trades. An
    organization is part of the pool, so one that holds a large share of all tokens stays nearer than its text alone
    would be. None where a side is empty.
    """
    here, there = sum(own.values()), sum(pooled.values())
    if not here or not there:
        return None
    divergence = 1.0
    for token, count in own.items():
        p, q = count / here, pooled.get(token, 0) / there
        if q:
            # What both sides hold takes away from 1, the divergence of sides that share nothing.
            divergence += 0.5 * (p * math.log2(p / (p + q)) + q * math.log2(q / (p + q)))
    return math.sqrt(min(max(divergence, 0.0), 1.0))
