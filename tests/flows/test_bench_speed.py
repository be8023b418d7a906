"""`bench speed` over a small federation: all ways train the same tokens to the same losses, or it says so."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode

from fedlora_tui.benchmarks import memory_run, products, short_run, speed, ways
from fedlora_tui.benchmarks.between import covered, round_costs
from fedlora_tui.benchmarks.job import read_job, write_job
from fedlora_tui.benchmarks.process import run_process
from fedlora_tui.benchmarks.short_run import RaySetting, ShortRun, ray_settings
from fedlora_tui.benchmarks.speed import Speed, comparable
from fedlora_tui.benchmarks.ways import Outcome, furthest
from fedlora_tui.benchmarks.whole_run import records_of
from fedlora_tui.engine.plan import plan_of
from fedlora_tui.engine.prepare import prepare
from fedlora_tui.errors import UserError
from fedlora_tui.lora.rows import Row, padded
from fedlora_tui.organizations.roster import call_roster
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from tests.tiny_models import base_of, gpt2, llama, random_adapter, random_rows
from tests.tiny_runs import configured, small_settings


@pytest.fixture
def config(tmp_path):
    return configured(small_settings(tmp_path), federation__learning_rate=0.02)


@pytest.fixture
def without_processes(monkeypatch):
    """Memory is measured in processes of their own, which take seconds each; here nobody asks."""
    nothing = {way: {"peak": 2**21, "added": 2**20} for way in ways.WAYS}
    monkeypatch.setattr(Speed, "_memory", lambda self, folder, batch_size: nothing)
    monkeypatch.setattr(products, "MATRIX_SECONDS", 0.0)


def bench(config, **changes):
    asked = {"batch_sizes": (1, 2), "repeats": 1, "short_rounds": 0, "say": lambda text: None}
    return Speed(config, **asked | changes)


@pytest.mark.usefixtures("without_processes")
def test_every_way_has_a_row_and_every_batch_size_its_ratios(config):
    said = []
    report = bench(config, say=said.append).report()
    told = json.loads(report.to_json())
    assert told["bench"] == "speed"
    assert [row["name"] for row in told["rows"]] == [
        f"batch {size} {way}" for size in (1, 2) for way in ("engine", "in turn", "pooled", "matrix product")
    ]
    rows = {row["name"]: row for row in told["rows"]}
    for size in (1, 2):
        engine, turn = rows[f"batch {size} engine"], rows[f"batch {size} in turn"]
        ratios = told["ratios"][f"batch{size}"]
        assert ratios["in_turn"] == pytest.approx(engine["tokens_per_second"] / turn["tokens_per_second"])
        assert turn["ratio"] == ratios["in_turn"]
        assert ratios["ray"] is None
        assert ratios["matrix_share"] == engine["matrix_share"] > 0
        assert turn["loss"] == pytest.approx(engine["loss"], rel=1e-4)
        assert all(rows[f"batch {size} {way}"]["difference"] < 1e-4 for way in ways.WAYS)
        assert rows[f"batch {size} matrix product"]["gflops"] > 0
    assert 0 < told["ratios"]["between_rounds"] < 1
    assert any("2 of 2" in text for text in said) is False
    assert sum("to warm up" in text for text in said) == 6


@pytest.mark.usefixtures("without_processes")
def test_where_the_run_between_rounds_fails_the_table_is_told_all_the_same(config, monkeypatch):
    def fails(config):
        raise UserError("the run ended as failed: no reason was told")

    monkeypatch.setattr(speed, "between_rounds", fails)
    report = bench(config, batch_sizes=(1,)).report()
    assert report.ratios["between_rounds"] is None
    assert len(report.rows) == 4
    assert "between_rounds: the run ended as failed: no reason was told" in report.notes


@pytest.mark.usefixtures("without_processes")
def test_a_way_that_reaches_other_losses_is_told_in_one_line(config, monkeypatch):
    def astray(work):
        return ways.in_turn(replace(work, plan=replace(work.plan, learning_rate=2 * work.plan.learning_rate)))

    monkeypatch.setitem(ways.WAYS, "in turn", astray)
    with pytest.raises(UserError, match="at batch 1 in turn reached other losses") as caught:
        bench(config, batch_sizes=(1,)).report()
    assert "\n" not in str(caught.value)


def outcome(loss, first=2.0, tokens=10):
    return Outcome({"alpha": 2.0, "beta": loss}, first, tokens)


@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        ("in turn", outcome(3.001), "other losses"),
        ("in turn", outcome(math.nan), "other losses"),
        ("in turn", outcome(3.0, tokens=11), "trained 11 tokens and the engine 10"),
        ("in turn", Outcome({"alpha": 2.0}, 2.0, 10), "other losses"),
        ("pooled", outcome(9.0, first=2.001), "other losses"),
    ],
)
def test_what_did_not_train_the_same_is_refused(name, other, said):
    with pytest.raises(UserError, match=said):
        speed.check({"engine": outcome(3.0), name: other}, 4, 1e-4)


def test_rounding_is_allowed_and_pooled_may_end_elsewhere():
    speed.check({"engine": outcome(3.0), "in turn": outcome(3.0001), "pooled": outcome(9.0)}, 4, 1e-4)
    assert furthest({"a": 2.0}, {"a": 2.2}) == pytest.approx(0.1)


@pytest.mark.usefixtures("without_processes")
def test_without_the_extra_rays_ratio_is_null_and_a_note_names_it(config, monkeypatch):
    monkeypatch.setattr(short_run, "ray_is_here", lambda: False)
    report = bench(config, batch_sizes=(1,), short_rounds=2).report()
    assert report.ratios["batch1"]["ray"] is None
    assert any("fedlora-tui[ray]" in note for note in report.notes)
    assert not any("ray" in str(row["name"]) for row in report.rows)


def test_a_quantized_base_is_refused(config):
    quantized = replace(config, model=replace(config.model, quantization="4bit"))
    with pytest.raises(UserError, match="whole weights"):
        bench(quantized).report()


def test_what_ways_cannot_share_is_left_out_and_what_was_set_is_kept(config):
    asked = replace(
        config,
        federation=replace(config.federation, clip_norm=1.0, proximal_mu=0.1, local_epochs=2, local_steps=3),
        lora=replace(config.lora, dropout=0.5),
        given=config.given | {"federation.local_steps"},
    )
    found = comparable(asked, 16, 8, 24)
    federation = found.federation
    assert (federation.clip_norm, federation.proximal_mu, federation.local_epochs, found.lora.dropout) == (0, 0, 0, 0)
    assert federation.local_steps == 3
    assert comparable(replace(asked, given=frozenset()), 16, 8, 24).federation.local_steps == 8


# --- operations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "keys_alone"), [(gpt2, 0), (llama, 2 * 4 * 8)])
def test_the_operations_needed_are_those_that_peft_does_in_its_matrix_products(make, keys_alone):
    """Counted by torch, which counts masked scores, too, and logits of the last position, which predicts nothing."""
    base = base_of(make())
    start = random_adapter(base)
    rows = random_rows("alpha", 3, 1, least=12, most=12).train
    found = products.needed(base, start)
    settings = ways.plain_peft.lora_settings(start, base.targets)
    model = get_peft_model(make(), LoraConfig(**settings)).eval()
    inputs = padded(rows, 0, torch.device("cpu"))
    counter = FlopCounterMode(display=False)
    # Plain attention is made of products that are counted one by one.
    model.base_model.model.set_attn_implementation("eager")
    with counter:
        model(input_ids=inputs.tokens, labels=inputs.labels, use_cache=False).loss.backward()
    masked = found.a_pair * sum(12 * 12 - 12 * 13 // 2 for _ in rows)
    unpredicted = found.a_target * len(rows)
    first_keys = keys_alone * 12 * 12 * len(rows)
    assert counter.get_total_flops() == found.of(rows) + masked + unpredicted - first_keys


def test_documents_of_one_row_do_not_attend_to_one_another():
    found = products.Needed(a_token=0, a_target=0, a_pair=1)
    assert found.of([Row((1,) * 10)]) == 55
    assert found.of([Row((1,) * 10, 1, (4,))]) == 10 + 21


def test_the_matrix_rate_is_a_rate():
    assert products.matrix_rate(torch.device("cpu"), torch.float32) > 1e8


# --- memory, processes ----------------------------------------------------------------------------------------------


def job(config, folder, **changes):
    config = comparable(replace(config, **changes), 3, 2, config.model.max_length)
    prepared = prepare(config, call_roster(config), lambda stage: None)
    rows = [prepared.texts.rows(name) for name in prepared.organizations]
    plan = plan_of(config, 1)
    write_job(folder, config, prepared.base, prepared.adapter, plan, 2, rows)
    return prepared, rows, plan


def test_a_job_is_read_back_as_it_was_written(config, tmp_path):
    prepared, rows, plan = job(config, tmp_path / "job")
    found = read_job(tmp_path / "job")
    assert found.plan == plan
    assert [own.train for own in found.rows] == [own.train for own in rows]
    assert all(torch.equal(found.start[name], tensor) for name, tensor in prepared.adapter.tensors().items())


@pytest.mark.parametrize("way", list(ways.WAYS))
def test_memory_is_that_of_one_way_alone(config, tmp_path, way):
    job(config, tmp_path / "job")
    found = memory_run.measured(tmp_path / "job", way)
    assert found["peak"] > 2**20
    assert 0 <= found["added"] < found["peak"]


def test_memory_is_measured_in_a_process_of_its_own(config, tmp_path):
    job(config, tmp_path / "job")
    ended = run_process("memory", ["-m", "fedlora_tui.benchmarks.memory_run", str(tmp_path / "job"), "engine"])
    assert json.loads(ended.output)["peak"] > 2**20
    assert ended.peak_bytes > 2**20
    assert ended.seconds > 0


def test_a_process_that_fails_says_its_last_line():
    with pytest.raises(UserError, match="it ended with status 3 and said: because") as caught:
        run_process("it", ["-c", "import sys; sys.stderr.write('noise\\nbecause\\n'); sys.exit(3)"])
    assert "noise" not in str(caught.value)


def test_the_memory_of_a_process_is_its_highest():
    held = "import time; held = bytearray(200 << 20); time.sleep(0.5); del held; time.sleep(2)"
    assert run_process("it", ["-c", held]).peak_bytes > 200 << 20


# --- between rounds -------------------------------------------------------------------------------------------------


def test_what_lies_between_rounds_is_what_neither_trains_nor_tests():
    def step(org, number):
        return ev.TrainStep(org, 1, number, 3, 2.0, 10)

    finished = ev.RoundFinished(1, 2, 2.0, 2.0, 0, 0, 0.0, 60, 0.0, ("a", "b"))
    started = [ev.RoundStarted(number, 2, ("a", "b"), 3, 0.1) for number in (1, 2)]
    told = [
        (0.0, started[0]),
        # Two lanes: three steps of 2.5 s from 0.5 on, and beside them three of 1.5 s from 2.0 on.
        *((at, step("a", number)) for number, at in ((1, 3.0), (2, 5.5), (3, 8.0))),
        *((at, step("b", number)) for number, at in ((1, 3.5), (2, 5.0), (3, 6.5))),
        (10.0, ev.OrgState("a", "testing", 1)),
        (11.0, ev.OrgEvaluated("a", 1, 2.0, 10)),
        (12.0, finished),
        (13.0, started[1]),
    ]
    (cost,) = round_costs([Record(seq, t, event) for seq, (t, event) in enumerate(told, 1)])
    assert cost.seconds == 13.0
    assert cost.training == pytest.approx(7.5)
    assert cost.evaluation == pytest.approx(1.0)
    assert cost.between == pytest.approx(1 - 8.5 / 13)


def test_time_that_several_spans_cover_counts_once():
    assert covered([]) == 0
    assert covered([(5.0, 6.0), (1.0, 4.0), (2.0, 3.0), (3.5, 4.5)]) == pytest.approx(4.5)


def test_rounds_of_a_run_have_costs_that_fit_into_them(config):
    config = replace(config, federation=replace(config.federation, cohort=2, local_steps=3))
    costs = round_costs(records_of(config))
    assert len(costs) == 2
    assert all(0 < cost.training + cost.evaluation < cost.seconds for cost in costs)


# --- the short run --------------------------------------------------------------------------------------------------


def test_settings_of_rays_use_the_machine_side_by_side_or_one_at_a_time():
    names = [setting.name for setting in ray_settings(torch.device("cpu"), 2)]
    assert names == ["ray 1 CPU", "ray 2 CPU", "ray 1 CPU, base kept", "ray 2 CPU, base kept"]
    assert all(setting.gpus > 0 for setting in ray_settings(torch.device("cuda"), 16))


def short(config, folder):
    written = folder / "written"
    written.mkdir()
    return short_run.written_out(comparable(config, 3, 2, config.model.max_length), written)


def test_a_run_over_what_was_written_out_trains_as_rays_app_does(config, tmp_path):
    """The app's own client and strategy, on the grid of this process instead of Ray's."""
    from fedlora_tui.benchmarks import ray_app
    from fedlora_tui.federation.local_grid import LocalGrid

    served = replace(config.federation, rounds=4, server_optimizer="fedavgm", server_cooldown=0.9, server_warmup=3)
    config = short(replace(config, federation=served), tmp_path)
    prepared = prepare(config, call_roster(config), lambda stage: None)
    rows = [prepared.texts.rows(name) for name in prepared.organizations]
    folder = tmp_path / "job"
    write_job(folder, config, prepared.base, prepared.adapter, plan_of(config, 1), 1, rows)
    grid = LocalGrid(ray_app.client_app(str(folder), torch.get_num_threads(), keep=False))
    for place, name in enumerate(prepared.organizations):
        grid._contexts[grid.join(name)].node_config["partition-id"] = place
    ray_app.server_app(str(folder), config.federation.rounds)(grid, None)
    told = json.loads((folder / ray_app.RESULT).read_text())
    assert len(told["seconds"]) == config.federation.rounds
    ours = [{} for _ in told["losses"]]
    for record in records_of(config):
        if isinstance(record.event, ev.UpdateReceived):
            ours[record.event.round - 1][record.event.org] = record.event.loss
    for one, other in zip(ours, told["losses"], strict=True):
        named = {prepared.organizations[int(place)]: loss for place, loss in other.items()}
        assert furthest(one, named) < 1e-4


def ran(name, seconds, whole, loss=2.0):
    return ShortRun(name, tuple(seconds), whole, 2**20, ({"alpha": loss},) * len(seconds))


def test_rays_better_setting_counts_and_the_first_round_does_not():
    compared = short_run.Comparison(
        4,
        100,
        (ran("fedlora-tui run", [9.0, 1.0, 1.0], 5.0), ran("fedlora-tui run", [9.0, 1.0, 1.0], 5.0)),
        (ran("ray 1 CPU", [9.0, 6.0, 6.0], 20.0), ran("ray 2 CPU", [9.0, 7.0, 7.0], 15.0)),
        0.0,
    )
    assert compared.ratio(lambda run: run.round_seconds) == 6.0
    assert compared.ratio(lambda run: run.seconds) == 3.0
    assert compared.ratio(lambda run: run.seconds, kept=True) is None


def test_other_losses_of_rays_are_told_and_a_setting_that_failed_is_noted(config, tmp_path, monkeypatch):
    config = short(config, tmp_path)
    prepared = prepare(config, call_roster(config), lambda stage: None)
    settings = [RaySetting(1, 0.0, False), RaySetting(2, 0.0, False)]
    monkeypatch.setattr(short_run, "our_run", lambda folder: (100, ran("fedlora-tui run", [1.0], 5.0)))

    def rival(folder, rounds, setting, organizations):
        if setting.cpus == 1:
            raise UserError("Flower's Ray engine (ray 1 CPU) ended")
        return ran(setting.name, [4.0], 20.0, loss)

    monkeypatch.setattr(short_run, "ray_run", rival)
    loss, said = 2.0, []
    found = short_run.compare_at(config, prepared, 1, settings, tmp_path / "job", said.append)
    assert [run.name for run in found.ray] == ["ray 2 CPU"]
    assert found.failed == ("batch 1: Flower's Ray engine (ray 1 CPU) ended",)
    assert found.failed[0] in said
    assert said[-1] == "batch 1: ray 2 CPU: 4 s a round, 20 s from start to exit"
    loss = 2.1
    with pytest.raises(UserError, match="Ray's engine reached other losses"):
        short_run.compare_at(config, prepared, 1, settings, tmp_path / "job", lambda text: None)


@pytest.mark.slow
def test_the_short_run_against_rays_engine(config, tmp_path):
    if not short_run.ray_is_here():
        pytest.skip('Flower\'s Ray engine needs an extra: pip install "fedlora-tui[ray]"')
    config = comparable(config, 3, 2, config.model.max_length)
    (found,) = short_run.compare(config, (2,), 1, tmp_path / "short", lambda text: None)
    assert not found.failed
    assert found.difference < 1e-4
    assert len(found.ray) == 2
    assert all(len(run.rounds) == config.federation.rounds for run in (*found.ours, *found.ray))
    assert found.ratio(lambda run: run.seconds) > 0
