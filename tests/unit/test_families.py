"""Every family of architectures, by a tiny model of its real class: adapted, trained, measured, exported as by PEFT."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from fedlora_tui.errors import UserError
from fedlora_tui.lora.cohort import measure
from fedlora_tui.lora.export import Origin, write_adapter, write_merged
from fedlora_tui.lora.injection import StackedFactors, injected
from fedlora_tui.lora.rows import padded
from tests.peft_alone import PLAN, packed_rows, peft_model, plain_loss, relative, three, train_alone, trained
from tests.tiny_models import FAMILIES, base_of, random_adapter, random_rows

ATTENTION = {
    "gpt2": {"c_attn"},
    "phi3": {"qkv_proj"},
    "gpt_neox": {"query_key_value"},
}
"""What "auto" takes where query and value stand in one layer; elsewhere it takes both."""

FUSED = {"phi3": {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}, "gpt2": {"c_attn", "c_proj", "c_fc"}}
SHORT = replace(PLAN, local_steps=3)


@cache
def all_linear(name):
    """The family's base with an adapter on every linear layer; tests leave it as it is."""
    return base_of(FAMILIES[name](), targets="all-linear")


@pytest.mark.parametrize("name", FAMILIES)
def test_auto_takes_the_attentions_query_and_value(name):
    base = base_of(FAMILIES[name]())
    assert {target.name.rsplit(".", 1)[-1] for target in base.targets} == ATTENTION.get(name, {"q_proj", "v_proj"})
    assert len(base.targets) == 2 * len(ATTENTION.get(name, {"q_proj", "v_proj"}))
    assert all(target.transposed == (name == "gpt2") for target in base.targets)


@pytest.mark.parametrize("name", FAMILIES)
def test_all_linear_takes_what_peft_takes(name):
    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    theirs = {key for key, _ in get_peft_model(FAMILIES[name](), config).named_parameters() if "lora_A" in key}
    base = all_linear(name)
    assert {f"base_model.model.{target.name}.lora_A.default.weight" for target in base.targets} == theirs
    endings = {target.name.rsplit(".", 1)[-1] for target in base.targets}
    assert endings == FUSED.get(name, endings)
    assert not endings & {"lm_head", "embed_out"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_layer_is_found_by_its_name(name):
    last = all_linear(name).targets[-1]
    assert base_of(FAMILIES[name](), targets=(last.name,)).targets == (last,)
    ending = last.name.rsplit(".", 1)[-1]
    by_ending = base_of(FAMILIES[name](), targets=(ending,)).targets
    assert last in by_ending
    assert all(target.name.endswith(f".{ending}") for target in by_ending)


def assert_each_is_peft_alone(name, base, start, rows):
    """Train a cohort, and hold each organization's losses, adapter and tokens against PEFT and AdamW."""
    results, losses = trained(base, [start] * len(rows), rows, SHORT)
    for result, own in zip(results, rows, strict=True):
        alone, counts, tensors = train_alone(name, start, own, SHORT)
        assert losses[own.organization] == pytest.approx(alone, abs=1e-5)
        assert relative(result.adapter.tensors(), tensors) < 1e-5
        assert result.tokens == sum(counts)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_cohort_on_every_linear_layer_is_peft_alone(name):
    base, rows = all_linear(name), three()
    start = random_adapter(base, rank=2, alpha=4.0, size=0.1)
    assert_each_is_peft_alone(name, base, start, rows)


@pytest.mark.parametrize("name", FAMILIES)
def test_documents_that_share_a_row_train_as_if_each_had_its_own(name):
    base = all_linear(name)
    assert base.isolates
    start = random_adapter(base, rank=2, alpha=4.0, size=0.1)
    # One organization has several documents a row, the other one: they stand in the same pass.
    rows = [packed_rows("a", 24, 1), random_rows("b", 7, 1)]
    assert any(row.starts for row in rows[0].train)
    assert_each_is_peft_alone(name, base, start, rows)


@pytest.mark.parametrize("name", FAMILIES)
def test_measuring_is_the_loss_of_transformers_with_pefts_adapter(name):
    base, own = all_linear(name), random_rows("a", 3, 1, holdout=7)
    adapter = random_adapter(base, size=0.1)
    model = peft_model(name, adapter)
    with torch.no_grad():
        expected = sum(plain_loss(model, [row]).item() * (len(row) - 1) for row in own.holdout)
    measured = measure(base, adapter, own)
    assert measured.loss == pytest.approx(expected / own.holdout_tokens, abs=1e-5)
    assert measured.loss != pytest.approx(measure(base, None, own).loss, abs=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_padded_batch_gives_each_row_what_it_gets_alone(name):
    base, rows = all_linear(name), random_rows("a", 6, 1).train
    assert len({len(row) for row in rows}) > 2
    inputs = padded(rows, base.end_of_text, base.device).tokens
    with torch.no_grad():
        together = base.model(input_ids=inputs, use_cache=False).logits
        for index, row in enumerate(rows):
            alone = base.model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0]
            assert (together[index, : len(row)] - alone).norm() < 1e-5 * alone.norm()


class Tokenizer:
    """Stands where an export saves the tokenizer."""

    eos_token_id = 0

    def save_pretrained(self, folder):
        pass


@pytest.mark.parametrize("name", FAMILIES)
def test_both_exports_give_the_logits_that_training_saw(name, tmp_path):
    FAMILIES[name]().save_pretrained(tmp_path / "base")
    base = replace(all_linear(name), origin=str(tmp_path / "base"), tokenizer=Tokenizer())
    adapter = random_adapter(base, size=0.1)
    origin = Origin("run", 1, 1, "fedit", ("a",), "tiny", None, None, None, {})
    write_adapter(tmp_path / "adapter", adapter, base, origin)
    write_merged(tmp_path / "merged", adapter, base, origin)
    tokens = torch.randint(1, 60, (2, 20), generator=torch.Generator().manual_seed(5))
    stacked = {
        m: StackedFactors(f.a[None], f.b[None], torch.full((1, 1, 1), adapter.scale_of(m)))
        for m, f in adapter.factors.items()
    }
    with torch.no_grad():
        plain = base.model(input_ids=tokens, use_cache=False).logits
        with injected(base.model, base.targets, stacked):
            ours = base.model(input_ids=tokens, use_cache=False).logits
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        peft_logits = PeftModel.from_pretrained(loaded, tmp_path / "adapter").eval()(input_ids=tokens).logits
        merged_logits = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(input_ids=tokens).logits
    assert (ours - plain).norm() > 1e-2 * plain.norm()
    assert (peft_logits - ours).norm() < 1e-5 * ours.norm()
    assert (merged_logits - ours).norm() < 1e-5 * ours.norm()


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("name", FAMILIES)
def test_computing_layers_twice_gives_the_gradients_of_keeping_them(name, share):
    calls = []
    base, rows, plan = all_linear(name), three()[:2], replace(SHORT, local_steps=2, dropout=share)
    start, twice = random_adapter(base, rank=2, alpha=4.0, size=0.1), replace(base, recomputed=True)
    hook = base.model.get_submodule(base.targets[0].name).register_forward_hook(lambda *_: calls.append(1))
    try:
        kept, kept_losses = trained(base, [start] * 2, rows, plan)
        once = len(calls)
        again, again_losses = trained(twice, [start] * 2, rows, plan)
    finally:
        hook.remove()
    assert (once, len(calls)) == (plan.local_steps, 3 * plan.local_steps)
    for organization, told in kept_losses.items():
        assert again_losses[organization] == pytest.approx(told, abs=1e-6)
    for one, other in zip(kept, again, strict=True):
        assert relative(other.adapter.tensors(), one.adapter.tensors()) < 1e-6
    assert not any("forward" in vars(module) for module in base.model.modules())


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "gemma"])
def test_a_head_that_is_the_embedding_too_carries_no_adapter(name):
    with pytest.raises(UserError, match=r'"lm_head" shares its weight with the input embedding; leave it out$'):
        base_of(FAMILIES[name](), targets=("lm_head", "q_proj") if name != "gpt2" else ("lm_head",))


def test_a_head_of_its_own_carries_an_adapter_that_trains_as_in_peft():
    base, own = base_of(FAMILIES["phi"](), targets=("lm_head", "q_proj")), random_rows("a", 9, 1)
    start = random_adapter(base, size=0.1)
    assert "lm_head" in start.factors
    (result,), _ = trained(base, [start], [own], SHORT)
    _, _, tensors = train_alone("phi", start, own, SHORT)
    assert relative(result.adapter.tensors(), tensors) < 1e-5
