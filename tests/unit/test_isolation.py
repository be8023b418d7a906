"""Which bases keep the documents of a row apart, found by trying."""

from __future__ import annotations

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, MambaConfig, MambaForCausalLM, OPTConfig, OPTForCausalLM

from fedlora_tui.lora.isolation import isolates
from tests.tiny_models import FAMILIES, VOCABULARY, gpt2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FAMILIES)
def test_bases_that_take_positions_keep_documents_apart(name, dtype):
    assert isolates(FAMILIES[name]().eval().to(dtype))


SHAPE = {"vocab_size": VOCABULARY, "hidden_size": 16, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


@pytest.mark.parametrize(
    "model",
    [
        BloomForCausalLM(BloomConfig(**SHAPE, n_layer=1, n_head=2)),
        MambaForCausalLM(MambaConfig(**SHAPE, num_hidden_layers=1)),
        OPTForCausalLM(
            OPTConfig(**SHAPE, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, word_embed_proj_dim=16)
        ),
    ],
    ids=["slopes instead of positions", "a state along the row", "positions that count from a mask"],
)
def test_bases_that_cannot_are_known(model):
    torch.manual_seed(0)
    assert not isolates(model.eval())


def test_a_model_that_ignores_its_positions_is_found_out():
    model = gpt2().eval()
    plain = model.forward
    model.forward = lambda **given: plain(**{**given, "position_ids": None})
    assert not isolates(model)
