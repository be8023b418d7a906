"""What a base is loaded as: its number format, its longest row, its bits, and how it is computed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    BloomConfig,
    FalconConfig,
    Gemma3Config,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    MambaConfig,
    MptConfig,
    Phi3Config,
)

from fedlora_tui.config import LoraConfig, ModelConfig
from fedlora_tui.errors import UserError
from fedlora_tui.lora import base_model
from fedlora_tui.lora.adapter import initial
from fedlora_tui.lora.base_model import (
    BaseModel,
    choose_dtype,
    find_dtype,
    further_devices,
    load,
    longest_row,
    replica,
    twin,
)
from fedlora_tui.lora.cohort import measure, train_cohort
from fedlora_tui.lora.export import Origin, product, write_adapter, write_merged
from tests.peft_alone import PLAN, peft_model, plain_loss, relative, three, trained
from tests.tiny_models import FAMILIES, TokensAlone, base_of, gpt2, random_adapter, random_rows, write_base

# --- number formats


@pytest.mark.parametrize(
    ("device", "has_bfloat16", "expected"),
    [
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float32),
        ("cpu", True, torch.float32),
        ("cpu", False, torch.float32),
        ("mps", True, torch.float32),
    ],
)
def test_auto_is_bfloat16_on_a_gpu_that_computes_in_it_and_float32_elsewhere(device, has_bfloat16, expected):
    assert choose_dtype("auto", device, lambda: has_bfloat16) is expected


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_named_format_is_taken_without_asking_the_device(name):
    def never():
        raise AssertionError("asked")

    assert choose_dtype(name, "cuda", never) is getattr(torch, name)


def test_auto_asks_the_gpu_that_was_chosen(monkeypatch):
    here = []

    class Chosen:
        def __init__(self, device):
            here.append(device)

        def __enter__(self):
            pass

        def __exit__(self, *why):
            pass

    monkeypatch.setattr(torch.cuda, "device", Chosen)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert find_dtype("auto", torch.device("cuda:1")) is torch.bfloat16
    assert here == [torch.device("cuda:1")]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert find_dtype("auto", torch.device("cuda:1")) is torch.float32
    assert find_dtype("auto", torch.device("cpu")) is torch.float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny GPT-2 as a folder."""
    return write_base(tmp_path_factory.mktemp("base"))


def test_a_bfloat16_base_trains_float32_adapters(folder):
    base = load(ModelConfig(base=str(folder), device="cpu", dtype="bfloat16", max_length=64), LoraConfig())
    assert {parameter.dtype for parameter in base.model.parameters()} == {base.dtype} == {torch.bfloat16}
    start, own = initial(base.targets, 4, 8.0, seed=1), random_rows("a", 6, 1)
    (result,) = train_cohort(base, [start], [own], [replace(PLAN, local_steps=30, learning_rate=2e-2)])
    assert {tensor.dtype for tensor in result.adapter.tensors().values()} == {torch.float32}
    memorized = replace(own, holdout=own.train)
    assert measure(base, result.adapter, memorized).loss < measure(base, None, memorized).loss - 0.1


def test_over_a_bfloat16_base_an_adapter_adds_what_pefts_adds():
    base, own = base_of(gpt2().bfloat16()), random_rows("a", 3, 1)
    adapter = random_adapter(base)
    model = peft_model("gpt2", adapter).bfloat16()
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = adapter.tensors()[name.removeprefix("base_model.model.").replace(".default", "")].clone()
    with torch.no_grad():
        expected = sum(plain_loss(model, [row]).item() * (len(row) - 1) for row in own.holdout) / own.holdout_tokens
    assert measure(base, adapter, own).loss == pytest.approx(expected, abs=2e-3)


# --- the longest row


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (GPT2Config(n_positions=77), 77),
        (GPTJConfig(n_positions=78), 78),
        (LlamaConfig(max_position_embeddings=79), 79),
        (Phi3Config(max_position_embeddings=8192, original_max_position_embeddings=4096), 8192),
        (FalconConfig(max_position_embeddings=80), 80),
        (MptConfig(max_seq_len=81), 81),
        (Gemma3Config(text_config={"max_position_embeddings": 82}), 82),
        (BloomConfig(), None),
        (MambaConfig(), None),
    ],
)
def test_the_longest_row_is_found_by_each_name_that_architectures_give_it(config, expected):
    assert longest_row(config) == expected


def test_a_row_longer_than_the_base_takes_is_refused_in_one_line(folder):
    with pytest.raises(UserError) as refused:
        load(ModelConfig(base=str(folder), device="cpu", max_length=65), LoraConfig())
    assert str(refused.value) == f"model.max_length = 65: {folder} takes 64 tokens at most; lower it"
    load(ModelConfig(base=str(folder), device="cpu", max_length=64), LoraConfig())


def test_a_base_without_a_bound_takes_any_row(folder, monkeypatch):
    monkeypatch.setattr(base_model, "POSITIONS", ("called_otherwise",))
    assert load(ModelConfig(base=str(folder), device="cpu", max_length=4096), LoraConfig()).parameters > 0


# --- layers computed twice


def test_a_base_is_told_to_compute_layers_twice(folder):
    asked = ModelConfig(base=str(folder), device="cpu", max_length=64, gradient_checkpointing=True)
    assert load(asked, LoraConfig()).recomputed
    assert not load(replace(asked, gradient_checkpointing=False), LoraConfig()).recomputed


def test_a_base_whose_layers_cannot_be_computed_twice_is_refused_in_one_line(folder, monkeypatch):
    monkeypatch.setattr(base_model, "recomputable", lambda model: False)
    asked = ModelConfig(base=str(folder), device="cpu", max_length=64, gradient_checkpointing=True)
    with pytest.raises(UserError) as refused:
        load(asked, LoraConfig())
    line = f"model.gradient_checkpointing = true: the layers of {folder} cannot be computed twice; set it to false"
    assert str(refused.value) == line


# --- 8 and 4 bits


needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason='pip install "fedlora-tui[quantized]"'
)


def refusal(model):
    with pytest.raises(UserError) as refused:
        load(model, LoraConfig())
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_without_bitsandbytes_a_quantized_base_names_the_extra(folder, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    line = refusal(ModelConfig(base=str(folder), device="cpu", max_length=64, quantization="4bit"))
    assert line == 'model.quantization = "4bit" needs one more package: pip install "fedlora-tui[quantized]"'


def test_a_gguf_file_and_a_device_that_bitsandbytes_does_not_know_are_refused(folder, tmp_path, monkeypatch):
    (tmp_path / "x.gguf").touch()
    line = refusal(ModelConfig(base=str(tmp_path / "x.gguf"), device="cpu", quantization="8bit"))
    assert line.startswith('model.quantization = "8bit": a .gguf is read into whole weights; set "none"')
    monkeypatch.setattr(base_model, "find_device", lambda name: torch.device("mps"))
    line = refusal(ModelConfig(base=str(folder), device="mps", max_length=64, quantization="8bit"))
    assert line == 'model.quantization = "8bit": not on mps; set "none", or model.device to "cuda" or "cpu"'


@pytest.mark.parametrize(
    ("quantization", "device", "apart"),
    [("8bit", "cuda", False), ("8bit", "cpu", True), ("4bit", "cuda", True), ("none", "cuda", True)],
)
def test_rows_go_together_where_they_do_not_touch_one_another(quantization, device, apart):
    base = replace(base_of(gpt2()), quantization=quantization, device=torch.device(device))
    assert base.rows_apart is apart


PACKED = {"8bit": {"load_in_8bit": True}, "4bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}}


class Tokenizer(TokensAlone):
    """Stands where a base's tokens are counted and an export saves the tokenizer."""

    def get_vocab(self):
        return {"one": 1}

    def save_pretrained(self, folder):
        pass


@pytest.fixture(params=[(name, bits) for name in ("llama", "gpt2") for bits in PACKED], ids="-".join)
def packed(request, tmp_path, monkeypatch) -> tuple[str, str, BaseModel]:
    """A tiny model that was loaded in 8 or in 4 bits, with an adapter on every linear layer."""
    name, bits = request.param
    FAMILIES[name]().save_pretrained(tmp_path / "whole")
    monkeypatch.setattr(base_model.AutoTokenizer, "from_pretrained", lambda *given, **named: Tokenizer())
    asked = ModelConfig(base=str(tmp_path / "whole"), device="cpu", max_length=24, quantization=bits)
    return name, bits, load(asked, LoraConfig(target_modules="all-linear"))


@needs_bitsandbytes
def test_a_quantized_base_has_the_layers_and_the_size_of_the_whole_one(packed):
    name, bits, base = packed
    whole = base_of(FAMILIES[name](), targets="all-linear")
    kinds = {type(base.model.get_submodule(target.name)).__name__ for target in base.targets}
    assert kinds == {"Linear4bit" if bits == "4bit" else "Linear8bitLt"}
    # bitsandbytes lays GPT-2's transposed layers like all others.
    assert base.targets == tuple(replace(target, transposed=False) for target in whole.targets)
    assert base.parameters == whole.parameters
    assert base.vocabulary == whole.vocabulary


def unpacked_weights(base, bits):
    """The same base packed by transformers itself and turned back into whole weights."""
    return AutoModelForCausalLM.from_pretrained(
        base.origin,
        dtype=torch.float32,
        device_map={"": "cpu"},
        quantization_config=BitsAndBytesConfig(**PACKED[bits], bnb_4bit_use_double_quant=True),
    ).dequantize()


@needs_bitsandbytes
def test_a_quantized_base_gives_the_logits_of_its_own_weights_unpacked_again_and_again(packed):
    name, bits, base = packed
    theirs = unpacked_weights(base, bits)
    tokens = torch.randint(1, 60, (3, 20), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = theirs.eval()(input_ids=tokens).logits.float()
        whole = FAMILIES[name]().eval()(input_ids=tokens).logits
        for _ in range(2):
            ours = base.model(input_ids=tokens, use_cache=False).logits
            assert (ours - expected).norm() < 1e-5 * expected.norm()
        row = base.model(input_ids=tokens[:1], use_cache=False).logits
    assert (row - ours[:1]).norm() < 1e-5 * row.norm()
    assert (ours - whole).norm() > 1e-3 * whole.norm()


@needs_bitsandbytes
def test_a_cohort_over_a_quantized_base_learns_and_is_each_organization_alone(packed):
    _, _, base = packed
    rows, start = three(), random_adapter(base, rank=2, alpha=4.0, size=0.1)
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    together, losses = trained(base, [start] * 3, rows, replace(PLAN, local_steps=12, learning_rate=2e-2))
    for result, own in zip(together, rows, strict=True):
        assert sum(losses[own.organization][-3:]) < 0.97 * sum(losses[own.organization][:3])
        assert all(tensor.isfinite().all() for tensor in result.adapter.tensors().values())
    few, _ = trained(base, [start] * 3, rows, PLAN)
    (alone,), _ = trained(base, [start], [rows[1]], PLAN)
    assert relative(few[1].adapter.tensors(), alone.adapter.tensors()) < 1e-4
    after = base.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@needs_bitsandbytes
def test_the_gradient_through_a_quantized_base_is_that_of_its_unpacked_weights(packed):
    _, bits, base = packed
    unpacked = unpacked_weights(base, bits)
    plain = replace(base, model=unpacked.float(), quantization="none")
    base_model.freeze(plain.model)
    start, own = random_adapter(base, rank=2, alpha=4.0, size=0.1), random_rows("a", 9, 1)
    (ours,), _ = trained(base, [start], [own], PLAN)
    (theirs,), _ = trained(plain, [start], [own], PLAN)
    assert relative(ours.adapter.tensors(), theirs.adapter.tensors()) < 1e-5


@needs_bitsandbytes
def test_exports_of_a_quantized_base_are_an_adapter_and_a_whole_model(packed, tmp_path):
    name, bits, base = packed
    adapter = random_adapter(base, size=0.1)
    origin = Origin("run", 1, 1, "fedit", ("a",), "tiny", None, None, None, {})
    write_adapter(tmp_path / "adapter", adapter, base, origin)
    write_merged(tmp_path / "merged", adapter, base, origin)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert len(config["target_modules"]) > 0
    assert f"({bits}, bitsandbytes)" in (tmp_path / "adapter" / "README.md").read_text()
    assert f"Trained over {bits} weights" in (tmp_path / "merged" / "README.md").read_text()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert not hasattr(merged.config, "quantization_config")
    whole = dict(FAMILIES[name]().state_dict())
    for target in base.targets:
        update = product(adapter, target.name)
        expected = whole[f"{target.name}.weight"] + (update.T if name == "gpt2" else update)
        assert torch.allclose(merged.state_dict()[f"{target.name}.weight"], expected, atol=1e-6)


def test_bars_of_libraries_draw_nothing():
    code = "import fedlora_tui.lora\nfrom tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_replica_computes_the_same_and_shares_nothing(family):
    base = base_of(FAMILIES[family]())
    other = replica(base, torch.device("cpu"))
    tokens = torch.arange(2, 14)[None]
    assert torch.equal(base.model(tokens).logits, other.model(tokens).logits)
    ours, theirs = (
        {tensor.data_ptr() for tensor in [*own.model.parameters(), *own.model.buffers()]} for own in (base, other)
    )
    assert len(ours) == len(theirs)
    assert not ours & theirs
    assert not any(parameter.requires_grad for parameter in other.model.parameters())
    assert other.model.num_parameters() == base.model.num_parameters()
    assert other.head.model is other.model
    assert (other.head.backbone is None) == (base.head.backbone is None)


def test_a_twin_computes_the_same_over_the_same_weights_with_adapters_of_its_own():
    base = base_of(FAMILIES["gpt2"]())
    other = twin(base)
    ours, theirs = (
        [tensor.data_ptr() for tensor in [*own.model.parameters(), *own.model.buffers()]] for own in (base, other)
    )
    assert ours == theirs
    assert not {id(layer) for layer in base.model.modules()} & {id(layer) for layer in other.model.modules()}
    assert other.head.model is other.model


def test_all_gpus_work_unless_one_is_named_or_the_base_is_quantized(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert further_devices(ModelConfig(device="auto")) == (torch.device("cuda:1"), torch.device("cuda:2"))
    assert len(further_devices(ModelConfig(device="cuda"))) == 2
    assert further_devices(ModelConfig(device="cuda:0")) == ()
    assert further_devices(ModelConfig(device="cpu")) == ()
    assert further_devices(ModelConfig(quantization="8bit")) == ()
