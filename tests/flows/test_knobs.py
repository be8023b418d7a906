"""Settings that are turned while a run goes on: when they act, what they change, and what is refused."""

from __future__ import annotations

import pytest
import torch

from fedlora_tui.aggregation import METHODS
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.knobs import KEYS
from fedlora_tui.engine.prepare import Texts
from fedlora_tui.errors import UserError
from fedlora_tui.lora.export import product
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import KNOBS
from tests.tiny_runs import WatchedRun, configured, small_settings


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def in_round(number):
    return lambda event: isinstance(event, ev.RoundStarted) and event.round == number


def turned_in_rounds(settings, turns, **more):
    """A run of four rounds in which commands are sent while each of some rounds is under way."""
    watched = WatchedRun(configured(settings, **{"federation__rounds": 4, **more}))

    def sending(commands):
        return lambda: [watched.run.send(command) for command in commands]

    for number, commands in turns.items():
        watched.when(in_round(number), sending(commands))
    return watched.go()


def turned_in_round(settings, number, *commands, **more):
    """A run of four rounds in which commands are sent while one of them is under way."""
    return turned_in_rounds(settings, {number: commands}, **more)


def kept(watched, round):
    return checkpoint.read(watched.folder, round).adapter


def products(adapter):
    return {module: product(adapter, module) for module in adapter.factors}


def refusals(watched):
    return [event.reason for event in watched.told(ev.CommandRefused)]


def test_the_commands_and_the_keys_of_the_configuration_are_the_same_knobs():
    assert tuple(KEYS) == KNOBS


def test_a_higher_rank_takes_effect_at_the_next_round_and_changes_no_product(settings):
    watched = turned_in_round(settings, 1, ask.Rank(8))
    (answer,) = watched.told(ev.CommandAcknowledged)
    assert (answer.command, answer.value, answer.takes_effect_round, answer.before) == ("rank", 8, 2, 4)
    (turned,) = watched.told(ev.KnobTurned)
    assert (turned.round, turned.knob, turned.before, turned.value, turned.lost) == (2, "rank", 4, 8, 0.0)
    first, second = kept(watched, 1), kept(watched, 2)
    assert (first.rank, second.rank) == (4, 8)
    assert first.scale == second.scale
    assert watched.run.state.rank == 8
    assert turned.trainable == second.parameters == watched.run.state.trainable
    # The new rows took part in the round: their columns of B, zero before it, have moved.
    for module, factors in second.factors.items():
        assert factors.b[:, 4:].abs().max() > 0, module
        assert factors.a[4:].abs().max() > 0, module
    # Nobody saw another model at the boundary: the first loss of round 2 is what rank 4 would have had.
    plain = turned_in_round(settings, 1)
    steps = {
        name: [e.loss for e in own.told(ev.TrainStep) if e.round == 2 and e.step == 1 and e.org == "alpha"]
        for name, own in (("turned", watched), ("plain", plain))
    }
    assert steps["turned"] == pytest.approx(steps["plain"], abs=1e-6)


def test_a_lower_rank_is_the_best_approximation_and_says_what_it_lost(settings):
    watched = turned_in_round(settings, 1, ask.Rank(1))
    (turned,) = watched.told(ev.KnobTurned)
    first = kept(watched, 1)
    whole = lost = 0.0
    for update in products(first).values():
        values = torch.linalg.svdvals(update.double())
        whole += float((values**2).sum())
        lost += float((values[1:] ** 2).sum())
    assert turned.lost == pytest.approx((lost / whole) ** 0.5, rel=1e-4)
    assert kept(watched, 2).rank == 1
    assert watched.run.state.phase == "done"


def test_rank_goes_up_under_a_servers_momentum_too(settings):
    watched = turned_in_round(settings, 2, ask.Rank(6), federation__server_optimizer="fedavgm")
    assert watched.run.state.phase == "done"
    memory = checkpoint.read(watched.folder, 4).server
    assert all(memory.first[name].shape == tensor.shape for name, tensor in kept(watched, 4).tensors().items())


@pytest.mark.parametrize("method", ["flora", "fedex", "ffa", "rolora", "hetlora", "flexlora", "fair"])
def test_rank_turns_under_every_method_whose_state_allows_it(settings, method):
    watched = turned_in_round(settings, 2, ask.Rank(6), federation__aggregation=method)
    assert watched.run.state.phase == "done"
    assert kept(watched, 4).rank == 6


@pytest.mark.parametrize("method", ["fedsa", "fedsvd"])
def test_some_methods_keep_their_rank(settings, method):
    watched = turned_in_round(settings, 2, ask.Rank(6), federation__aggregation=method)
    assert watched.run.state.keeps_rank
    assert refusals(watched) == [f"{method} keeps its rank"]
    assert kept(watched, 4).rank == 4


def test_an_organization_turns_its_own_rank(settings):
    watched = turned_in_round(settings, 1, ask.Rank(2, "beta"), federation__aggregation="hetlora")
    assert {name: org.rank for name, org in watched.run.state.organizations.items()} == {
        "alpha": 4,
        "beta": 2,
        "gamma": 4,
    }
    up = {(e.org, e.round): e.bytes_up for e in watched.told(ev.UpdateReceived)}
    assert up["beta", 1] == up["alpha", 2] > up["beta", 2]
    refused = turned_in_round(settings, 1, ask.Rank(2, "beta"), ask.Rank(2, "nobody"))
    assert "needs equal ones" in refusals(refused)[0]
    assert refusals(refused)[1] == "nobody: no such organization"


def sent_up(watched):
    """The bytes of each organization's reply in each round, which tell the rank that it trained at."""
    return {(event.org, event.round): event.bytes_up for event in watched.told(ev.UpdateReceived)}


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.unequal_ranks])
def test_the_global_adapter_rises_and_falls_to_the_highest_rank_there_is(settings, method):
    turns = {1: [ask.Rank(8, "beta")], 2: [ask.Rank(2, "beta")]}
    watched = turned_in_rounds(settings, turns, federation__aggregation=method)
    assert watched.run.state.phase == "done"
    assert [kept(watched, round).rank for round in range(5)] == [4, 4, 8, 4, 4]
    assert len({kept(watched, round).scale for round in range(5)}) == 1
    up = sent_up(watched)
    assert up["beta", 1] == up["alpha", 1] == up["alpha", 2] == up["alpha", 3]
    assert up["beta", 3] == up["beta", 4] < up["beta", 1] < up["beta", 2]
    rose, fell = watched.told(ev.KnobTurned)
    assert (rose.org, rose.before, rose.value, rose.lost) == ("beta", 4, 8, 0.0)
    assert (fell.org, fell.before, fell.value) == ("beta", 8, 2)
    assert fell.trainable == kept(watched, 1).parameters < rose.trainable == kept(watched, 2).parameters
    # What flora learned stands in the base: its adapter begins each round with nothing to lose.
    assert (fell.lost == 0) if method == "flora" else (0 < fell.lost < 1)


def test_who_has_a_rank_of_its_own_keeps_it_when_that_of_all_is_turned_past_it(settings):
    turns = {1: [ask.Rank(8, "beta")], 2: [ask.Rank(8), ask.Rank(16)]}
    watched = turned_in_rounds(settings, turns, federation__aggregation="hetlora")
    up = sent_up(watched)
    assert up["beta", 2] == up["beta", 3] == up["beta", 4] < up["alpha", 3]
    assert {name: org.rank for name, org in watched.run.state.organizations.items()} == {
        "alpha": 16,
        "beta": 8,
        "gamma": 16,
    }
    assert kept(watched, 4).rank == 16


def test_who_is_turned_to_the_rank_of_all_goes_with_all_from_then_on(settings):
    turns = {1: [ask.Rank(2, "beta")], 2: [ask.Rank(4, "beta"), ask.Rank(6)]}
    watched = turned_in_rounds(settings, turns, federation__aggregation="hetlora")
    up = sent_up(watched)
    assert up["beta", 2] < up["beta", 1] < up["beta", 3] == up["alpha", 3]
    assert {org.rank for org in watched.run.state.organizations.values()} == {6}


def test_one_that_joins_trains_its_first_round_at_the_rank_it_was_turned_to(settings):
    turns = {1: [ask.AddOrganization("gamma"), ask.Rank(8, "gamma"), ask.Rank(2, "gamma")]}
    more = {"federation__organizations": 2, "federation__aggregation": "flexlora"}
    watched = turned_in_rounds(settings, turns, **more)
    assert refusals(watched) == []
    up = sent_up(watched)
    assert up["gamma", 2] == up["gamma", 3] < up["alpha", 2]
    assert watched.run.state.organizations["gamma"].rank == 2
    back = turned_in_rounds(settings, {1: [*turns[1], ask.Undo(), ask.Undo()]}, **more)
    assert sent_up(back)["gamma", 2] == sent_up(back)["alpha", 2]


def test_the_rank_of_one_that_could_not_join_changes_nothing(settings, monkeypatch):
    read = Texts.read

    def unreadable(self, organization):
        if organization == "gamma":
            raise UserError("gamma: too little text")
        return read(self, organization)

    monkeypatch.setattr(Texts, "read", unreadable)
    more = {"federation__organizations": 2, "federation__aggregation": "hetlora"}
    watched = turned_in_round(settings, 1, ask.AddOrganization("gamma"), ask.Rank(8, "gamma"), **more)
    assert watched.run.state.phase == "done"
    assert (refusals(watched), watched.told(ev.KnobTurned)) == ([], [])
    assert kept(watched, 4).rank == 4
    assert list(watched.run.state.organizations) == ["alpha", "beta"]


def test_rounds_grow_and_shrink_and_the_last_round_can_still_add_one(settings):
    assert len(turned_in_round(settings, 1, ask.Rounds(2)).told(ev.RoundFinished)) == 2
    assert len(turned_in_round(settings, 4, ask.Rounds(5)).told(ev.RoundFinished)) == 5
    watched = turned_in_round(settings, 2, ask.Rounds(1), ask.Rounds(4))
    assert refusals(watched) == ["rounds 1: round 2 is under way already", "rounds is 4 already"]
    assert watched.run.state.rounds == 4


def test_rate_steps_and_fraction_act_from_the_next_round_on(settings):
    watched = turned_in_round(settings, 2, ask.Rate(5e-4), ask.Steps(3), ask.Fraction(0.6))
    started = {event.round: event for event in watched.told(ev.RoundStarted)}
    assert started[2].learning_rate != started[3].learning_rate == 5e-4
    assert (started[2].steps, started[3].steps) == (2, 3)
    assert (len(started[2].orgs), len(started[3].orgs)) == (3, 2)
    assert [event.knob for event in watched.told(ev.KnobTurned)] == ["rate", "steps", "fraction"]


def test_the_method_changes_where_the_states_agree(settings):
    watched = turned_in_round(settings, 2, ask.Method("flora"))
    drifts = [event.drift for event in watched.told(ev.RoundFinished)]
    assert drifts[1] > 1e-6 > drifts[2]
    assert watched.run.state.aggregation == "flora"
    refused = turned_in_round(settings, 2, ask.Method("fedsa"), federation__server_optimizer="fedavgm")
    assert "keep different things at home" in refusals(refused)[0]
    momentum = turned_in_round(settings, 2, ask.Method("flora"), federation__server_optimizer="fedavgm")
    assert "no server optimizer or rate can go on from them" in refusals(momentum)[0]


def test_a_run_tells_what_may_be_done_with_ranks_and_again_when_its_method_changes(settings):
    watched = turned_in_round(settings, 1, ask.Rate(5e-4), ask.Method("hetlora"))
    (started,) = watched.told(ev.RunStarted)
    rate, method = watched.told(ev.KnobTurned)
    told = [(event.keeps_rank, event.unequal_ranks) for event in (started, rate, method)]
    assert told == [(False, False), (None, None), (False, True)]
    assert watched.run.state.unequal_ranks
    defended = WatchedRun(configured(settings, federation__robust="median", federation__rounds=1)).go()
    assert not defended.run.state.unequal_ranks


def test_what_cannot_work_is_refused_in_the_same_words_before_a_run_and_while_it_goes_on(settings):
    defended = {"federation__robust": "median", "federation__byzantine": 1}
    (turned,) = refusals(turned_in_round(settings, 1, ask.Fraction(0.5), **defended))
    before = WatchedRun(configured(settings, federation__fraction=0.5, **defended)).go()
    assert "median needs 2f+1 replies: with byzantine = 1 that is 3, there are 2" in turned
    assert before.run.refusal == turned


def test_undo_takes_the_last_one_back_and_later_ones_build_on_what_waits(settings):
    watched = turned_in_round(settings, 1, ask.Rank(8), ask.Rank(16), ask.Undo(), ask.Rate(0.002), ask.Undo())
    answers = watched.told(ev.CommandAcknowledged)
    assert [answer.before for answer in answers if answer.command == "rank"] == [4, 8]
    assert [event.value for event in watched.told(ev.KnobTurned)] == [8]
    assert watched.run.state.waiting == ()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (ask.Rank(0), "rank 0: allowed is a whole number from 1 to 1,024"),
        (ask.Rank(4), "rank is 4 already"),
        (ask.Rate(-1.0), "rate -1.0: allowed is a number above 0 and up to 10"),
        (ask.Method("best"), 'aggregation best: allowed is "fedit" or '),
        (ask.Fraction(float("nan")), "fraction nan: allowed is a number above 0 and up to 1"),
    ],
)
def test_what_is_not_allowed_is_refused_with_what_is_and_changes_nothing(settings, command, reason):
    watched = turned_in_round(settings, 1, command)
    (told,) = refusals(watched)
    assert told.startswith(reason)
    assert watched.told(ev.KnobTurned) == []
    assert watched.run.state.phase == "done"
