"""Whole runs of the engine: the same twice, told without holes, steered, failing and refused as they should."""

from __future__ import annotations

import json
import math
import threading
import time
from dataclasses import replace

import pytest
import torch

from fedlora_tui.engine import checkpoint, folder, rounds, run
from fedlora_tui.engine.plan import plan_of
from fedlora_tui.engine.prepare import Texts
from fedlora_tui.federation import client_app
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.messages import arrays_weight
from fedlora_tui.lora import base_model
from fedlora_tui.lora.base_model import load as load_base
from fedlora_tui.lora.cohort import measure, train_cohort
from fedlora_tui.organizations.source import open_source
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import UNRECORDED
from fedlora_tui.protocol.state import RunState, fold
from tests.tiny_models import write_texts
from tests.tiny_runs import GUARD, WatchedRun, configured, small_settings

IN_TIME = (ev.Telemetry,)


def losses(watched):
    """Every loss that was told, in order and to the last digit."""
    told = []
    for record in watched.records:
        event = record.event
        if isinstance(event, ev.TrainStep | ev.UpdateReceived | ev.OrgEvaluated):
            told.append((event.type, event.org, event.round, event.loss))
        elif isinstance(event, ev.RoundFinished):
            told.append((event.round, event.train_loss, event.eval_loss, event.drift))
    return told


def is_step(round, step):
    return lambda event: isinstance(event, ev.TrainStep) and (event.round, event.step) == (round, step)


def is_kind(kind, **values):
    return lambda event: isinstance(event, kind) and all(getattr(event, k) == v for k, v in values.items())


@pytest.fixture
def settings(tmp_path):
    return small_settings(tmp_path)


@pytest.fixture
def grid_traffic(monkeypatch):
    """Every message that went through the grid, and every reply to it."""
    traffic = []
    original = LocalGrid.send_and_receive

    def spying(self, messages, *, timeout=None):
        sent = list(messages)
        replies = list(original(self, sent, timeout=timeout))
        traffic.extend(zip(sent, replies, strict=True))
        return replies

    monkeypatch.setattr(LocalGrid, "send_and_receive", spying)
    return traffic


def test_a_run_goes_to_its_end_and_the_same_run_twice_gives_the_same_losses_to_the_last_digit(settings):
    first = WatchedRun(configured(settings)).go()
    second = WatchedRun(configured(settings)).go()
    other = WatchedRun(configured(settings, federation__seed=8)).go()
    assert first.run.state.phase == second.run.state.phase == "done"
    assert len(losses(first)) == 3 + 2 * (3 * 2 + 3 + 3 + 1)
    assert losses(first) == losses(second)
    assert losses(first) != losses(other)
    assert first.folder != second.folder
    for round in (0, 1, 2):
        ours, theirs = checkpoint.read(first.folder, round), checkpoint.read(second.folder, round)
        for name, tensor in ours.adapter.tensors().items():
            assert torch.equal(tensor, theirs.adapter.tensors()[name])


def test_the_journal_is_what_readers_saw_numbered_without_holes(settings):
    watched = WatchedRun(configured(settings)).go()
    recorded = [record for record in watched.records if record.seq != UNRECORDED]
    written = watched.journal()
    assert [record.seq for record in written] == list(range(1, len(written) + 1))
    assert [(record.seq, record.event.type) for record in written] == [(r.seq, r.event.type) for r in recorded]
    told_of = [replace(record, t=round(record.t, 3)) for record in recorded]
    for ours, theirs in zip(written, told_of, strict=True):
        if not isinstance(ours.event, ev.RunStarted):  # its config comes back with lists for tuples
            assert ours == theirs
    kinds = [record.event.type for record in written if not isinstance(record.event, IN_TIME)]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_finished"
    assert kinds.index("checkpoint_written") < kinds.index("round_started")
    assert [event.round for event in watched.told(ev.CheckpointWritten)] == [0, 1, 2]
    assert watched.run.state == fold(RunState(), watched.records)
    assert [record.t for record in written] == sorted(record.t for record in written)
    assert list(watched.run.drain()) == watched.records


def test_a_journal_begins_with_the_runs_start_however_long_that_takes(settings, monkeypatch):
    begin = run._run_started

    def slowly(*given):
        time.sleep(0.3)
        return begin(*given)

    def planned(*given):
        # The round waits for a look at the machine: a busy one may look too late for so short a run.
        watched.wait_for(is_kind(ev.Telemetry))
        return plan_of(*given)

    monkeypatch.setattr(run, "TELEMETRY_SECONDS", 0.01)
    monkeypatch.setattr(run, "_run_started", slowly)
    monkeypatch.setattr(rounds, "plan_of", planned)
    watched = WatchedRun(configured(settings, federation__rounds=1))
    watched.go()
    assert watched.journal()[0].event.type == "run_started"
    assert watched.told(ev.Telemetry)


def test_what_a_round_says_is_the_mean_of_what_its_organizations_said(settings):
    watched = WatchedRun(configured(settings)).go()
    for finished in watched.told(ev.RoundFinished):
        received = [e for e in watched.told(ev.UpdateReceived) if e.round == finished.round]
        measured = [e for e in watched.told(ev.OrgEvaluated) if e.round == finished.round]
        steps = [e for e in watched.told(ev.TrainStep) if e.round == finished.round]
        assert finished.tokens == sum(e.tokens for e in received) == sum(e.tokens for e in steps)
        assert finished.train_loss == pytest.approx(sum(e.loss * e.tokens for e in steps) / finished.tokens)
        total = sum(e.tokens for e in measured)
        assert finished.eval_loss == pytest.approx(sum(e.loss * e.tokens for e in measured) / total)
        assert finished.orgs == ("alpha", "beta", "gamma")
        assert finished.seconds > 0
    for aggregated in watched.told(ev.RoundAggregated):
        joined = {event.org: event.tokens for event in watched.told(ev.OrgJoined)}
        assert aggregated.weights == pytest.approx({org: n / sum(joined.values()) for org, n in joined.items()})
    (end,) = watched.told(ev.RunFinished)
    last = watched.told(ev.RoundFinished)[-1]
    assert (end.rounds, end.train_loss, end.eval_loss) == (2, last.train_loss, last.eval_loss)
    assert end.base_loss == watched.run.state.base_loss


def test_the_folder_of_a_run_holds_what_the_contract_says(settings):
    watched = WatchedRun(configured(settings, runs__name="mine")).go()
    assert watched.folder.name.endswith("-mine")
    names = {entry.name for entry in watched.folder.iterdir()}
    assert names == {"config.toml", "events.jsonl", "checkpoints", "exports", "engine.log", "lock"}
    assert sorted(entry.name for entry in (watched.folder / "checkpoints").iterdir()) == [
        "round-0000",
        "round-0001",
        "round-0002",
    ]
    assert folder.find(watched.folder.parent, None) == watched.folder
    again = WatchedRun(configured(settings, runs__name="mine", federation__rounds=1)).go()
    assert again.folder != watched.folder


def test_a_checkpoint_holds_the_adapter_whose_loss_the_round_told(settings):
    config = configured(settings)
    watched = WatchedRun(config).go()
    base = load_base(config.model, config.lora)
    texts = Texts(open_source(config.data, 7), base, config)
    kept = checkpoint.read(watched.folder, 2)
    for name in ("alpha", "beta", "gamma"):
        texts.read(name)
        told = next(e for e in watched.told(ev.OrgEvaluated) if (e.org, e.round) == (name, 2))
        assert measure(base, kept.adapter, texts.rows(name)).loss == pytest.approx(told.loss, abs=1e-6)
    assert kept.state["eval_loss"] == watched.told(ev.RoundFinished)[-1].eval_loss


def test_each_way_the_bytes_are_what_the_messages_weigh_once_a_round(settings, grid_traffic):
    watched = WatchedRun(configured(settings)).go()
    weight = max(arrays_weight(sent) for sent, _ in grid_traffic)
    assert weight > 4 * watched.told(ev.RunStarted)[0].trainable
    for finished in watched.told(ev.RoundFinished):
        own = [(s, r) for s, r in grid_traffic if s.metadata.group_id == str(finished.round)]
        assert finished.bytes_up == sum(arrays_weight(reply) for _, reply in own) == 3 * weight
        assert finished.bytes_down == sum(arrays_weight(sent) for sent, _ in own) == 3 * weight
    state = watched.run.state
    assert state.bytes_up == sum(arrays_weight(reply) for _, reply in grid_traffic)
    assert state.bytes_down == sum(arrays_weight(sent) for sent, _ in grid_traffic)


def test_the_drift_told_is_the_dense_one_of_the_replies(settings, grid_traffic):
    watched = WatchedRun(configured(settings, federation__learning_rate=0.05)).go()
    for finished in watched.told(ev.RoundFinished):
        replies = [
            r
            for s, r in grid_traffic
            if (s.metadata.message_type, s.metadata.group_id) == ("train", str(finished.round))
        ]
        weights = [reply.content["metrics"]["num-examples"] for reply in replies]
        after = checkpoint.read(watched.folder, finished.round).adapter
        lost = ideal = 0.0
        for module, factors in after.factors.items():
            products = [
                torch.tensor(reply.content["arrays"][f"{module}.lora_B.weight"].numpy()).double()
                @ torch.tensor(reply.content["arrays"][f"{module}.lora_A.weight"].numpy()).double()
                for reply in replies
            ]
            mean = sum(w * product for w, product in zip(weights, products, strict=True)) / sum(weights)
            lost += float(((mean - factors.b.double() @ factors.a.double()) ** 2).sum())
            ideal += float((mean**2).sum())
        assert finished.drift == pytest.approx(math.sqrt(lost / ideal), rel=1e-6)
        assert finished.drift > 1e-4


def test_pause_holds_the_run_within_a_step_and_changes_no_loss(settings):
    plain = WatchedRun(configured(settings)).go()
    watched = WatchedRun(configured(settings))
    watched.when(is_step(1, 1), lambda: watched.run.send(ask.Pause()))
    watched.run.start()
    paused = watched.wait_for(is_kind(ev.RunPaused))
    assert (paused.round, paused.step) == (1, 1)
    seen = len(watched.records)
    assert not watched.run.wait(0.3)
    assert not any(isinstance(record.event, ev.TrainStep) for record in watched.records[seen:])
    watched.run.send(ask.Resume())
    watched.end()
    assert watched.run.state.phase == "done"
    assert losses(watched) == losses(plain)


def test_stop_while_paused_ends_the_run_as_stopped(settings):
    watched = WatchedRun(configured(settings))
    watched.when(is_step(1, 1), lambda: watched.run.send(ask.Pause()))
    watched.run.start()
    watched.wait_for(is_kind(ev.RunPaused))
    watched.run.send(ask.Stop("interrupted"))
    watched.end()
    assert (watched.run.state.phase, watched.run.state.reason) == ("stopped", "interrupted")
    # A lane may have gone a step further than what was told when the pause came.
    assert watched.journal()[-1].event in [ev.RunStopped(1, step, "interrupted") for step in (1, 2)]
    assert checkpoint.rounds(watched.folder) == [0]


def test_finish_ends_the_run_after_its_round(settings):
    watched = WatchedRun(configured(settings, federation__rounds=9))
    watched.when(is_step(1, 1), lambda: watched.run.send(ask.Finish()))
    watched.go()
    assert [event.round for event in watched.told(ev.RoundFinished)] == [1]
    (end,) = watched.told(ev.RunFinished)
    assert (end.rounds, end.reason) == (1, "asked for")


def test_finish_while_paused_keeps_its_reason(settings):
    watched = WatchedRun(configured(settings, federation__rounds=9))
    watched.when(is_step(1, 1), lambda: watched.run.send(ask.Pause()))
    watched.run.start()
    watched.wait_for(is_kind(ev.RunPaused))
    watched.run.send(ask.Finish())
    watched.end()
    assert watched.told(ev.RunFinished)[0].reason == "asked for"


def test_an_organization_joins_from_the_current_adapter_at_the_next_round(settings, grid_traffic):
    config = configured(settings, federation__organizations=2, federation__rounds=3, federation__learning_rate=0.05)
    watched = WatchedRun(config)
    watched.when(is_step(1, 1), lambda: watched.run.send(ask.AddOrganization()))
    watched.go()
    assert watched.run.state.phase == "done"
    joined = watched.told(ev.OrgJoined)
    assert [(event.org, event.round) for event in joined] == [("alpha", 1), ("beta", 1), ("gamma", 2)]
    assert all(0 < event.skew < 1 for event in joined)
    assert {name: org.skew for name, org in watched.run.state.organizations.items()} == {e.org: e.skew for e in joined}
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [
        ("alpha", "beta"),
        ("alpha", "beta", "gamma"),
        ("alpha", "beta", "gamma"),
    ]
    (answer,) = watched.told(ev.CommandAcknowledged)
    assert (answer.command, answer.value, answer.takes_effect_round) == ("add", "gamma", 2)
    # Of round 2 it measured the base alone and got the adapter of round 1 to train from.
    assert next(e.round for e in watched.told(ev.OrgEvaluated) if e.org == "gamma") == 0
    current = checkpoint.read(watched.folder, 1).adapter.tensors()
    trained = [s for s, _ in grid_traffic if (s.metadata.message_type, s.metadata.group_id) == ("train", "2")]
    (brought,) = [message.content["arrays"] for message in trained if "arrays" in message.content]
    for name, tensor in current.items():
        assert brought[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_a_joiner_trains_as_it_would_have_from_that_adapter(settings):
    """What gamma trains in round 2 depends on the adapter of round 1, its own name and text, and on nothing else."""
    config = configured(settings, federation__organizations=2, federation__rounds=2, federation__learning_rate=0.05)
    watched = WatchedRun(config)
    watched.when(is_step(1, 1), lambda: watched.run.send(ask.AddOrganization()))
    watched.go()
    base = load_base(config.model, config.lora)
    texts = Texts(open_source(config.data, 7), base, config)
    texts.read("gamma")
    start = checkpoint.read(watched.folder, 1).adapter
    steps = []
    train_cohort(base, [start], [texts.rows("gamma")], [rounds.plan_of(config, 2)], steps.extend)
    told = next(e for e in watched.told(ev.TrainStep) if (e.org, e.round) == ("gamma", 2))
    # The first step: later ones differ by what Adam makes of rounding.
    assert told.loss == pytest.approx(steps[0].loss, abs=1e-6)
    assert told.tokens == steps[0].tokens


def test_an_organization_is_dropped_at_the_next_round_and_undo_takes_a_change_back(settings):
    watched = WatchedRun(configured(settings))

    def steer():
        watched.run.send(ask.DropOrganization("alpha"))
        watched.run.send(ask.Undo())
        watched.run.send(ask.DropOrganization("beta"))
        watched.run.send(ask.DropOrganization("gamma"))

    watched.when(is_step(1, 1), steer)
    watched.go()
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [("alpha", "beta", "gamma"), ("alpha", "gamma")]
    assert watched.told(ev.OrgLeft) == [ev.OrgLeft("beta", 2, "dropped by the operator")]
    (refused,) = watched.told(ev.CommandRefused)
    assert (refused.value, refused.reason) == ("gamma", "a round needs 2 (federation.min_organizations)")
    assert set(watched.run.state.organizations) == {"alpha", "gamma"}


def test_with_too_few_organizations_a_patient_run_pauses_says_so_and_goes_on(settings, tmp_path):
    """beta is dropped while a newcomer is awaited, and the newcomer has too little text."""
    write_texts(tmp_path / "texts", ("beta",), count=40)
    (tmp_path / "texts" / "gamma.txt").write_text("one\n\ntwo")
    watched = WatchedRun(configured(settings, federation__organizations=2))

    def steer():
        watched.run.send(ask.AddOrganization("gamma"))
        watched.run.send(ask.DropOrganization("beta"))

    watched.when(is_step(1, 1), steer)
    watched.run.start()
    paused = watched.wait_for(is_kind(ev.RunPaused))
    assert paused == ev.RunPaused(2, 0, "needs 2 organizations, has 1")
    assert any("gamma cannot join" in event.message for event in watched.told(ev.Warned))
    watched.run.send(ask.Resume())
    assert "add one first" in watched.told(ev.CommandRefused)[-1].reason
    watched.run.send(ask.AddOrganization("beta"))
    watched.run.send(ask.Resume())
    watched.end()
    assert watched.run.state.phase == "done"
    assert [event.orgs for event in watched.told(ev.RoundFinished)] == [("alpha", "beta")] * 2


def test_with_too_few_organizations_a_run_that_nobody_steers_fails_and_says_why(settings, tmp_path):
    (tmp_path / "texts" / "gamma.txt").write_text("one\n\ntwo")
    watched = WatchedRun(configured(settings, federation__organizations=2), patient=False)

    def steer():
        watched.run.send(ask.AddOrganization("gamma"))
        watched.run.send(ask.DropOrganization("beta"))

    watched.when(is_step(1, 1), steer)
    watched.go()
    assert watched.run.state.phase == "failed"
    assert "needs 2 organizations, has 1" in watched.run.state.reason
    assert checkpoint.rounds(watched.folder) == [0, 1]


def test_an_exception_in_training_fails_the_run_with_its_reason_and_leaves_a_traceback_in_the_log(
    settings, monkeypatch
):
    original = client_app.train_cohort

    def broken(base, starts, rows, plan, observe, *more):
        if plan[0].round == 2:
            raise RuntimeError("the accelerator\nfell over")
        return original(base, starts, rows, plan, observe, *more)

    monkeypatch.setattr(client_app, "train_cohort", broken)
    watched = WatchedRun(configured(settings)).go()
    assert watched.run.state.phase == "failed"
    (failed,) = watched.told(ev.RunFailed)
    assert (failed.round, failed.reason) == (2, "RuntimeError: the accelerator fell over")
    assert watched.journal()[-1].event == failed
    log = (watched.folder / "engine.log").read_text()
    assert "Traceback" in log
    assert "fell over" in log
    assert checkpoint.rounds(watched.folder) == [0, 1]
    assert watched.run.over
    assert watched.run.refusal is None


def test_where_memory_runs_out_amid_a_round_it_goes_on_with_fewer_and_no_step_is_told_twice(settings, monkeypatch):
    undisturbed = WatchedRun(configured(settings)).go()
    original = client_app.train_cohort

    def narrow(base, starts, rows, plans, observe, *more):
        def watched(steps):
            observe(steps)
            if len(steps) > 1 and steps[0].step == 2:
                torch.empty(2**60)

        return original(base, starts, rows, plans, watched, *more)

    monkeypatch.setattr(client_app, "train_cohort", narrow)
    short = WatchedRun(configured(settings)).go()
    assert short.run.state.phase == "done"
    assert [e.message for e in short.told(ev.Warned) if "memory" in e.message] == [
        "out of memory: from now on one organization a pass (federation.cohort = 1)"
    ]
    steps = [(e.org, e.round, e.step) for e in short.told(ev.TrainStep)]
    assert len(steps) == len(set(steps))
    assert set(steps) == {(e.org, e.round, e.step) for e in undisturbed.told(ev.TrainStep)}
    for ours, theirs in zip(short.told(ev.RoundFinished), undisturbed.told(ev.RoundFinished), strict=True):
        assert ours.eval_loss == pytest.approx(theirs.eval_loss, abs=1e-5)
        assert ours.tokens == theirs.tokens


def test_a_training_that_gives_nan_is_refused_and_a_round_without_replies_fails_the_run(settings, monkeypatch):
    original = client_app.train_cohort

    def diverging(base, starts, rows, plan, observe, *more):
        results = original(base, starts, rows, plan, observe, *more)
        return [replace(one, loss=float("nan")) if one.organization in bad else one for one in results]

    monkeypatch.setattr(client_app, "train_cohort", diverging)
    bad = {"beta"}
    watched = WatchedRun(configured(settings)).go()
    assert watched.run.state.phase == "done"
    assert {(e.org, e.round, e.reason) for e in watched.told(ev.UpdateRejected)} == {
        ("beta", 1, "loss is nan"),
        ("beta", 2, "loss is nan"),
    }
    assert watched.told(ev.RoundFinished)[0].orgs == ("alpha", "gamma")
    bad = {"alpha", "beta", "gamma"}
    watched = WatchedRun(configured(settings), patient=False).go()
    assert watched.run.state.phase == "failed"
    assert "none of 3 replies could be used" in watched.run.state.reason


# --- exports


def test_exports_are_written_while_the_run_goes_on_and_after_it(settings, tmp_path):
    watched = WatchedRun(configured(settings))
    watched.when(is_step(1, 1), lambda: watched.run.send(ask.Export()))
    watched.when(is_step(2, 1), lambda: watched.run.send(ask.Export()))
    watched.go()
    (refused,) = watched.told(ev.CommandRefused)
    assert "no round is finished yet" in refused.reason
    watched.wait_for(is_kind(ev.AdapterExported, round=1))
    watched.run.send(ask.Export("best", merged=True, out=str(tmp_path / "home")))
    exported = watched.wait_for(is_kind(ev.AdapterExported, merged=True))
    assert exported.path == str(tmp_path / "home")
    assert {"config.json", "model.safetensors", "README.md"} <= {p.name for p in (tmp_path / "home").iterdir()}
    folders = watched.folder / "exports" / "round-0001"
    assert {p.name for p in folders.iterdir()} == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    for wanted in ("9", "0", "-1", "²", "first"):
        watched.run.send(ask.Export(wanted))
        answer = watched.records[-1]
        assert answer.seq == UNRECORDED
        assert "allowed is latest, best, or one of 1 to 2" in answer.event.reason


def test_an_export_that_cannot_be_written_is_refused_and_the_run_goes_on(settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    watched = WatchedRun(configured(settings))
    watched.when(is_step(2, 1), lambda: watched.run.send(ask.Export(out=str(tmp_path / "file" / "x"))))
    watched.go()
    refused = watched.wait_for(is_kind(ev.CommandRefused))
    assert "cannot be written" in refused.reason
    assert watched.run.state.phase == "done"


# --- what is refused before there is a folder


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model__base": "./nowhere"}, "no such folder"),
        ({"model__base": "none.gguf"}, "no such file"),
        ({"model__base": "nobody/such model"}, "no such model"),
        ({"model__device": "cuda:99"}, "no such device"),
        ({"model__device": "toaster"}, "allowed is"),
        ({"model__max_length": 100}, "64 tokens at most"),
        ({"lora__target_modules": '["nothing"]'}, "no such layer"),
        ({"data__path": "./nowhere"}, "no such folder"),
        ({"federation__organizations": 9}, "3 file(s)"),
        ({"federation__batch_size": 60000}, "give it more text"),
        ({"federation__min_organizations": 4}, "3 organization"),
    ],
)
def test_a_mistake_is_refused_in_one_line_and_leaves_no_folder(settings, tmp_path, changes, told):
    watched = WatchedRun(configured(settings, **changes)).go()
    assert told in watched.run.refusal
    assert "\n" not in watched.run.refusal
    assert watched.run.folder is None
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())
    assert all(record.seq == UNRECORDED for record in watched.records)


def test_text_that_is_too_little_or_none_is_refused(settings, tmp_path):
    (tmp_path / "texts" / "beta.txt").write_text("only one document")
    assert "2 are needed" in WatchedRun(configured(settings)).go().run.refusal
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no" in WatchedRun(configured(settings, data__path=empty)).go().run.refusal
    (empty / "a.txt").write_text(" \n\n ")
    assert "no usable text" in WatchedRun(configured(settings, data__path=empty)).go().run.refusal
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


def test_a_runs_folder_that_cannot_be_made_is_refused(settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refusal = WatchedRun(configured(settings, runs__dir=tmp_path / "file" / "runs")).go().run.refusal
    assert "cannot be made" in refusal
    assert "--runs-dir" in refusal


def test_a_folder_that_is_no_model_is_refused(settings, tmp_path):
    (tmp_path / "model").mkdir()
    assert "no config.json" in WatchedRun(configured(settings, model__base=tmp_path / "model")).go().run.refusal
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert "cannot be loaded" in WatchedRun(configured(settings, model__base=tmp_path / "model")).go().run.refusal


@pytest.mark.parametrize(("offline", "told"), [("1", "no such model here"), ("0", "the hub cannot be reached")])
def test_a_hub_id_without_a_network_is_refused(settings, monkeypatch, tmp_path, offline, told):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    watched = WatchedRun(configured(settings, model__base="nobody/nothing")).go()
    assert told in watched.run.refusal
    assert watched.run.folder is None


def test_a_stop_before_the_start_is_over_leaves_no_folder(settings, tmp_path):
    watched = WatchedRun(configured(settings))
    watched.when(
        is_kind(ev.Preparing, stage="base", state="working"), lambda: watched.run.send(ask.Stop("interrupted"))
    )
    watched.go()
    assert watched.run.refusal == "interrupted"
    assert watched.run.folder is None


# --- shapes of a run


def test_sampling_leaves_some_out_and_all_measure(settings):
    watched = WatchedRun(configured(settings, federation__fraction=0.5, federation__rounds=3)).go()
    assert all(len(event.orgs) == 2 for event in watched.told(ev.RoundFinished))
    for round in (1, 2, 3):
        assert {e.org for e in watched.told(ev.OrgEvaluated) if e.round == round} == {"alpha", "beta", "gamma"}


def test_the_size_of_a_cohort_changes_no_loss_that_is_told(settings):
    def by_organization(watched):
        return sorted(
            (e.org, e.round, getattr(e, "step", 0), e.loss)
            for e in [*watched.told(ev.TrainStep), *watched.told(ev.OrgEvaluated)]
        )

    whole = by_organization(WatchedRun(configured(settings)).go())
    alone = by_organization(WatchedRun(configured(settings, federation__cohort=1)).go())
    for ours, theirs in zip(whole, alone, strict=True):
        assert ours[:3] == theirs[:3]
        assert ours[3] == pytest.approx(theirs[3], abs=1e-5)


def test_a_run_over_two_devices_trains_at_once_and_gives_the_losses_of_one(settings, monkeypatch):
    """Two devices stand side by side here: the processor, twice. Each has the base for itself."""
    one = WatchedRun(configured(settings)).go()
    monkeypatch.setattr(base_model, "further_devices", lambda model: (torch.device("cpu"),))
    two = WatchedRun(configured(settings))
    two.when(is_step(1, 1), lambda: two.run.send(ask.Pause()))
    two.run.start()
    two.wait_for(is_kind(ev.RunPaused))
    two.run.send(ask.Resume())
    two.end()
    assert two.run.state.phase == "done"
    assert [e.device for e in two.told(ev.RunStarted)] == ["cpu"]
    assert len(two.told(ev.RunPaused)) == 1
    assert sorted(losses(two), key=str) == sorted(losses(one), key=str)


def test_a_run_leaves_no_thread_behind(settings):
    before = set(threading.enumerate())
    WatchedRun(configured(settings)).go()
    for thread in set(threading.enumerate()) - before:
        thread.join(GUARD)
        assert not thread.is_alive(), thread.name


def test_training_lowers_the_loss_on_the_hold_outs(settings):
    config = configured(settings, federation__rounds=3, federation__local_steps=8, federation__learning_rate=0.02)
    watched = WatchedRun(config).go()
    state = watched.run.state
    told = [row.eval_loss for row in state.history]
    assert told == sorted(told, reverse=True)
    assert state.gain > 0.05
