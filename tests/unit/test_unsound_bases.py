"""Bases that could be loaded and would train on nonsense: each is refused in one line before anything is written."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertLMHeadModel

from fedlora_tui.config import LoraConfig, ModelConfig
from fedlora_tui.errors import UserError
from fedlora_tui.lora.base_model import load, load_tokenizer
from tests.tiny_models import write_base


@pytest.fixture
def folder(tmp_path):
    return write_base(tmp_path / "base")


def refusal(folder):
    with pytest.raises(UserError) as refused:
        load(ModelConfig(base=str(folder), device="cpu", max_length=16), LoraConfig())
    said = str(refused.value)
    assert "\n" not in said
    assert str(folder) in said
    return said


def change_weights(folder, change):
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})


def change_config(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values), encoding="utf-8")


def test_weights_that_are_not_in_the_files_are_not_made_up(folder):
    change_weights(folder, lambda held: {name: own for name, own in held.items() if ".h.1." not in name})
    assert "weights are not in its files" in refusal(folder)


def test_weights_of_other_names_are_not_made_up(folder):
    change_weights(folder, lambda held: {f"module.{name}": own for name, own in held.items()})
    assert "weights are not in its files" in refusal(folder)


def test_weights_that_are_no_numbers_are_refused(folder):
    change_weights(folder, lambda held: {name: torch.full_like(own, torch.nan) for name, own in held.items()})
    assert "not finite" in refusal(folder)


def test_a_tokenizer_of_another_model_is_refused(folder):
    change_config(folder, vocab_size=300)
    change_weights(
        folder, lambda held: {name: own[:300].clone() if "wte" in name else own for name, own in held.items()}
    )
    assert "the model knows 300" in refusal(folder)


def test_a_model_that_sees_what_comes_later_is_refused(folder, tmp_path):
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    torch.manual_seed(0)
    BertLMHeadModel(BertConfig(vocab_size=400, initializer_range=0.3, **small)).save_pretrained(folder)
    assert "tokens that come later" in refusal(folder)


@pytest.mark.parametrize("names_a_known_class", [True, False])
def test_code_in_a_models_folder_is_never_run(folder, tmp_path, names_a_known_class):
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\nfrom transformers import GPT2Config as Own, GPT2LMHeadModel as Model\n"
    (folder / "own.py").write_text(code, encoding="utf-8")
    own = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Model"}
    change_config(folder, auto_map=own, **({} if names_a_known_class else {"model_type": "own"}))
    if names_a_known_class:
        load(ModelConfig(base=str(folder), device="cpu", max_length=16), LoraConfig())
        load_tokenizer(ModelConfig(base=str(folder), max_length=16))
    else:
        assert "code of its own" in refusal(folder)
        with pytest.raises(UserError, match="code of its own"):
            load_tokenizer(ModelConfig(base=str(folder), max_length=16))
    assert not ran.exists()


@pytest.mark.parametrize("name", ["~nobody-of-that-name/model", "m" * 300, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused_in_one_line(name):
    with pytest.raises(UserError, match=r"^model\.base = ") as refused:
        load(ModelConfig(base=name, device="cpu"), LoraConfig())
    assert len(str(refused.value)) < 400
