"""Whole runs over bases of other kinds: many layers, ranks by module, layers computed twice, bfloat16, 4 and 8 bits."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from fedlora_tui.engine import checkpoint
from fedlora_tui.lora.base_model import load as load_base
from fedlora_tui.protocol import commands as ask
from fedlora_tui.protocol import events as ev
from tests.tiny_runs import WatchedRun, configured, small_settings

FAST = {"federation.learning_rate": 0.01, "federation.local_steps": 4, "lora.rank": 3, "lora.alpha": 6.0}
PATTERNS = {
    "lora.target_modules": "all-linear",
    "lora.rank_pattern": '{ "attn.c_proj" = 2, "c_fc" = 5 }',
    "lora.alpha_pattern": '{ "c_fc" = 1.5 }',
}


def done(folder, **more):
    watched = WatchedRun(configured({**small_settings(folder), **FAST, **more})).go()
    assert watched.run.state.phase == "done", watched.run.refusal
    last = watched.told(ev.RoundFinished)[-1]
    assert last.eval_loss < watched.run.state.base_loss
    return watched, last


def test_a_run_with_ranks_by_module_trains_aggregates_and_goes_home_to_peft(tmp_path):
    watched, last = done(tmp_path, **PATTERNS)
    kept = checkpoint.read(watched.folder, 2).adapter
    ranks = {module.split(".", 3)[-1]: factors.a.shape[0] for module, factors in kept.factors.items()}
    assert ranks == {"attn.c_attn": 3, "attn.c_proj": 2, "mlp.c_fc": 5, "mlp.c_proj": 3}
    assert {kept.scale_of(module) for module in kept.factors} == {2.0, 3.0, 0.3}
    assert watched.told(ev.RunStarted)[0].trainable == kept.parameters
    assert watched.told(ev.RunStarted)[0].config["lora"]["rank_pattern"] == {"attn.c_proj": 2, "c_fc": 5}
    assert not watched.told(ev.UpdateRejected)
    assert 0 < last.drift < 1

    watched.run.send(ask.Export(out=str(tmp_path / "home")))
    watched.wait_for(lambda event: isinstance(event, ev.AdapterExported))
    config = watched.run.config
    base = load_base(config.model, config.lora)
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.origin), tmp_path / "home").eval()
    for module in kept.factors:
        layer = theirs.get_submodule(f"base_model.model.{module}")
        assert layer.scaling["default"] == kept.scale_of(module)
        assert torch.equal(layer.lora_B["default"].weight, kept.factors[module].b)


@pytest.mark.parametrize("own", [2, 3, 5])
def test_a_turned_rank_and_ranks_of_organizations_leave_a_module_of_its_own_rank_as_it_is(tmp_path, own):
    """Also where that rank happens to be the adapter's."""
    settings = {
        **small_settings(tmp_path),
        **FAST,
        "lora.rank": '{ default = 3, "beta" = 4, "gamma" = 1 }',
        "lora.target_modules": "all-linear",
        "lora.rank_pattern": f'{{ "attn.c_proj" = {own} }}',
        "federation.aggregation": "flora",
        "federation.rounds": 3,
    }
    watched = WatchedRun(configured(settings))
    watched.when(
        lambda event: isinstance(event, ev.RoundStarted) and event.round == 1, lambda: watched.run.send(ask.Rank(6))
    )
    watched.go()
    assert watched.run.state.phase == "done", watched.run.state.reason
    assert not watched.told(ev.UpdateRejected)
    assert all(finished.drift < 1e-6 for finished in watched.told(ev.RoundFinished))
    for round, rank in ((1, 4), (3, 6)):
        kept = checkpoint.read(watched.folder, round).adapter
        ranks = {module.split(".", 3)[-1]: factors.a.shape[0] for module, factors in kept.factors.items()}
        assert ranks == {"attn.c_attn": rank, "attn.c_proj": own, "mlp.c_fc": rank, "mlp.c_proj": rank}
        scales = {module.split(".", 3)[-1]: kept.scale_of(module) for module in kept.factors}
        assert scales == {name: pytest.approx(2.0 if name != "attn.c_proj" else 6.0 / own) for name in ranks}


def test_a_pattern_that_matches_nothing_ends_before_a_folder_is_made(tmp_path):
    wrong = {"lora.rank_pattern": '{ "mlp.c_fc" = 2 }'}
    watched = WatchedRun(configured({**small_settings(tmp_path), **wrong})).go()
    assert watched.run.folder is None
    assert str(watched.run.refusal) == 'lora.rank_pattern: no target module matches "mlp.c_fc"; there are c_attn'


def test_computing_layers_twice_changes_no_loss_of_a_run(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "twice").mkdir()
    dropping = {"lora.dropout": 0.2}
    _, kept = done(tmp_path / "kept", **dropping)
    watched, twice = done(tmp_path / "twice", **dropping, **{"model.gradient_checkpointing": "true"})
    assert watched.told(ev.RunStarted)[0].config["model"]["gradient_checkpointing"] is True
    assert (twice.train_loss, twice.eval_loss) == pytest.approx((kept.train_loss, kept.eval_loss), abs=1e-6)


def test_a_run_over_a_bfloat16_base(tmp_path):
    watched, _ = done(tmp_path, **{"model.dtype": "bfloat16"})
    assert watched.told(ev.RunStarted)[0].dtype == "bfloat16"
    tensors = checkpoint.read(watched.folder, 2).adapter.tensors().values()
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason='pip install "fedlora-tui[quantized]"')
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_a_run_over_a_quantized_base_and_its_merged_export(tmp_path, bits):
    watched, last = done(tmp_path, **{"model.quantization": bits})
    for merged in (False, True):
        watched.run.send(ask.Export(merged=merged, out=str(tmp_path / f"merged-{merged}")))
        watched.wait_for(lambda event, merged=merged: isinstance(event, ev.AdapterExported) and event.merged is merged)
    config = json.loads((tmp_path / "merged-True" / "config.json").read_text())
    assert "quantization_config" not in config
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged-True").dtype == torch.float32
    assert last.drift is not None
