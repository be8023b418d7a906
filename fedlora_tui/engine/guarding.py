"""A run's protection from round to round: who is drawn, what that is charged, and whether the budget still lasts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fedlora_tui.aggregation import METHODS
from fedlora_tui.config import Config
from fedlora_tui.engine.sampling import goal_of
from fedlora_tui.errors import UserError
from fedlora_tui.lora.adapter import Adapter, is_one_of
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.privacy.accounting import Charge, in_words, least_noise, spent
from fedlora_tui.privacy.clipping import Limit
from fedlora_tui.privacy.noise import Bits, bits, lots
from fedlora_tui.privacy.statement import charges_of
from fedlora_tui.privacy.summing import Terms
from fedlora_tui.protocol import events as ev

SEEDED = (
    "privacy.seeded_noise = true: noise and lots follow from federation.seed, so whoever knows it can take them away: "
    "for tests, nothing is protected"
)


@dataclass(frozen=True)
class Drawn:
    """Who trains in a round, each drawn with `probability`, how many were to be expected, and how many at most."""

    round: int
    names: frozenset[str]
    probability: float
    expected: float
    most: int


class Guard:
    """What a run that protects its updates keeps: every noised sum that it was charged, and the draw of the round."""

    def __init__(self) -> None:
        self.charged: list[Charge] = []
        self._drawn: Drawn | None = None

    def go_on_from(self, state: Mapping[str, Any], told: Iterable[ev.Event]) -> None:
        """Take over what a checkpoint knows of, and what was told since: a round that is repeated is charged again."""
        self.charged += charges_of(state.get("privacy", ()))
        self.charged += [
            Charge(event.noise_multiplier, event.probability, event.sampling)
            for event in told
            if isinstance(event, ev.PrivacySpent)
        ]

    def kept(self) -> list[dict[str, Any]]:
        """Give what was charged as a checkpoint holds it."""
        return [asdict(charge) for charge in self.charged]

    def draw(self, round: int, config: Config, organizations: Collection[str]) -> Drawn:
        """Draw who trains in a round, once: who is in quarantine is drawn as the others are, and takes no part."""
        if self._drawn is None or self._drawn.round != round:
            purpose = f"lots|{round}|{len(self.charged)}"
            drawer, names = lots(_seed(config), purpose), sorted(organizations)
            share, expected = _share(config, len(names))
            if config.privacy.sampling == "poisson":
                most, taken = len(names), [name for name in names if share == 1.0 or drawer.random() < share]
            else:
                most = int(expected)
                taken = drawer.sample(names, most)
            self._drawn = Drawn(round, frozenset(taken), share, expected, most)
        return self._drawn

    def draw_anew(self) -> None:
        """Forget a draw that was charged: a round that is gone through once more has another."""
        self._drawn = None

    def charge(self, round: int, config: Config, organizations: Collection[str]) -> ev.PrivacySpent:
        """Charge a round before anything of it leaves an organization; give what was spent with it."""
        self.charged.append(self._coming(round, config, organizations))
        privacy, charge = config.privacy, self.charged[-1]
        found = spent(self.charged, privacy.delta)
        return ev.PrivacySpent(
            found.epsilon,
            privacy.delta,
            round,
            privacy.target_epsilon,
            found.accountant,
            charge.noise_multiplier,
            charge.probability,
            charge.sampling,
            privacy.seeded_noise,
        )

    def exhausted(self, round: int, config: Config, organizations: Collection[str]) -> str | None:
        """Say that a round would spend more than the budget has, None where it does not."""
        target = config.privacy.target_epsilon
        after = spent([*self.charged, self._coming(round, config, organizations)], config.privacy.delta).epsilon
        if not target or after <= target:
            return None
        return (
            f"privacy budget: round {round} would bring epsilon to {in_words(after)}, over privacy.target_epsilon = "
            f"{target:g}"
        )

    def unaffordable(self, before: Config, after: Config, organizations: int, round: int) -> str | None:
        """Say that a changed setting would spend more than the budget has until the last round; None where not."""
        privacy = after.privacy
        if privacy.mechanism == "none" or not privacy.target_epsilon:
            return None
        was, is_ = (self._projected(config, organizations, round) for config in (before, after))
        if is_ <= max(was, privacy.target_epsilon):
            return None
        return (
            f"epsilon would be {in_words(is_)} after round {after.federation.rounds}, over privacy.target_epsilon = "
            f"{privacy.target_epsilon:g}"
        )

    def terms(self, config: Config) -> Terms | None:
        """Give how the changes of the round that was drawn are protected, None where they are not."""
        if self._drawn is None or config.privacy.mechanism == "none":
            return None
        return _terms(config, self._drawn.expected, self._drawn.most)

    def plan(self, plan: LocalTraining, config: Config) -> LocalTraining:
        """Give the plan of who trains in the round that was drawn, with the part of the noise that is its own."""
        terms = self.terms(config)
        return plan if terms is None else replace(plan, update_noise=terms.own_deviation)

    def source(self, round: int, config: Config) -> Bits:
        """Give what the server's noise of a round is made of."""
        return bits(_seed(config), f"noise||{round}|{len(self.charged)}")

    def _coming(self, round: int, config: Config, organizations: Collection[str]) -> Charge:
        return _charge(config, self.draw(round, config, organizations).probability)

    def _projected(self, config: Config, organizations: int, round: int) -> float:
        left = max(0, config.federation.rounds - round)
        coming = [_charge(config, _share(config, organizations)[0])] * left
        return spent([*self.charged, *coming], config.privacy.delta).epsilon


def with_noise(config: Config, organizations: int) -> Config:
    """Give a configuration whose noise multiplier is a number, found for its rounds where it was to be found.

    Raises UserError where no noise is enough for the budget, or what is asked for does not last a single round.
    """
    privacy, rounds = config.privacy, config.federation.rounds
    if privacy.mechanism == "none":
        return config
    share = _share(config, organizations)[0]
    if privacy.noise_multiplier == "auto":
        noise = least_noise(
            privacy.target_epsilon, privacy.delta, rounds, lambda noise: Charge(noise, share, privacy.sampling)
        )
        if noise is None:
            raise UserError(
                f"privacy.target_epsilon = {privacy.target_epsilon:g}: no noise is enough for {rounds} rounds at "
                f"privacy.delta = {privacy.delta:g}: raise it, or let the run have fewer rounds"
            )
        return replace(config, privacy=replace(privacy, noise_multiplier=noise))
    if privacy.target_epsilon and lasting(config, organizations) == 0:
        one = spent([_charge(config, share)], privacy.delta).epsilon
        raise UserError(
            f"privacy.noise_multiplier = {privacy.noise_multiplier:g}: the first round would spend epsilon "
            f"{in_words(one)}, over privacy.target_epsilon = {privacy.target_epsilon:g}: raise either, or set "
            f'noise_multiplier = "auto"'
        )
    return config


def lasting(config: Config, organizations: int) -> int:
    """Give for how many of a run's rounds its budget lasts: all of them where it has none."""
    privacy, rounds = config.privacy, config.federation.rounds
    if privacy.mechanism == "none" or not privacy.target_epsilon:
        return rounds
    charge = _charge(config, _share(config, organizations)[0])

    def within(count: int) -> bool:
        return spent([charge] * count, privacy.delta).epsilon <= privacy.target_epsilon

    if within(rounds):
        return rounds
    low, high = 0, rounds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(middle) else (low, middle)
    return low


def warnings(config: Config, organizations: int, adapter: Adapter) -> list[ev.Warned]:
    """Give what an operator has to know of a protection before the first round."""
    told = [ev.Warned(SEEDED)] if config.privacy.seeded_noise else []
    if config.privacy.mechanism == "none":
        return told
    times = drowned(config, organizations, adapter)
    if times > 1:
        told.append(
            ev.Warned(
                f"the noise on a round's mean is {times:.1f} times as long as the longest mean of updates can be: "
                f"little is learned; more organizations, a larger privacy.target_epsilon or a lower rank make it less"
            )
        )
    rounds, enough = config.federation.rounds, lasting(config, organizations)
    if enough < rounds:
        target = config.privacy.target_epsilon
        told.append(ev.Warned(f"privacy.target_epsilon = {target:g} lasts for {enough} of {rounds} rounds"))
    return told


def drowned(config: Config, organizations: int, adapter: Adapter) -> float:
    """Give how many times longer a mean's noise is than the longest mean of updates: sigma sqrt(numbers) / (q N)."""
    terms = _terms(config, _share(config, organizations)[1], organizations)
    factors = METHODS[config.federation.aggregation].sends(1)
    numbers = sum(tensor.numel() for name, tensor in adapter.tensors().items() if is_one_of(name, factors))
    return terms.noise_multiplier * math.sqrt(numbers) / terms.expected


def _charge(config: Config, probability: float) -> Charge:
    return Charge(_noise(config), probability, config.privacy.sampling)


def _terms(config: Config, expected: float, most: int) -> Terms:
    privacy = config.privacy
    limit = Limit(privacy.clip_norm, privacy.clip == "module")
    return Terms(limit, _noise(config), expected, most if privacy.noise == "organizations" else 0)


def _noise(config: Config) -> float:
    noise = config.privacy.noise_multiplier
    assert not isinstance(noise, str), "it is a number once a run is prepared"
    return noise


def _share(config: Config, organizations: int) -> tuple[float, float]:
    """Give with which probability an organization is drawn, and how many are to be expected."""
    federation = config.federation
    if config.privacy.sampling == "poisson":
        return federation.fraction, federation.fraction * organizations
    goal = goal_of(organizations, federation.fraction, federation.min_organizations)
    return goal / organizations if organizations else 1.0, float(goal)


def _seed(config: Config) -> int | None:
    return config.federation.seed if config.privacy.seeded_noise else None
