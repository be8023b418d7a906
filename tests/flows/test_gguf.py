"""A base from a .gguf file: read by transformers, trained, and taken home as a plain model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fedlora_tui.config import LoraConfig, ModelConfig
from fedlora_tui.lora.adapter import initial
from fedlora_tui.lora.base_model import EMBEDDED, load
from fedlora_tui.lora.cohort import LocalTraining, measure, train_cohort
from fedlora_tui.lora.export import Origin, write_merged
from fedlora_tui.lora.rows import Shape, tokenize
from fedlora_tui.organizations.text import Document

gguf = pytest.importorskip("gguf", reason="the gguf extra is not installed")

WIDTH, HEADS, INNER, CONTEXT = 32, 4, 48, 64
TEXT = ["The ward called the doctor before noon.", "A second letter came from the bank today."]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A tiny Llama with random weights and the embedded base's tokenizer, as one .gguf."""
    vocabulary = json.loads((EMBEDDED / "tokenizer.json").read_text())["model"]
    tokens = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in vocabulary["merges"]])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    random = np.random.default_rng(7)
    shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH), "blk.0.ffn_down": (WIDTH, INNER)}
    shapes |= {f"blk.0.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{name}": (INNER, WIDTH) for name in ("gate", "up")}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.05, shape).astype(np.float32))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_base_trains_and_merges_into_a_plain_model(file: Path, tmp_path: Path) -> None:
    base = load(ModelConfig(base=str(file), max_length=CONTEXT), LoraConfig())
    assert {target.name.rsplit(".", 1)[-1] for target in base.targets} == {"q_proj", "v_proj"}
    documents = [Document(text) for text in TEXT]
    rows = tokenize(base.tokenizer, "office", documents, documents, Shape(CONTEXT, 4096))
    plan = LocalTraining(round=1, seed=7, local_steps=8, local_epochs=0, batch_size=2, learning_rate=0.05)
    start = initial(base.targets, 4, 8.0, 7)
    (trained,) = train_cohort(base, [start], [rows], [plan])
    after = measure(base, trained.adapter, rows)
    assert after.loss < measure(base, None, rows).loss - 0.01

    origin = Origin("run", 1, 1, "fedit", ("office",), base.name, None, after.loss, trained.loss, {})
    write_merged(tmp_path / "merged", trained.adapter, base, origin)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    total, count = 0.0, 0
    for text in TEXT:
        ids = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
        total += float(plain(ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert total / count == pytest.approx(after.loss, abs=1e-4)
