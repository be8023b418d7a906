"""What a run has given away of an organization: epsilon at a delta, from every noised sum that left the server.

Each sum is charged by the deviation of its noise over the clip norm C and by how organizations were drawn for it.

- Poisson: each by a lot of its own. Neighbours are two runs, one without the organization; a sum differs by C at most.
  Accountants: Renyi (RDP) and privacy loss distributions (PLD), both with amplification by sampling.
- Fixed size m of N < N: neighbours are two runs with one organization replaced, as drawing a fixed number asks; a sum
  differs by 2 C at most, so that noise counts half. RDP has amplification (Wang, Balle and Kasiviswanathan 2019), PLD
  has none here and counts every organization in every sum.
- All, in every round: as Poisson with probability 1; neighbours as there.

Both accountants give an upper bound that holds, and the lower one is told, by name. They are dp-accounting's.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

RDP, PLD = "RDP", "PLD"

FINEST, STEPS = 1e-4, 4000
"""The smallest step between privacy losses that PLD tells apart, and how many of them it has up to epsilon."""

PLD_UP_TO = 1000.0
"""An epsilon above which nobody asks for the second digit: there RDP's is told."""

FIXED_ORDERS = (*range(2, 21), 24, 28, 32, 40, 48, 64, 96)
"""Orders of Renyi divergences where a fixed number is drawn: between whole ones it is interpolated, to no use."""

MOST_NOISE = 10_000.0
CLOSE = 5e-3
"""A found noise multiplier is at most this share above the least one."""


@dataclass(frozen=True, order=True)
class Charge:
    """One noised sum: its noise over the clip norm, the share of the organizations that was drawn, and how."""

    noise_multiplier: float
    probability: float
    sampling: str

    @property
    def amplified(self) -> bool:
        """True where not all take part."""
        return self.probability < 1.0


@dataclass(frozen=True)
class Spent:
    """What was given away, and which accountant says so."""

    epsilon: float
    accountant: str


NOTHING = Spent(0.0, PLD)


def spent(charges: Iterable[Charge], delta: float) -> Spent:
    """Give what some sums gave away together: the lower one of two bounds that hold."""
    return _spent(tuple(sorted(Counter(charges).items())), delta)


@lru_cache(maxsize=256)
def _spent(counted: Sequence[tuple[Charge, int]], delta: float) -> Spent:
    if not counted:
        return NOTHING
    renyi = rdp_epsilon(counted, delta)
    if renyi > PLD_UP_TO:
        return Spent(renyi, RDP)
    tight = pld_epsilon(counted, delta, max(FINEST, renyi / STEPS))
    return Spent(tight, PLD) if tight <= renyi else Spent(renyi, RDP)


def rdp_epsilon(counted: Sequence[tuple[Charge, int]], delta: float) -> float:
    """Give the bound by Renyi divergences of charges, each so many times."""
    from dp_accounting.rdp import compute_epsilon

    replaced = _replaced(counted)
    curves = [count * _curve(charge, replaced) for charge, count in counted]
    return float(compute_epsilon(_orders(replaced), sum(curves), delta)[0])


def _replaced(counted: Sequence[tuple[Charge, int]]) -> bool:
    """Tell whether neighbours differ by one organization that is another, as drawing a fixed number asks."""
    return any(charge.sampling == "fixed" and charge.amplified for charge, _ in counted)


def _orders(replaced: bool) -> Any:
    from dp_accounting.rdp import rdp_privacy_accountant

    # dp-accounting warns for each order whose series does not converge, and leaves that one out.
    logging.getLogger("absl").setLevel(logging.ERROR)
    return FIXED_ORDERS if replaced else rdp_privacy_accountant.DEFAULT_RDP_ORDERS


@lru_cache(maxsize=256)
def _curve(charge: Charge, replaced: bool) -> NDArray[np.float64]:
    """Give the Renyi divergences of one charge at all orders."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    relations = dp_accounting.NeighboringRelation
    accountant = RdpAccountant(_orders(replaced), relations.REPLACE_ONE if replaced else relations.ADD_OR_REMOVE_ONE)
    noise = dp_accounting.GaussianDpEvent(charge.noise_multiplier / (2 if replaced else 1))
    event: Any = noise
    if charge.amplified and charge.sampling == "poisson":
        event = dp_accounting.PoissonSampledDpEvent(charge.probability, noise)
    elif charge.amplified:
        # It asks for the two numbers, and uses their share.
        event = dp_accounting.SampledWithoutReplacementDpEvent(1.0, charge.probability, noise)
    return np.asarray(accountant.compose(event).rdp)


def pld_epsilon(counted: Sequence[tuple[Charge, int]], delta: float, step: float) -> float:
    """Give the bound by privacy loss distributions, rounded up to multiples of `step`."""
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    replaced = _replaced(counted)
    accountant = PLDAccountant(value_discretization_interval=step)
    for charge, count in counted:
        event: Any = dp_accounting.GaussianDpEvent(charge.noise_multiplier / (2 if replaced else 1))
        if charge.amplified and charge.sampling == "poisson":
            event = dp_accounting.PoissonSampledDpEvent(charge.probability, event)
        accountant.compose(event, count)
    return float(accountant.get_epsilon(delta))


def in_words(epsilon: float) -> str:
    """Write an epsilon to two decimals, never lower than it is."""
    return f"{math.ceil(round(epsilon * 100, 6)) / 100:.2f}"


def least_noise(epsilon: float, delta: float, rounds: int, charge: Callable[[float], Charge]) -> float | None:
    """Find the least noise multiplier with which so many rounds stay within epsilon, None where none does.

    `charge` gives what a round costs with a noise multiplier.
    """

    def within(noise: float) -> bool:
        counted = ((charge(noise), rounds),)
        renyi = rdp_epsilon(counted, delta)
        # Where RDP's bound is far above, PLD's is above, too; were it not, a little more noise would be found.
        return renyi <= epsilon or (renyi <= 2 * epsilon + 1 and _spent(counted, delta).epsilon <= epsilon)

    low, high = 0.1, 1.0
    while not within(high):
        low, high = high, 2 * high
        if high > MOST_NOISE:
            return None
    if high == 1.0 and within(low):
        return low
    while high / low > 1 + CLOSE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if within(middle) else (middle, high)
    return math.ceil(high * 1e4) / 1e4
