"""lora.rank_pattern and lora.alpha_pattern mean what PEFT's do, from the start of an adapter to its export."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from fedlora_tui.aggregation.drift import drift
from fedlora_tui.aggregation.fedit import fedit
from fedlora_tui.aggregation.method import Aggregated, Reply, Start
from fedlora_tui.aggregation.server_step import ServerMemory, ServerStep, advance
from fedlora_tui.engine import checkpoint
from fedlora_tui.engine.checkpoint import Checkpoint
from fedlora_tui.errors import UserError
from fedlora_tui.federation.messages import AdapterSpec, Refused, decode, encode
from fedlora_tui.lora.adapter import initial, own_alphas, shapes
from fedlora_tui.lora.cohort import measure
from fedlora_tui.lora.export import Origin, product, write_adapter, write_merged
from tests.peft_alone import PLAN, peft_model, plain_loss, relative, three, train_alone, trained
from tests.tiny_models import FAMILIES, base_of, random_adapter, random_rows

PATTERNS = [
    ("gpt2", {"c_proj": 2}, {}),
    ("gpt2", {"attn.c_proj": 2, "c_proj": 5}, {"c_fc": 1.5}),
    # The first that matches is meant, and a pattern is a regular expression.
    ("gpt2", {r"h\.0\..*": 7, "c_attn": 1}, {r"h\.[01]\.mlp\.c_.*": 9.0, "mlp.c_proj": 2.0}),
    ("gpt2", {"transformer.h.1.attn.c_attn": 1}, {"transformer.h.1.attn.c_attn": 32.0}),
    ("llama", {"q_proj": 8, "layers.1.mlp.down_proj": 1}, {"v_proj": 0.5}),
    ("phi3", {"qkv_proj": 6}, {"gate_up_proj": 12.0}),
]
RANK, ALPHA = 3, 6.0


def base_with(name, ranks, alphas):
    return base_of(FAMILIES[name](), targets="all-linear", rank_pattern=ranks, alpha_pattern=alphas)


@pytest.fixture
def patterned():
    """GPT-2 with three ranks and two alphas."""
    return base_with("gpt2", {"attn.c_proj": 2, "c_fc": 5}, {"c_fc": 1.5})


@pytest.mark.parametrize(("name", "ranks", "alphas"), PATTERNS)
def test_each_module_has_the_rank_and_the_scale_that_peft_gives_it(name, ranks, alphas):
    base = base_with(name, ranks, alphas)
    adapter = initial(base.targets, RANK, ALPHA, seed=1)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", rank_pattern=ranks, alpha_pattern=alphas)
    theirs = get_peft_model(FAMILIES[name](), replace(config, task_type="CAUSAL_LM"))
    wanted = {}
    for module in adapter.factors:
        layer = theirs.get_submodule(f"base_model.model.{module}")
        wanted[module] = (layer.r["default"], layer.scaling["default"])
        assert adapter.factors[module].b.shape == layer.lora_B["default"].weight.shape
    assert {module: (f.a.shape[0], adapter.scale_of(module)) for module, f in adapter.factors.items()} == wanted
    assert len(set(wanted.values())) > 1
    assert shapes(base.targets, RANK) == {key: tuple(value.shape) for key, value in adapter.tensors().items()}


def test_a_lower_rank_under_the_same_alpha_has_a_larger_scale_as_in_peft(patterned):
    adapter = random_adapter(patterned, rank=RANK, alpha=ALPHA)
    assert adapter.scale_of("transformer.h.0.attn.c_attn") == adapter.scale == 2.0
    assert adapter.scale_of("transformer.h.0.attn.c_proj") == 3.0
    assert adapter.scale_of("transformer.h.0.mlp.c_fc") == 0.3
    assert adapter.ranks == {f"transformer.h.{i}.{end}": rank for i in (0, 1) for end, rank in OWN.items()}


OWN = {"attn.c_proj": 2, "mlp.c_fc": 5}


@pytest.mark.parametrize(("name", "ranks", "alphas"), PATTERNS[1:3] + PATTERNS[4:])
def test_a_cohort_with_patterns_is_peft_alone_with_them(name, ranks, alphas):
    base, rows = base_with(name, ranks, alphas), three()
    start = random_adapter(base, RANK, ALPHA, size=0.1)
    results, losses = trained(base, [start] * 3, rows, PLAN)
    patterns = {"rank_pattern": ranks, "alpha_pattern": alphas}
    for result, own in zip(results, rows, strict=True):
        alone, _, tensors = train_alone(name, start, own, PLAN, **patterns)
        assert losses[own.organization] == pytest.approx(alone, abs=1e-5)
        assert relative(result.adapter.tensors(), tensors) < 1e-5
        assert result.adapter.alphas == start.alphas
    own = random_rows("a", 3, 1)
    model = peft_model(name, start, **patterns)
    with torch.no_grad():
        expected = sum(plain_loss(model, [row]).item() * (len(row) - 1) for row in own.holdout) / own.holdout_tokens
    assert measure(base, start, own).loss == pytest.approx(expected, abs=1e-5)


class Tokenizer:
    """Stands where an export saves the tokenizer."""

    def save_pretrained(self, folder):
        pass


def test_both_exports_carry_the_patterns(patterned, tmp_path):
    patterned.model.save_pretrained(tmp_path / "base")
    base = replace(patterned, origin=str(tmp_path / "base"), tokenizer=Tokenizer())
    adapter = random_adapter(base, RANK, ALPHA)
    origin = Origin("run", 1, 1, "fedit", ("a",), "tiny", None, None, None, {})
    write_adapter(tmp_path / "adapter", adapter, base, origin)
    write_merged(tmp_path / "merged", adapter, base, origin)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (3, 6.0)
    assert config["rank_pattern"] == adapter.ranks
    assert config["alpha_pattern"] == {"transformer.h.0.mlp.c_fc": 1.5, "transformer.h.1.mlp.c_fc": 1.5}
    assert "(rank 3 (c_proj 2, c_fc 5), alpha 6, " in (tmp_path / "adapter" / "README.md").read_text()
    tokens = torch.randint(1, 60, (2, 20), generator=torch.Generator().manual_seed(5))
    theirs = peft_model("gpt2", adapter, rank_pattern={"attn.c_proj": 2, "c_fc": 5}, alpha_pattern={"c_fc": 1.5})
    with torch.no_grad():
        expected = theirs(input_ids=tokens).logits
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        taken_home = PeftModel.from_pretrained(loaded, tmp_path / "adapter").eval()(input_ids=tokens).logits
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(input_ids=tokens).logits
    assert (taken_home - expected).norm() < 1e-5 * expected.norm()
    assert (merged - expected).norm() < 1e-5 * expected.norm()


def dense(adapter, module):
    """The definition of one module's update, in float64."""
    factors = adapter.factors[module]
    alpha = 1.5 if module.endswith("c_fc") else adapter.alpha
    return alpha / factors.a.shape[0] * factors.b.double().numpy() @ factors.a.double().numpy()


def test_the_product_and_the_drift_scale_each_module_by_its_own(patterned):
    starts = [random_adapter(patterned, RANK, ALPHA, seed=seed) for seed in (1, 2, 3)]
    pairs = zip(starts, (1, 2, 5), strict=True)
    replies = [Reply(f"org-{i}", adapter, weight) for i, (adapter, weight) in enumerate(pairs)]
    following = fedit(replies, Start(1, starts[0], lambda: starts[0])).adapter
    lost = ideal = 0.0
    for module in following.factors:
        assert np.allclose(product(starts[0], module).numpy(), dense(starts[0], module), atol=1e-6)
        mean = sum(reply.weight / 8 * dense(reply.adapter, module) for reply in replies)
        lost += float(((mean - dense(following, module)) ** 2).sum())
        ideal += float((mean**2).sum())
    assert drift(replies, Aggregated(following)) == pytest.approx((lost / ideal) ** 0.5, rel=1e-6)
    plain = Aggregated(replace(following, alphas={}))
    assert drift([replace(r, adapter=replace(r.adapter, alphas={})) for r in replies], plain) != pytest.approx(
        drift(replies, Aggregated(following)), rel=1e-3
    )


def test_alphas_go_through_aggregation_the_servers_step_and_a_checkpoint(patterned, tmp_path):
    one, other = (random_adapter(patterned, RANK, ALPHA, seed=seed) for seed in (1, 2))
    assert len(one.alphas) == 2
    start = Start(1, one, lambda: one)
    aggregated = fedit([Reply("a", one, 1), Reply("b", other, 1)], start).adapter
    assert aggregated.alphas == one.alphas
    assert advance(ServerStep(rate=0.5), ServerMemory(), one, aggregated)[0].alphas == one.alphas
    checkpoint.write(tmp_path, Checkpoint(1, aggregated, {"modules": list(one.factors)}))
    again = checkpoint.read(tmp_path, 1).adapter
    assert (again.rank, again.alpha, again.alphas, again.ranks) == (RANK, ALPHA, one.alphas, one.ranks)
    with pytest.raises(ValueError, match=r"b: an adapter whose .* is scaled by"):
        fedit([Reply("a", one, 1), Reply("b", replace(other, alphas={}), 1)], start)


def test_a_message_is_held_to_each_modules_own_rank(patterned):
    adapter = random_adapter(patterned, RANK, ALPHA)
    spec = AdapterSpec(shapes(patterned.targets, RANK), RANK, ALPHA, own_alphas(patterned.targets))
    read = decode(encode(adapter), spec)
    assert (read.ranks, read.alphas) == (adapter.ranks, adapter.alphas)
    uniform = random_adapter(base_of(FAMILIES["gpt2"](), targets="all-linear"), RANK, ALPHA)
    with pytest.raises(Refused, match=r"transformer\.h\.0\.attn\.c_proj\.lora_A\.weight is not float32 \[2, 24\]"):
        decode(encode(uniform), spec)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"rank_pattern": {"c_attn": 2, "attn.c_porj": 2}},
            'lora.rank_pattern: no target module matches "attn.c_porj"; nearest is attn.c_proj',
        ),
        (
            {"alpha_pattern": {"q_proj": 2.0}},
            'lora.alpha_pattern: no target module matches "q_proj"; nearest is c_proj',
        ),
        (
            {"targets": ("c_attn",), "rank_pattern": {"mlp.c_fc": 2}},
            'lora.rank_pattern: no target module matches "mlp.c_fc"; there are c_attn',
        ),
        (
            {"rank_pattern": {"c_(": 2}},
            "lora.rank_pattern: ['c_('] is not made of names or regular expressions: ",
        ),
        ({"targets": ("c_attn", "c_fk")}, 'lora.target_modules: "c_fk": no such layer in gpt2; nearest is c_fc'),
        (
            {"targets": ("zzzzzz",)},
            'lora.target_modules: "zzzzzz": no such layer in gpt2; there are c_attn, c_proj, c_fc, lm_head',
        ),
    ],
)
def test_a_name_that_matches_nothing_is_refused_in_one_line(settings, line):
    with pytest.raises(UserError) as refused:
        base_of(FAMILIES["gpt2"](), **{"targets": "all-linear", **settings})
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_an_architecture_that_nobody_knows_is_told_what_it_could_take():
    model = FAMILIES["llama"]()
    model.config.model_type = "unheard-of"
    with pytest.raises(UserError) as refused:
        base_of(model)
    assert str(refused.value) == (
        'lora.target_modules = "auto": architecture \'unheard-of\' is not known; take "all-linear", '
        "or name layers, such as q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head"
    )


def test_an_architecture_that_pefts_table_knows_is_taken_from_there():
    model = FAMILIES["llama"]()
    model.config.model_type = "stablelm"
    assert {target.name.rsplit(".", 1)[-1] for target in base_of(model).targets} == {"q_proj", "v_proj"}
