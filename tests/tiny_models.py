"""Tiny bases for tests: random models of eleven architectures in memory, a GPT-2 on disk, random rows and texts."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from fedlora_tui.config import LoraConfig
from fedlora_tui.lora.adapter import Adapter, Factors, own_alphas
from fedlora_tui.lora.base_model import BaseModel, freeze
from fedlora_tui.lora.isolation import isolates
from fedlora_tui.lora.rows import Row, Rows
from fedlora_tui.lora.target_modules import find_targets

VOCABULARY = 61
LENGTH = 24


SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
# Shorter than the rows, so that its layers do not see all of them; 4 heads of 12 are wider than the 32 they come from.
WINDOW, WIDE_HEADS = {"sliding_window": 8}, {"head_dim": 12}
BOTH_KINDS = {"layer_types": ["sliding_attention", "full_attention"]}


def gpt2(seed: int = 0) -> PreTrainedModel:
    """GPT-2 with Conv1D layers of 24 inputs and 72 outputs, so that a transposition cannot hide."""
    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=64,
            n_embd=24,
            n_layer=2,
            n_head=3,
            initializer_range=0.3,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def llama(seed: int = 0) -> PreTrainedModel:
    """Llama with grouped queries: q_proj is 32 x 32, v_proj 32 x 16."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**GROUPED))


def _with_biases(kind: type, config: Any) -> Callable[..., PreTrainedModel]:
    """Models start with biases of zero and norms of one, which would hide a mistake; here they are drawn."""

    def make(seed: int = 0) -> PreTrainedModel:
        torch.manual_seed(seed)
        model = kind(config)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
        return model

    return make


MODELS = {"gpt2": gpt2, "llama": llama}

FAMILIES: dict[str, Callable[..., PreTrainedModel]] = {
    **MODELS,
    "mistral": _with_biases(MistralForCausalLM, MistralConfig(**GROUPED, **WINDOW)),
    "qwen2": _with_biases(Qwen2ForCausalLM, Qwen2Config(**GROUPED, tie_word_embeddings=True)),
    "qwen3": _with_biases(Qwen3ForCausalLM, Qwen3Config(**GROUPED, **WIDE_HEADS)),
    "phi": _with_biases(PhiForCausalLM, PhiConfig(**SMALL, qk_layernorm=True)),
    "phi3": _with_biases(Phi3ForCausalLM, Phi3Config(**GROUPED, **WINDOW)),
    "gpt_neox": _with_biases(GPTNeoXForCausalLM, GPTNeoXConfig(**SMALL)),
    "gemma": _with_biases(GemmaForCausalLM, GemmaConfig(**GROUPED, **WIDE_HEADS)),
    "gemma2": _with_biases(
        Gemma2ForCausalLM,
        Gemma2Config(
            **GROUPED,
            **WIDE_HEADS,
            **WINDOW,
            **BOTH_KINDS,
            query_pre_attn_scalar=12,
            attn_logit_softcapping=5.0,
            final_logit_softcapping=3.0,
        ),
    ),
    "gemma3_text": _with_biases(
        Gemma3ForCausalLM,
        Gemma3TextConfig(**GROUPED, **WIDE_HEADS, **WINDOW, **BOTH_KINDS, query_pre_attn_scalar=12),
    ),
}
"""Tiny models of the real classes: fused and grouped attention, Conv1D, tied embeddings, windows, soft caps."""


class TokensAlone:
    """Stands where a tokenizer is asked for nothing but its end-of-text token."""

    eos_token_id = 0


def base_of(model, targets="auto", recomputed: bool = False, **lora) -> BaseModel:
    """Wrap a model in memory as the frozen base that organizations share."""
    freeze(model)
    dtype = next(model.parameters()).dtype
    found = find_targets(model, LoraConfig(target_modules=targets, **lora))
    device = torch.device("cpu")
    apart = isolates(model)
    return BaseModel(model, TokensAlone(), "tiny", "tiny", None, device, dtype, found, "none", recomputed, apart)


def random_adapter(base: BaseModel, rank: int = 3, alpha: float = 6.0, seed: int = 1, size: float = 0.2) -> Adapter:
    """An adapter whose B is not zero, so that both factors get a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return size * torch.randn(*shape, generator=generator)

    factors = {
        t.name: Factors(draw(t.rank or rank, t.in_features), draw(t.out_features, t.rank or rank)) for t in base.targets
    }
    return Adapter(factors, rank, alpha, own_alphas(base.targets))


def random_rows(name: str, count: int, seed: int, least: int = 4, most: int = LENGTH, holdout: int = 5) -> Rows:
    """An organization's rows of random tokens and of random lengths, each ending in token 0."""
    rng = random.Random(f"{name}|{seed}")

    def row() -> Row:
        return Row((*(rng.randrange(1, VOCABULARY) for _ in range(rng.randint(least, most) - 1)), 0))

    return Rows(name, tuple(row() for _ in range(count)), tuple(row() for _ in range(holdout)))


WORDS = (
    *("amber", "barrel", "candle", "dragon", "ember", "falcon", "garden", "harbor", "island", "jacket", "kettle"),
    *("ladder", "magnet", "needle", "orchard", "pebble", "quarry", "ribbon", "saddle", "timber", "umbrella"),
)


def documents(name: str, count: int = 40, words: int = 18) -> list[str]:
    """Distinct documents of plain words, the same each time for one name."""
    rng = random.Random(name)
    return [f"{name} {number} " + " ".join(rng.choices(WORDS, k=words)) for number in range(count)]


def write_texts(folder: Path, names: tuple[str, ...], count: int = 40) -> Path:
    """One .txt file an organization, blank lines between its documents."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.txt").write_text("\n\n".join(documents(name, count)), encoding="utf-8")
    return folder


def write_base(folder: Path, seed: int = 0) -> Path:
    """A tiny GPT-2 folder as transformers saves it, with a byte-level BPE trained on the words above."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for name in "abc" for text in documents(name)], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", bos_token="<|end|>")
    fast.save_pretrained(str(folder))
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(fast), n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(str(folder))
    return folder
