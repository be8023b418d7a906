"""What the console knows of settings beforehand: as the configuration and the engine have it, in words that fit."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from fedlora_tui.aggregation import METHODS as ENGINE_METHODS
from fedlora_tui.aggregation.robust import DEFENCES
from fedlora_tui.config import RULES, Config, FederationConfig, to_mapping
from fedlora_tui.console.actions.turning_ranks import RANKS
from fedlora_tui.console.costs import costs
from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.screens.tune_words import WIDTH, bytes_pair, exactness
from fedlora_tui.console.tuning import (
    SETTINGS,
    Unallowed,
    coming,
    command_for,
    in_order,
    method_refused,
    read_number,
    refused,
    stands,
    stepped,
    taking_part,
)
from fedlora_tui.engine.knobs import KEYS, Change
from fedlora_tui.engine.knobs import refused as engine_refuses
from fedlora_tui.engine.sampling import sampled
from fedlora_tui.protocol.commands import Method, Rank
from fedlora_tui.protocol.events import KnobTurned, RunStarted, Waiting
from fedlora_tui.protocol.ranks import Ranks
from fedlora_tui.protocol.state import OrganizationState, RoundSummary, RunState
from fedlora_tui.protocol.tuning import AVERAGING_DEFENCES, BOUNDS, METHODS, WEIGHING_DEFENCES

NAMES = tuple(f"org-{number}" for number in range(12))


def run_of(config: Config = Config(), **known: Any) -> RunState:  # noqa: B008 (frozen)
    """A run of a configuration, in its seventh round."""
    started = RunStarted(
        "run", "gpt2", 124_000_000, 147_456, 4, 8.0, config.federation.aggregation, NAMES, "cpu", to_mapping(config)
    )
    state = RunState(
        phase="running",
        started=started,
        round=7,
        rounds=config.federation.rounds,
        ranks=Ranks(4),
        learning_rate=config.federation.learning_rate,
        aggregation=config.federation.aggregation,
        keeps_rank=ENGINE_METHODS[config.federation.aggregation].keeps_rank,
        trainable=147_456,
        organizations={name: OrganizationState(name) for name in NAMES},
    )
    return replace(state, **known)


@pytest.mark.parametrize("setting", BOUNDS)
def test_bounds_are_those_of_the_configuration(setting: str) -> None:
    rule, bounds = RULES[KEYS[setting]], BOUNDS[setting]
    assert (rule.most, rule.kind is int) == (bounds.most, bounds.whole)
    assert (rule.above if bounds.open else rule.least) == bounds.least


def test_methods_ask_what_they_say_of_themselves() -> None:
    assert tuple(METHODS) == RULES["federation.aggregation"].words
    for name, terms in METHODS.items():
        method = ENGINE_METHODS[name]
        assert terms.needs_replies == (method.needs == "replies")
        assert terms.both == (method.trains(1) == method.trains(2) == {"A", "B"} and not method.keeps_b_at_home)
        for same in ("changes_base", "unequal_ranks", "keeps_b_at_home", "keeps_rank", "continues", "weighs"):
            assert getattr(terms, same) == getattr(method, same)
    assert {*WEIGHING_DEFENCES} == {name for name, own in DEFENCES.items() if own.weighs}
    assert {*AVERAGING_DEFENCES} == {name for name, own in DEFENCES.items() if "replies" not in own.goes_with}


@pytest.mark.parametrize("robust", ["none", *DEFENCES])
@pytest.mark.parametrize("optimizer", ["none", "fedavgm"])
def test_a_method_is_refused_where_the_engine_refuses_it(optimizer: str, robust: str) -> None:
    for before, after in product(METHODS, METHODS):
        federation = FederationConfig(aggregation=before, server_optimizer=optimizer, robust=robust)
        config = Config(federation=federation)
        if before == after:
            continue
        theirs = engine_refuses(config, Change("aggregation", to=after), NAMES, 7)
        ours = method_refused(run_of(config), after)
        assert (ours is None) == (theirs is None), (before, after, ours, theirs)


def test_a_method_that_needs_equal_ranks_is_refused_where_some_have_their_own() -> None:
    state = run_of(Config(federation=FederationConfig(aggregation="hetlora")), ranks=Ranks(4, {"org-1": 2}))
    assert "needs equal ones" in (method_refused(state, "fedit") or "")
    assert method_refused(state, "flexlora") is None


@pytest.mark.parametrize("fraction", [0.01, 0.16, 0.17, 0.5, 0.83, 0.84, 1.0])
def test_as_many_train_as_the_run_samples(fraction: float) -> None:
    assert taking_part(run_of(), fraction) == len(sampled(NAMES, fraction, 2, 7, 3))


@pytest.mark.parametrize("setting", SETTINGS)
def test_steps_go_through_values_that_are_allowed_and_end(setting: str) -> None:
    state = run_of()
    value, seen = coming(state, setting), []
    for step in (-1, 1):
        for _ in range(40):
            value = stepped(state, setting, value, step)
            seen.append(value)
            if setting != "aggregation":
                assert read_number(state, setting, f"{value:.10g}") == pytest.approx(value)
    assert len({*seen}) > 5


def test_ranks_step_as_the_quick_keys_do() -> None:
    state, value = run_of(), 1
    for rank in RANKS[1:]:
        value = stepped(state, "rank", value, 1)
        assert value == rank
    assert stepped(state, "rank", 6, 1) == 8
    assert stepped(state, "rank", 6, -1) == 4


def test_what_a_setting_stands_at_is_what_was_turned_last() -> None:
    marks = (KnobTurned(3, "steps", 8, 32, 1), KnobTurned(5, "steps", 32, 16, 1))
    state = run_of(marks=marks, waiting=(Waiting("steps", 64, 8), Waiting("rounds", 30, 8)))
    assert (stands(state, "steps"), coming(state, "steps")) == (16, 64)
    assert (stands(state, "rounds"), coming(state, "rounds")) == (20, 30)
    assert stands(state, "fraction") == 1.0
    assert read_number(state, "rounds", "+10") == 40
    assert read_number(state, "rounds", "-5") == 25


@pytest.mark.parametrize("text", ["", "x", "1_0", "٣", "nan", "inf", "-1", "1e999", "9" * 40])
@pytest.mark.parametrize("setting", BOUNDS)
def test_what_is_no_such_number_is_refused_in_one_line(setting: str, text: str) -> None:
    if setting == "rounds" and text == "-1":
        return
    with pytest.raises(Unallowed) as error:
        read_number(run_of(), setting, text)
    assert "allowed is " in str(error.value)
    assert "\n" not in str(error.value)


def test_rank_and_method_go_in_the_order_in_which_the_run_takes_both() -> None:
    kept = run_of(Config(federation=FederationConfig(aggregation="fedsvd")))
    wanted = {"rank": 8, "aggregation": "fedit"}
    assert in_order(kept, wanted) == [Method("fedit"), Rank(8)]
    assert in_order(run_of(), {"rank": 8, "aggregation": "fedsvd"}) == [Rank(8), Method("fedsvd")]
    assert refused(kept, wanted) is None
    assert refused(kept, {"rank": 8}) == "fedsvd keeps its rank"


def test_steps_are_refused_where_epochs_count() -> None:
    state = run_of(Config(federation=FederationConfig(local_epochs=1)))
    assert refused(state, {"steps": 4}) == "federation.local_epochs counts, not local steps"


def test_costs_scale_with_what_is_turned() -> None:
    row = RoundSummary(6, 1.0, 1.0, seconds=10.0, bytes_up=1200, bytes_down=1200, tokens=800, orgs=12)
    state = run_of(history=(row,), speed=100.0, cohort=6, lanes=1)
    now, more = costs(state, {}, 0.0), costs(state, {"rank": 8}, 0.0)
    assert (now.trainable, more.trainable) == (147_456, 294_912)
    assert (now.round, more.round) == (2400, 4800)
    assert (now.memory, more.memory) == (16 * 147_456 * 6, 16 * 294_912 * 6)
    half = costs(state, {"fraction": 0.5, "steps": 16}, 0.0)
    assert half.seconds == pytest.approx(8.0 + 2.0)
    assert half.round == 1200
    assert costs(state, {"steps": 16}, 0.0).seconds == pytest.approx(16.0 + 2.0)
    assert costs(state, {"aggregation": "flora"}, 0.0).round is None
    assert costs(state, {"aggregation": "ffa"}, 0.0).reply is None
    assert costs(run_of(), {}, 0.0).seconds is None


def test_costs_of_modules_with_ranks_of_their_own_are_unknown() -> None:
    lora = replace(Config().lora, rank_pattern={"attn.c_proj": 2})
    assert costs(run_of(Config(lora=lora)), {"rank": 8}, 0.0).trainable is None


def test_bytes_stand_in_one_unit_where_that_says_something() -> None:
    assert bytes_pair(576 * 1024, 1152 * 1024, UNICODE) == "0.6 → 1.1 MiB"
    assert bytes_pair(9 * 1024, 5 * 2**20, UNICODE) == "9.0 KiB → 5.0 MiB"
    assert bytes_pair(1024, 1024, UNICODE) == "1.0 KiB"
    assert bytes_pair(None, None, UNICODE) == "–"


def test_what_is_said_of_exactness_fits() -> None:
    for name in METHODS:
        state = run_of(Config(federation=replace(FederationConfig(aggregation=name), server_cooldown=0.5)))
        values: dict[str, list[Any]] = {"rank": [1, 4, 1024], "aggregation": [*METHODS]}
        for setting in SETTINGS:
            for value in values.get(setting, [coming(state, setting)]):
                assert all(len(words) <= WIDTH for words in exactness(state, setting, value, UNICODE))
    assert command_for("rank", 8) == Rank(8)
