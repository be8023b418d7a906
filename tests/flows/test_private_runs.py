"""Runs whose updates are protected: what they charge and when, what ends them, what they refuse, what never leaves."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.auditing import claimed
from fedlora_tui.engine.folder import read_config
from fedlora_tui.engine.past import Fork, read_journal
from fedlora_tui.engine.run import Manner, Run, Start
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.privacy.accounting import Charge, in_words, spent
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import GUARD, WatchedRun, configured, small_settings

PRIVATE = {"privacy.mechanism": "gaussian", "privacy.seeded_noise": "true", "privacy.noise_multiplier": 2.0}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return small_settings(tmp_path_factory.mktemp("private")) | PRIVATE


@pytest.fixture(scope="module")
def bounded(settings):
    """A run whose budget lasts for two of its four rounds, with one that sends too long updates."""
    lasts_for_two = spent([Charge(2.0, 1.0, "poisson")] * 2, 1e-5).epsilon + 0.01
    config = configured(settings, privacy__target_epsilon=lasts_for_two, federation__rounds=4, runs__name="bounded")
    watched = WatchedRun(replace(config, faults={"beta": "poison x500"}))

    def turn() -> None:
        for command in (ask.Rounds(9), ask.Rounds(3), ask.Method("fedex"), ask.Rounds(4)):
            watched.run.send(command)

    watched.when(lambda event: isinstance(event, ev.TrainStep), turn)
    return watched.go()


def test_a_run_ends_before_it_would_spend_more_than_its_budget(bounded):
    assert bounded.run.state.phase == "done", bounded.run.refusal or bounded.run.state.reason
    told = bounded.told(ev.PrivacySpent)
    assert [event.round for event in told] == [1, 2]
    assert told[-1].epsilon <= told[-1].target < spent([Charge(2.0, 1.0, "poisson")] * 3, 1e-5).epsilon
    ended = bounded.told(ev.RunFinished)[0]
    assert ended.rounds == 2
    assert ended.reason.startswith("privacy budget: round 3 would bring epsilon to ")
    warned = [event.message for event in bounded.told(ev.Warned)]
    assert any("lasts for 2 of 4 rounds" in message for message in warned)
    assert any("follow from federation.seed" in message for message in warned), "the journal says that it is seeded"
    assert all(event.seeded for event in told)


def test_a_round_is_charged_before_anything_of_it_is_told(bounded):
    kinds = {}
    for place, record in enumerate(bounded.records):
        kinds.setdefault((type(record.event), getattr(record.event, "round", None)), []).append(place)
    for round in (1, 2):
        (charged,) = kinds[ev.PrivacySpent, round]
        assert all(charged < min(kinds[kind, round]) for kind in (ev.TrainStep, ev.UpdateReceived, ev.RoundAggregated))


def test_every_organization_weighs_the_same_and_who_sends_too_much_is_out_at_no_ones_cost(bounded):
    rejected = [event for event in bounded.told(ev.UpdateRejected) if event.org == "beta"]
    assert len(rejected) == 2
    assert all("is allowed (privacy.clip_norm = 1)" in event.reason for event in rejected)
    for event in bounded.told(ev.RoundAggregated):
        assert event.weights == pytest.approx({"alpha": 1 / 3, "gamma": 1 / 3}), "the divisor stays that of all three"


def test_more_rounds_than_the_budget_has_are_refused_in_one_line_and_fewer_are_not(bounded):
    refused = {event.value: event.reason for event in bounded.told(ev.CommandRefused)}
    assert refused[9].startswith("epsilon would be ")
    assert "after round 9, over privacy.target_epsilon = " in refused[9]
    assert "choose fedit, ffa, rolora, fedsa, fedsvd" in refused["fedex"]
    taken = [event.value for event in bounded.told(ev.CommandAcknowledged)]
    assert 3 in taken


def test_the_checkpoint_keeps_what_was_charged(bounded):
    assert checkpoint.read_state(bounded.folder, 0)["privacy"] == []
    line = {"noise_multiplier": 2.0, "probability": 1.0, "sampling": "poisson"}
    assert checkpoint.read_state(bounded.folder, 2)["privacy"] == [line, line]


def test_the_model_card_says_what_was_spent_for_whom_and_what_is_not_protected(bounded):
    bounded.run.send(ask.Export(round="1"))
    told = bounded.wait_for(lambda event: isinstance(event, ev.AdapterExported))
    card = (Path(told.path) / "README.md").read_text(encoding="utf-8").split("## Privacy")[1]
    epsilon = bounded.told(ev.PrivacySpent)[0].epsilon
    for words in (
        f"epsilon = {in_words(epsilon)} at delta = 1e-05",
        "| mechanism | gaussian: each update clipped to 1 jointly",
        "| unit of protection | one organization with all of its text, there or not |",
        "| accountant | PLD (dp-accounting)",
        "| sampling assumption | none: all organizations in every sum |",
        "FOR TESTS, it protects nothing",
        "Not protected:",
        "losses that organizations send",
        "the run's journal",
    ):
        assert words in card


def test_every_byte_that_left_an_organization_is_told_by_kind_those_of_refused_replies_too(bounded):
    came = [event for event in bounded.told(ev.UpdateReceived) if event.org == "alpha"]
    assert all(set(event.left) == {"A", "B", "numbers"} for event in came)
    assert all(event.left["A"] + event.left["B"] == event.bytes_up for event in came)
    assert all(event.left["numbers"] == 8 * event.numbers for event in came)
    refused = [event for event in bounded.told(ev.UpdateRejected) if event.org == "beta"]
    assert [event.left for event in refused] == [event.left for event in came], "it left, though it was not taken"
    ledger = bounded.run.state.organizations["beta"].ledger
    assert ledger.left == {kind: 2 * size for kind, size in came[0].left.items()}
    assert ledger.lost == sum(ledger.left.values())


def test_resume_charges_a_repeated_round_again_and_a_fork_all_that_its_parent_made(settings):
    watched = WatchedRun(configured(settings, federation__rounds=3, privacy__target_epsilon=0.0, runs__name="resumed"))

    def second(event):
        return isinstance(event, ev.TrainStep) and event.round == 2

    watched.when(second, lambda: watched.run.send(ask.Stop("interrupted")))
    watched.go()
    assert watched.run.state.phase == "stopped"
    assert [event.round for event in watched.told(ev.PrivacySpent)] == [1, 2]
    watched.run.close()

    again = Run(read_config(watched.folder), Manner(), start=Start(continues=watched.folder))
    again.start()
    assert again.wait(GUARD)
    again.close()
    assert again.state.phase == "done", again.refusal or again.state.reason
    told = [r.event for r in read_journal(watched.folder) if isinstance(r.event, ev.PrivacySpent)]
    assert [event.round for event in told] == [1, 2, 2, 3]
    four = spent([Charge(2.0, 1.0, "poisson")] * 4, 1e-5).epsilon
    assert told[-1].epsilon == pytest.approx(four)
    assert len(checkpoint.read_state(watched.folder, 3)["privacy"]) == 4

    config = configured(settings, federation__rounds=2, privacy__target_epsilon=0.0, runs__name="forked")
    fork = WatchedRun(config)
    fork.run = Run(config, Manner(), start=Start(fork=Fork(watched.folder, 1)))
    fork.run.subscribe(fork._hear)
    fork.go()
    assert fork.run.state.phase == "done", fork.run.refusal or fork.run.state.reason
    five = spent([Charge(2.0, 1.0, "poisson")] * 5, 1e-5).epsilon
    assert [event.epsilon for event in fork.told(ev.PrivacySpent)] == [pytest.approx(five)], "its four, and one more"
    assert claimed(checkpoint.read(fork.folder, 1), 1e-5) == pytest.approx(four), "an audit of where it begins knows"


@pytest.fixture(scope="module")
def drawn(settings):
    """Rounds of which some have nobody, with losses that stay where they are; and all that was sent."""
    messages = []
    original = LocalGrid.send_and_receive

    def spying(self, sent, *, timeout=None):
        replies = list(original(self, sent := list(sent), timeout=timeout))
        messages.extend(replies)
        return replies

    LocalGrid.send_and_receive = spying
    try:
        changes = {"federation__fraction": 0.2, "federation__rounds": 8, "federation__min_organizations": 1}
        changes |= {"privacy__withhold_losses": "true", "privacy__noise": "organizations"}
        watched = WatchedRun(configured(settings, **changes), patient=False).go()
    finally:
        LocalGrid.send_and_receive = original
    assert watched.run.state.phase == "done", watched.run.refusal or watched.run.state.reason
    return watched, messages


def test_a_round_that_nobody_was_drawn_for_adds_noise_and_is_charged(drawn):
    watched, _ = drawn
    sizes = {event.round: len(event.orgs) for event in watched.told(ev.RoundFinished)}
    assert len(sizes) == 8
    assert 0 in sizes.values()
    assert len(set(sizes.values())) > 1, "each is drawn by a lot of its own"
    assert [event.round for event in watched.told(ev.PrivacySpent)] == list(range(1, 9))
    empty = next(round for round, size in sizes.items() if size == 0 and round > 1)
    before, after = (checkpoint.read(watched.folder, round).adapter for round in (empty - 1, empty))
    moved = [(after.tensors()[name] - own).double() for name, own in before.tensors().items()]
    numbers = sum(tensor.numel() for tensor in moved)
    size = math.sqrt(sum(float(tensor.square().sum()) for tensor in moved) / numbers)
    # Noise of 2.0 on the sum, over 0.2 * 3 organizations that were to be expected.
    assert size == pytest.approx(2.0 / 0.6, rel=5 / math.sqrt(2 * numbers))


def test_a_card_does_not_tell_who_was_drawn(drawn):
    """Whoever has the adapter has its card, and epsilon counts on lots that stay secret."""
    watched, _ = drawn
    assert set(checkpoint.read_state(watched.folder, 1)["trained_by"]) < {"alpha", "beta", "gamma"}
    watched.run.send(ask.Export(round="1"))
    told = watched.wait_for(lambda event: isinstance(event, ev.AdapterExported))
    card = (Path(told.path) / "README.md").read_text(encoding="utf-8")
    assert "trained by 3 organizations in a federation" in card
    assert "| organizations | alpha, beta, gamma |" in card


def test_no_loss_leaves_where_losses_are_withheld(drawn):
    watched, messages = drawn
    assert messages
    for message in messages:
        for record in message.content.metric_records.values():
            assert set(record) == {"num-examples", "tokens", "steps"}
    assert not watched.told(ev.OrgEvaluated)
    assert all(event.loss is None for event in [*watched.told(ev.TrainStep), *watched.told(ev.UpdateReceived)])
    assert all(event.train_loss is event.eval_loss is None for event in watched.told(ev.RoundFinished))


REFUSED = {
    "robust": ({"federation__robust": "median"}, 'federation.robust = "median" is no sum'),
    "method": ({"federation__aggregation": "flora"}, 'federation.aggregation = "flora" needs each reply by itself'),
    "ranks": ({"lora__rank": '{ default = 4, "beta" = 2 }', "federation__aggregation": "fedit"}, "rank"),
    "oversample": ({"federation__oversample": 0.5}, "federation.oversample = 0.5"),
    "deadline": ({"federation__deadline": 9.0}, "federation.deadline = 9 one's text decides whether another's"),
    "min_replies": ({"federation__min_replies": 2}, "federation.min_replies = 2"),
    "no target": ({"privacy__noise_multiplier": "auto", "privacy__target_epsilon": 0.0}, "privacy.target_epsilon"),
    "delta": ({"privacy__delta": 0.4}, "privacy.delta = 0.4 is no less than 1 / 3"),
    "one round": ({"privacy__noise_multiplier": 0.2}, "the first round would spend epsilon "),
    "no noise": (
        {"privacy__noise_multiplier": "auto", "privacy__target_epsilon": 1e-6, "privacy__delta": 1e-12},
        "no noise is enough for 2 rounds",
    ),
    "no mechanism": ({"privacy__mechanism": "none"}, "does nothing with privacy.mechanism"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_protection_cannot_go_with_is_refused_by_name_before_the_run(settings, name):
    changes, words = REFUSED[name]
    watched = WatchedRun(configured(settings, **changes)).go()
    assert watched.run.folder is None
    assert words in (watched.run.refusal or "")
    assert "\n" not in watched.run.refusal


@pytest.mark.parametrize("method", ["ffa", "rolora", "fedsa", "fedsvd"])
def test_every_method_of_sums_trains_under_noise(settings, method):
    watched = WatchedRun(
        configured(
            settings,
            federation__aggregation=method,
            privacy__clip="module",
            privacy__sampling="fixed",
            federation__fraction=0.6,
            privacy__target_epsilon=0.0,
        )
    ).go()
    assert watched.run.state.phase == "done", watched.run.refusal or watched.run.state.reason
    assert {len(event.orgs) for event in watched.told(ev.RoundFinished)} == {2}
    assert [event.probability for event in watched.told(ev.PrivacySpent)] == [pytest.approx(2 / 3)] * 2
