"""Every method of aggregation through a whole run: what travels, what the base gains, what is exported."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch

from fedlora_tui.aggregation import METHODS
from fedlora_tui.aggregation.robust import DEFENCES
from fedlora_tui.config import RULES, STARTS_ANEW
from fedlora_tui.engine import aggregating, checkpoint, health
from fedlora_tui.engine.exports import write
from fedlora_tui.engine.prepare import prepare
from fedlora_tui.errors import UserError
from fedlora_tui.federation.server_app import Server
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.cohort import measure
from fedlora_tui.organizations.roster import call_roster
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import AddOrganization, Export
from tests.tiny_runs import WatchedRun, configured, small_settings

ROUNDS = 3


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


def run_of(settings, method, **more):
    return WatchedRun(configured(settings, federation__aggregation=method, federation__rounds=ROUNDS, **more)).go()


def prepared_of(watched):
    config = watched.run.config
    return prepare(config, call_roster(config), lambda stage: None)


def test_the_configuration_knows_the_methods_and_defences_there_are():
    assert RULES["federation.aggregation"].words == tuple(METHODS)
    assert RULES["federation.robust"].words == ("none", *DEFENCES)
    assert set(STARTS_ANEW) == {name for name, method in METHODS.items() if not method.continues}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_by_each_method_ends_with_the_drift_that_it_promises(settings, method):
    watched = run_of(settings, method)
    assert watched.run.state.phase == "done"
    rounds = watched.told(ev.RoundFinished)
    assert len(rounds) == ROUNDS
    exact = {"ffa", "rolora", "flora", "fedex", "fedsvd"}
    for finished, aggregated in zip(rounds, watched.told(ev.RoundAggregated), strict=True):
        assert (finished.drift < 1e-6) if method in exact else (0 < finished.drift < 1)
        assert set(aggregated.drifts) == set(watched.run.state.started.target_modules)
        assert all(norm > 0 for norm in aggregated.norms.values())
        assert all(-1 <= cosine <= 1 for cosine in aggregated.cosines.values())


def bytes_of(watched):
    """Bytes up and down of each round, an organization on average."""
    count = len(watched.run.state.organizations)
    return [(e.bytes_up / count, e.bytes_down / count) for e in watched.told(ev.RoundFinished)]


def test_only_what_changed_travels(settings):
    def weight(watched, suffix):
        tensors = checkpoint.read(watched.folder, 0).adapter.tensors()
        return sum(tensor.nbytes for name, tensor in tensors.items() if name.endswith(suffix))

    for method, up, down in (
        ("fedit", ["A", "B"], ["A", "B"]),
        ("ffa", ["B"], ["B"]),
        ("fedsa", ["A"], ["A"]),
        ("fedsvd", ["B"], ["A", "B"]),
    ):
        watched = run_of(settings, method)
        headers = 200 * len(checkpoint.read(watched.folder, 0).adapter.tensors())
        expected = [sum(weight(watched, f"lora_{factor}.weight") for factor in factors) for factors in (up, down)]
        for found in bytes_of(watched):
            assert found == pytest.approx(expected, abs=headers)
            assert found[0] >= expected[0]
    first, second, third = bytes_of(run_of(settings, "rolora"))
    assert first[0] == first[1] == third[0] == third[1]
    assert second[0] == second[1] != first[0]


def test_what_joins_the_base_travels_once_and_whole_to_a_joiner(settings):
    config = configured(settings, federation__aggregation="flora", federation__rounds=3, federation__organizations=2)
    watched = WatchedRun(config)
    watched.when(lambda e: isinstance(e, ev.RoundStarted) and e.round == 1, lambda: watched.run.send(AddOrganization()))
    watched.go()
    joiner = next(e.org for e in watched.told(ev.OrgJoined) if e.round == 2)
    down = {(e.org, e.round): e.bytes_down for e in watched.told(ev.UpdateReceived)}
    others = {number for (org, round), number in down.items() if round == 2 and org != joiner}
    assert others == {0}
    assert down[joiner, 2] > 0
    assert len({e.bytes_down for e in watched.told(ev.OrgEvaluated) if e.round == 3}) == 1


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if not method.keeps_b_at_home])
def test_what_is_exported_is_what_was_measured(settings, method, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    watched = run_of(settings, method)
    prepared = prepared_of(watched)
    loop_losses = {e.org: e.loss for e in watched.told(ev.OrgEvaluated) if e.round == ROUNDS}
    write(watched.folder, Export(out=str(tmp_path / "adapter")), prepared.base, {})
    write(watched.folder, Export(merged=True, out=str(tmp_path / "merged")), prepared.base, {})
    base = AutoModelForCausalLM.from_pretrained(prepared.base.origin, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
    for name, loss in loop_losses.items():
        rows = prepared.texts.rows(name)
        for model in (adapted, merged):
            assert holdout_loss(model, rows) == pytest.approx(loss, abs=2e-5)


@torch.no_grad()
def holdout_loss(model, rows):
    total = 0.0
    for row in rows.holdout:
        tokens = torch.tensor(row.tokens)[None]
        logits = model(input_ids=tokens, use_cache=False).logits[0]
        total += float(torch.nn.functional.cross_entropy(logits[:-1], tokens[0, 1:], reduction="sum"))
    return total / rows.holdout_tokens


def test_with_fedsa_each_organization_measures_and_takes_home_its_own_adapter(settings, tmp_path):
    watched = run_of(settings, "fedsa")
    prepared = prepared_of(watched)
    kept = checkpoint.read(watched.folder, ROUNDS)
    assert set(kept.own) == set(watched.run.state.organizations)
    for told in watched.told(ev.OrgEvaluated):
        if told.round == ROUNDS:
            own = measure(prepared.base, kept.own[told.org], prepared.texts.rows(told.org))
            assert own.loss == pytest.approx(told.loss, abs=1e-6)
    first, second = sorted(kept.own)[:2]
    assert not torch.equal(b_of(kept.own[first]), b_of(kept.own[second]))
    with pytest.raises(UserError, match=f"name one with --org, of {first}, "):
        write(watched.folder, Export(), prepared.base, {})
    with pytest.raises(UserError, match="--org nobody: no such organization trained by then"):
        write(watched.folder, Export(org="nobody"), prepared.base, {})
    written = write(watched.folder, Export(org=first, out=str(tmp_path / "own")), prepared.base, {})
    assert json.loads((tmp_path / "own" / "adapter_config.json").read_text())["r"] == kept.adapter.rank
    assert written.bytes > 0


def b_of(adapter: Adapter) -> torch.Tensor:
    return next(iter(adapter.factors.values())).b


def test_a_method_that_keeps_no_adapters_of_organizations_has_none_to_export(settings):
    watched = run_of(settings, "fedit")
    with pytest.raises(UserError, match="fedit keeps no adapter of an organization's own; leave --org out"):
        write(watched.folder, Export(org="alpha"), prepared_of(watched).base, {})


def test_a_frozen_factor_is_not_moved_by_what_the_servers_optimizer_remembers(settings):
    watched = run_of(settings, "rolora", federation__server_optimizer="fedavgm")
    kept = [checkpoint.read(watched.folder, round).adapter for round in range(ROUNDS + 1)]
    for round, (before, after) in enumerate(pairwise(kept), 1):
        first, last = (next(iter(own.factors.values())) for own in (before, after))
        assert torch.equal(first.a, last.a) == (round % 2 == 1)
        assert torch.equal(first.b, last.b) == (round % 2 == 0)


@pytest.mark.parametrize("robust", DEFENCES)
def test_a_run_with_each_defence_goes_to_its_end(settings, robust):
    watched = run_of(settings, "fedit", federation__robust=robust)
    assert watched.run.state.phase == "done"
    told = watched.told(ev.RoundAggregated)
    assert all(set(own.weights) | set(own.left_out) == set(own.orgs) for own in told)
    assert any(own.left_out for own in told) == (robust == "krum")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"aggregation": "flora", "server_optimizer": "fedavgm"}, "no server optimizer or rate can go on from them"),
        ({"aggregation": "flexlora", "server_learning_rate": 0.5}, "no server optimizer or rate can go on from them"),
        ({"aggregation": "flora", "robust": "median"}, "it goes with fedit, ffa, rolora, fedsvd"),
        ({"aggregation": "fedsa", "robust": "krum"}, "keeps B at home"),
        ({"aggregation": "hetlora", "robust": "geometric-median"}, "weighs them itself"),
        ({"robust": "krum", "byzantine": 1}, "krum needs 2f.3 replies: with byzantine = 1 that is 5, there are 3"),
        ({"robust": "bulyan", "byzantine": 1}, "bulyan needs 4f.3 replies: with byzantine = 1 that is 7, there are 3"),
    ],
)
def test_what_cannot_work_together_is_refused_before_the_run_has_a_folder(settings, asked, said):
    config = configured(settings, **{f"federation__{name}": value for name, value in asked.items()})
    watched = WatchedRun(config).go()
    assert watched.run.folder is None
    assert said.replace(".3", "+3") in watched.run.refusal
    assert "\n" not in watched.run.refusal


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.unequal_ranks])
def test_every_organization_trains_at_a_rank_of_its_own(settings, method, grid_ranks):
    watched = run_of(settings, method, lora__rank="{ default = 3, beta = 1, gamma = 5 }")
    assert watched.run.state.phase == "done"
    assert {e.org: e.rank for e in watched.told(ev.OrgJoined)} == {"alpha": 3, "beta": 1, "gamma": 5}
    assert grid_ranks == {"alpha": {3}, "beta": {1}, "gamma": {5}}
    kept = checkpoint.read(watched.folder, ROUNDS).adapter
    assert kept.rank == 5
    assert kept.scale == checkpoint.read(watched.folder, 0).adapter.scale
    exact = method == "flora"
    assert all((e.drift < 1e-6) if exact else (0 < e.drift < 1) for e in watched.told(ev.RoundFinished))


@pytest.fixture
def grid_ranks(monkeypatch):
    """The ranks of the adapters that each organization sent."""
    found = {}
    original = Server.train

    def spying(self, plans, model, take=None):
        answers = original(self, plans, model, take)
        for answer in answers:
            found.setdefault(answer.organization, set()).add(answer.reply.adapter.rank)
        return answers

    monkeypatch.setattr(Server, "train", spying)
    return found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"lora__rank": "{ default = 3, beta = 1 }"},
            'federation.aggregation = "fedit" needs equal ones: choose flora',
        ),
        ({"lora__rank": "{ default = 3, delta = 1 }"}, "lora.rank names delta, which is no organization here"),
        (
            {
                "lora__rank": "{ default = 3, beta = 1 }",
                "federation__aggregation": "hetlora",
                "federation__robust": "norm-bound",
            },
            None,
        ),
    ],
)
def test_ranks_that_cannot_be_are_refused_by_name(settings, asked, said):
    watched = WatchedRun(configured(settings, **asked)).go()
    assert (watched.run.refusal is None) == (said is None)
    assert said is None or said in watched.run.refusal


def test_equal_ranks_by_name_are_one_rank(settings):
    plain = run_of(settings, "fedit", lora__rank=3)
    named = run_of(settings, "fedit", lora__rank="{ default = 3, beta = 3 }")
    ours, theirs = (checkpoint.read(own.folder, ROUNDS).adapter.tensors() for own in (plain, named))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.mark.parametrize(("more", "looks"), [({}, 1), ({"federation__server_optimizer": "fedavgm"}, 2)])
def test_each_new_adapter_is_looked_at_once_for_numbers_that_are_none(settings, monkeypatch, more, looks):
    seen = []
    for module in (health, aggregating):
        monkeypatch.setattr(module, "check_finite", seen.append)
    watched = WatchedRun(configured(settings, federation__rounds=1, **more)).go()
    assert watched.run.state.phase == "done"
    assert len(seen) == looks
