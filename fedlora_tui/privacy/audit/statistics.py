"""How sure an attack is of what it says: intervals of shares, ROC, exposure, and a lower bound on epsilon.

An attack gives every candidate a score, and says "member" where the score is above a threshold. All of it is exact
where an exact form exists, and in Python's own numbers: what is counted here are hundreds, not millions.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fedlora_tui.protocol.audits import Interval

CONFIDENCE = 0.95
FALSE_ALARMS = 0.01
"""The share of non-members taken for members at which an attack is judged: how many it gets right without crying wolf
(Carlini et al. 2022, https://arxiv.org/abs/2112.03570)."""

HALVINGS = 60


@dataclass(frozen=True)
class Caught:
    """How many of the members an attack names while at most `FALSE_ALARMS` of the others are taken for members.

    `chance` holds as many as guessing would name in 95 of 100 audits of this size.
    """

    share: Interval
    chance: Interval


def clopper_pearson(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Give the exact interval of a share (Clopper and Pearson 1934): [0, 1] of no trials."""
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials}")
    if not trials:
        return Interval(None, 0.0, 1.0)
    tail = (1 - confidence) / 2
    low = 0.0 if not successes else _crossing(lambda p: 1 - binomial_below(successes, trials, p), tail)
    high = 1.0 if successes == trials else _crossing(lambda p: -binomial_below(successes + 1, trials, p), -tail)
    return Interval(successes / trials, low, high)


def binomial_below(count: int, trials: int, share: float) -> float:
    """Give the probability of fewer than `count` successes."""
    if share <= 0.0 or share >= 1.0:
        return float(count > (0 if share <= 0.0 else trials))
    yes, no = math.log(share), math.log1p(-share)
    return min(math.fsum(math.exp(_log_choose(trials, k) + k * yes + (trials - k) * no) for k in range(count)), 1.0)


def auc(members: Sequence[float], others: Sequence[float]) -> Interval:
    """Give the chance that a member scores above a non-member, ties half, with its 95% interval.

    The interval is that of DeLong and others (1988), from the spread of each side's placements among the other's.
    """
    if not members or not others:
        return Interval(None, 0.0, 1.0)
    above = _placements(members, sorted(others))
    below = [1 - share for share in _placements(others, sorted(members))]
    value = math.fsum(above) / len(above)
    error = 1.96 * math.sqrt(_variance(above) / len(above) + _variance(below) / len(below))
    return Interval(value, max(value - error, 0.0), min(value + error, 1.0))


def roc(members: Sequence[float], others: Sequence[float], points: int = 41) -> list[tuple[float, float]]:
    """Give (share of others, share of members) above a falling threshold, at `points` shares of others from 0 to 1."""
    low, high = sorted(others), sorted(members)
    curve = []
    for at in range(points):
        allowed = math.floor(at / (points - 1) * len(low) + 1e-9)
        curve.append((at / (points - 1), _above(high, _threshold(low, allowed)) / len(high)))
    return curve


def caught(members: Sequence[float], others: Sequence[float], false_alarms: float = FALSE_ALARMS) -> Caught:
    """Give the share of members above the lowest threshold that at most so large a share of the others is above.

    The interval of chance is exact: where members and others cannot be told apart, the share of both above the k+1-th
    highest of n others follows Beta(k+1, n-k), whatever the scores are distributed like.
    """
    allowed = math.floor(false_alarms * len(others) + 1e-9)
    found = _above(sorted(members), _threshold(sorted(others), allowed))
    return Caught(clopper_pearson(found, len(members)), _by_chance(len(members), len(others), allowed))


def exposure(rank: int, size: int) -> float:
    """Give log2|R| - log2 rank in bits (Carlini et al. 2019, https://arxiv.org/abs/1802.08232).

    A secret that was never planted has an exposure of b bits or more with probability 2 to the minus b.
    """
    if not 1 <= rank <= size:
        raise ValueError(f"rank {rank} of {size}")
    return math.log2(size) - math.log2(rank)


def exposed_from(secrets: int, error: float = 0.01) -> float:
    """Give the bits above which one of so many secrets is exposed, with an error of 1% for all of them together."""
    return math.log2(max(secrets, 1) / error)


def epsilon_lower_bound(with_it: Sequence[float], without: Sequence[float], delta: float) -> Interval:
    """Give the epsilon that an attack on runs with and without somebody shows, and a 95% lower bound of it (`low`).

    Jagielski and others 2020 (https://arxiv.org/abs/2006.07709): of (epsilon, delta)-private runs no attack has
    TPR > exp(epsilon) FPR + delta, or so of what it denies. The threshold comes from every second run, the shares from
    the rest, and both shares hold together with 95% confidence. `high` is what an attack without an error would show
    in as many runs, `value` is None where this one made none; ValueError where a side has fewer than two.
    """
    if min(len(with_it), len(without)) < 2:
        raise ValueError("two runs with and two without are needed at least")
    threshold = _best_threshold(with_it[::2], without[::2])
    yes, no = with_it[1::2], without[1::2]
    right, wrong = (sum(score > threshold for score in side) for side in (yes, no))
    shown = _epsilon(right / len(yes), wrong / len(no), delta)
    low = _epsilon(clopper_pearson(right, len(yes)).low, clopper_pearson(wrong, len(no)).high, delta)
    most = _epsilon(clopper_pearson(len(yes), len(yes)).low, clopper_pearson(0, len(no)).high, delta)
    return Interval(shown if math.isfinite(shown) else None, low, most)


def _epsilon(right: float, wrong: float, delta: float) -> float:
    """Give the smallest epsilon under which an attack may be as right, and as wrong, as this."""
    return max(0.0, *(_log_ratio(*pair) for pair in ((right - delta, wrong), (1 - wrong - delta, 1 - right))))


def _log_ratio(above: float, below: float) -> float:
    if above <= 0.0:
        return 0.0
    return math.log(above / below) if below > 0.0 else math.inf


def _best_threshold(with_it: Sequence[float], without: Sequence[float]) -> float:
    """Give the threshold that tells most of the runs apart, in the middle between two scores."""
    scores = sorted({*with_it, *without})
    edges = [scores[0] - 1.0, *((low + high) / 2 for low, high in pairwise(scores))]
    return max(edges, key=lambda edge: sum(s > edge for s in with_it) - sum(s > edge for s in without))


def _by_chance(members: int, others: int, allowed: int) -> Interval:
    """Give the middle 95% of a beta-binomial distribution, as shares of the members."""
    if not members or not others:
        return Interval(None, 0.0, 1.0)
    a, b = allowed + 1, others - allowed
    total = 0.0
    counts = []
    for count in range(members + 1):
        total += math.exp(_log_choose(members, count) + _log_beta(count + a, members - count + b) - _log_beta(a, b))
        counts.append(total)
    tail = (1 - CONFIDENCE) / 2
    low, high = bisect_right(counts, tail), min(bisect_left(counts, 1 - tail), members)
    return Interval(a / (a + b), low / members, high / members)


def _threshold(others: Sequence[float], allowed: int) -> float:
    """Give the score that at most so many of the others, which are sorted, are above."""
    return others[len(others) - 1 - allowed] if allowed < len(others) else -math.inf


def _above(scores: Sequence[float], threshold: float) -> int:
    return len(scores) - bisect_right(scores, threshold)


def _placements(scores: Sequence[float], others: Sequence[float]) -> list[float]:
    """Give for each score the share of the others, which are sorted, that is below it, ties half."""
    return [(bisect_left(others, one) + bisect_right(others, one)) / (2 * len(others)) for one in scores]


def _variance(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _crossing(rising: Callable[[float], float], level: float) -> float:
    """Give where a function that rises from 0 to 1 crosses a level."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < level else (low, middle)
    return (low + high) / 2


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
