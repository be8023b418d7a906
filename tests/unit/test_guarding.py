"""Draws, charges and budgets of a private run, without the run; and what its keys may hold."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fedlora_tui.config import Config, Setting, load
from fedlora_tui.engine.guarding import Guard, drowned, lasting, warnings, with_noise
from fedlora_tui.engine.plan import plan_of
from fedlora_tui.errors import UserError
from fedlora_tui.lora.adapter import TargetModule, initial
from fedlora_tui.privacy.accounting import Charge, spent
from fedlora_tui.privacy.combinations import unprotectable
from fedlora_tui.protocol import events as ev

NAMES = [f"org-{number}" for number in range(10)]
ADAPTER = initial((TargetModule("h", 30, 20, False),), 2, 4.0, 1)


def private(rounds: int = 6, fraction: float = 0.3, **privacy: object) -> Config:
    config = Config()
    settings = {"mechanism": "gaussian", "noise_multiplier": 3.0, "target_epsilon": 0.0, "seeded_noise": True} | privacy
    federation = replace(config.federation, rounds=rounds, fraction=fraction)
    return replace(config, federation=federation, privacy=replace(config.privacy, **settings))


def test_poisson_draws_each_by_a_lot_of_its_own_and_fixed_a_fixed_number():
    poisson, fixed = private(), private(sampling="fixed")
    drawn = [Guard().draw(round, poisson, NAMES) for round in range(1500)]
    assert {(one.probability, one.expected) for one in drawn} == {(0.3, 3.0)}
    for name in NAMES:
        share = sum(name in one.names for one in drawn) / len(drawn)
        assert share == pytest.approx(0.3, abs=5 * (0.21 / 1500) ** 0.5)
    sizes = [len(one.names) for one in drawn]
    # A sum of ten such lots: variance 10 * 0.3 * 0.7.
    assert sum((size - 3) ** 2 for size in sizes) / len(sizes) == pytest.approx(2.1, rel=0.2)
    assert min(sizes) == 0
    fixed_draws = [Guard().draw(round, fixed, NAMES) for round in range(300)]
    assert {(len(one.names), one.probability, one.expected) for one in fixed_draws} == {(3, 0.3, 3.0)}
    assert frozenset.union(*(one.names for one in fixed_draws)) == set(NAMES)
    assert len({Guard().draw(1, private(seeded_noise=False), NAMES).names for _ in range(40)}) > 5, "no seed, no repeat"


@pytest.mark.parametrize("sampling", ["poisson", "fixed"])
def test_the_noise_on_a_sum_is_the_same_however_many_were_drawn_for_it(sampling):
    """More noise where more are drawn would tell how many those were, and with that who was among them."""
    config, plan = private(noise="organizations", sampling=sampling, clip_norm=0.5), plan_of(Config(), 1)
    guard, seen = Guard(), set()
    for round in range(200):
        replies = len(guard.draw(round, config, NAMES).names)
        own, terms = guard.plan(plan, config).update_noise, guard.terms(config)
        seen.add(replies)
        assert math.hypot(own * math.sqrt(replies), terms.missing(replies)) == pytest.approx(3.0 * 0.5)
    assert max(seen) > 3 or sampling == "fixed", "more than the three that were to be expected"


def test_a_deadline_goes_with_privacy_where_nobody_slows_another():
    config = private()

    def said(**more: object) -> str | None:
        return unprotectable(replace(config, federation=replace(config.federation, deadline=9.0, **more)), 10)

    assert "one's text decides whether another's reply is late" in (said() or "")
    assert said(cohort=1) is said(runtime="superlink") is None


def test_a_draw_stays_for_its_round_and_a_round_that_is_repeated_has_another():
    guard, config = Guard(), private(fraction=0.5)
    first = guard.draw(1, config, NAMES)
    assert guard.exhausted(1, config, NAMES) is None
    event = guard.charge(1, config, NAMES)
    assert guard.draw(1, config, NAMES) is first
    assert (event.probability, event.noise_multiplier, event.sampling, event.seeded) == (0.5, 3.0, "poisson", True)
    guard.draw_anew()
    assert guard.draw(1, config, NAMES).names != first.names
    assert guard.charge(1, config, NAMES).epsilon > event.epsilon
    assert guard.kept() == [{"noise_multiplier": 3.0, "probability": 0.5, "sampling": "poisson"}] * 2


def test_a_run_that_goes_on_counts_what_its_checkpoint_and_its_journal_know():
    guard = Guard()
    line = {"noise_multiplier": 3.0, "probability": 0.5, "sampling": "poisson"}
    told = [ev.PrivacySpent(1.0, 1e-5, 3, 0.0, "PLD", 3.0, 0.25, "poisson"), ev.Warned("another kind")]
    guard.go_on_from({"privacy": [line]}, told)
    guard.go_on_from({}, [])
    assert guard.charged == [Charge(3.0, 0.5, "poisson"), Charge(3.0, 0.25, "poisson")]


def test_noise_is_found_for_the_rounds_and_kept_and_what_does_not_last_is_said():
    auto = with_noise(private(noise_multiplier="auto", target_epsilon=2.0), 10)
    assert isinstance(auto.privacy.noise_multiplier, float)
    assert lasting(auto, 10) == 6
    guard = Guard()
    told = [guard.charge(round, auto, NAMES).epsilon for round in range(1, 7)]
    assert told == sorted(told)
    assert 1.9 < told[-1] <= 2.0
    assert "round 7 would bring epsilon to 2." in (guard.exhausted(7, auto, NAMES) or "")
    short = private(rounds=500, target_epsilon=2.0)
    enough = lasting(short, 10)
    charge = Charge(3.0, 0.3, "poisson")
    assert spent([charge] * enough, 1e-5).epsilon <= 2.0 < spent([charge] * (enough + 1), 1e-5).epsilon
    assert f"lasts for {enough} of 500 rounds" in warnings(short, 10, ADAPTER)[-1].message
    assert with_noise(Config(), 10) == Config()
    assert lasting(Config(), 10) == Config().federation.rounds


def test_a_knob_is_refused_that_would_spend_more_than_the_budget_and_more_than_before():
    auto, guard = with_noise(private(noise_multiplier="auto", target_epsilon=2.0), 10), Guard()
    guard.charge(1, auto, NAMES)

    def turned(**changes: object) -> Config:
        return replace(auto, federation=replace(auto.federation, **changes))

    assert "epsilon would be " in (guard.unaffordable(auto, turned(rounds=12), 10, 1) or "")
    assert "epsilon would be " in (guard.unaffordable(auto, turned(fraction=0.9), 10, 1) or "")
    assert guard.unaffordable(auto, turned(rounds=4), 10, 1) is None
    assert guard.unaffordable(auto, turned(rounds=12, fraction=0.1), 10, 1) is None
    assert guard.unaffordable(turned(rounds=20), turned(rounds=12), 10, 1) is None, "less than was asked before"
    assert Guard().unaffordable(auto, Config(), 10, 1) is None


def test_noise_that_drowns_what_is_learned_is_said_at_the_start():
    config = private(fraction=1.0)
    assert drowned(config, 10, ADAPTER) == pytest.approx(3.0 * (2 * 30 + 2 * 20) ** 0.5 / 10)
    told = [event.message for event in warnings(config, 10, ADAPTER)]
    assert any("is 3.0 times as long as the longest mean of updates can be" in message for message in told)
    assert not any("times as long" in event.message for event in warnings(config, 40, ADAPTER))
    ffa = replace(config, federation=replace(config.federation, aggregation="ffa"))
    assert drowned(ffa, 10, ADAPTER) == pytest.approx(3.0 * (2 * 20) ** 0.5 / 10), "B alone travels"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("mechanism", "laplace"), ("clip_norm", "0.0"), ("clip_norm", "nan"), ("clip", "layer"), ("noise", "nobody")),
        *(("noise_multiplier", "0.05"), ("noise_multiplier", "20000"), ("noise_multiplier", "some"), ("delta", "0.0")),
        *(("delta", "1.0"), ("target_epsilon", "-1"), ("target_epsilon", "20000"), ("sampling", "all")),
        *(("withhold_losses", "1"), ("seeded_noise", "yes"), ("secure_sum", "1")),
    ],
)
def test_a_key_of_privacy_that_holds_what_it_may_not_is_refused_with_what_is_allowed(key, value):
    with pytest.raises(UserError) as refused:
        load(None, [Setting(f"privacy.{key}", value, "--set")])
    assert str(refused.value).startswith(f"--set: privacy.{key} = ")
    assert "allowed is " in str(refused.value)
