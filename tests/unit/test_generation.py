"""What models go on with a text: the same as transformers and PEFT say of each alone, and the same for a seed."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from fedlora_tui.config import LoraConfig, ModelConfig
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import EMBEDDED, BaseModel, load
from fedlora_tui.lora.generation import Generation, Sampling, no_adapter
from tests.tiny_models import FAMILIES, base_of, random_adapter

TEXT = "The patient should take"


@pytest.fixture(scope="module")
def embedded() -> BaseModel:
    return load(ModelConfig(device="cpu", dtype="float32"), LoraConfig())


def adapters_of(base: BaseModel) -> list[Adapter]:
    """Nothing, and two adapters of different ranks that change what is said."""
    return [no_adapter(base), random_adapter(base, rank=3), random_adapter(base, rank=5, alpha=20.0, seed=9)]


def said(base: BaseModel, adapters: list[Adapter], text: list[int], sampling: Sampling) -> Generation:
    generation = Generation(base, adapters, text, sampling)
    while not generation.over:
        generation.step()
    return generation


def with_peft(base: BaseModel, adapter: Adapter):
    """The embedded base with PEFT's own LoRA, holding an adapter."""
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)
    config = PeftConfig(r=adapter.rank, lora_alpha=adapter.alpha, target_modules=[t.name for t in base.targets])
    peft = get_peft_model(model, config).eval()
    state = dict(peft.named_parameters())
    for name, tensor in adapter.tensors().items():
        state["base_model.model." + name.replace(".weight", ".default.weight")].data.copy_(tensor)
    return peft


def test_every_model_says_what_transformers_generates_with_its_peft_adapter(embedded: BaseModel) -> None:
    text = embedded.tokenizer(TEXT)["input_ids"]
    adapters = adapters_of(embedded)
    generation = said(embedded, adapters, text, Sampling(24))
    assert len({tuple(tokens) for tokens in generation.tokens}) == 3
    for tokens, adapter in zip(generation.tokens, adapters, strict=True):
        given = torch.tensor([text])
        wanted = (
            with_peft(embedded, adapter)
            .generate(input_ids=given, attention_mask=torch.ones_like(given), max_new_tokens=24, do_sample=False)[
                0, len(text) :
            ]
            .tolist()
        )
        assert tokens == [token for token in wanted if token != embedded.end_of_text]


def test_losses_are_the_cross_entropy_of_each_token_behind_the_first(embedded: BaseModel) -> None:
    text = embedded.tokenizer(TEXT + " one tablet with food")["input_ids"]
    adapters = adapters_of(embedded)
    generation = Generation(embedded, adapters, text, Sampling(1))
    for losses, adapter in zip(generation.losses, adapters, strict=True):
        model = with_peft(embedded, adapter).double()
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([text])).logits[0, :-1]
        wanted = torch.nn.functional.cross_entropy(logits, torch.tensor(text[1:]), reduction="none")
        assert torch.tensor(losses, dtype=torch.float64) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_models_of_every_family_say_together_what_each_says_alone(family: str) -> None:
    base = base_of(FAMILIES[family]())
    adapters, text = adapters_of(base), [7, 3, 22, 40, 5, 11, 19, 2, 30, 31]
    together = said(base, adapters, text, Sampling(12))
    for model, adapter in enumerate(adapters):
        alone = said(base, [adapter], text, Sampling(12))
        assert together.tokens[model] == alone.tokens[0]
        assert together.losses[model] == pytest.approx(alone.losses[0], abs=1e-4)


def test_a_base_that_remembers_nothing_is_sent_the_whole_text_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    base, text = base_of(FAMILIES["gpt2"]()), [7, 3, 22]
    wanted = said(base, adapters_of(base), text, Sampling(8)).tokens
    forward = base.model.forward
    monkeypatch.setattr(base.model, "forward", lambda input_ids, use_cache, **also: forward(input_ids, **also))
    monkeypatch.setattr(base.model.config, "use_cache", False)
    assert said(base, adapters_of(base), text, Sampling(8)).tokens == wanted


def test_a_seed_draws_the_same_again_and_another_does_not(embedded: BaseModel) -> None:
    text = embedded.tokenizer(TEXT)["input_ids"]
    adapters = adapters_of(embedded)
    drawn = {
        seed: said(embedded, adapters, text, Sampling(16, temperature=1.0, seed=seed)).tokens for seed in (7, 8, 9)
    }
    assert said(embedded, adapters, text, Sampling(16, temperature=1.0, seed=7)).tokens == drawn[7]
    assert drawn[7] != drawn[8] != drawn[9]
    # One model asked twice at once draws the same twice.
    twice = said(embedded, [adapters[1], adapters[1]], text, Sampling(16, temperature=1.0)).tokens
    assert twice[0] == twice[1]


def test_trying_draws_nothing_from_torchs_own_generator(embedded: BaseModel) -> None:
    before = torch.get_rng_state()
    said(embedded, adapters_of(embedded), [5, 6], Sampling(4, temperature=0.7))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_adapter_of_broken_numbers_ends_its_own_answer_alone() -> None:
    base = base_of(FAMILIES["llama"]())
    broken = random_adapter(base, size=float("inf"))
    generation = said(base, [no_adapter(base), broken], [4, 8, 15], Sampling(6))
    assert generation.tokens[0] == said(base, [no_adapter(base)], [4, 8, 15], Sampling(6)).tokens[0]
    assert generation.tokens[1] == []


def test_a_text_of_one_token_has_no_loss_and_an_answer() -> None:
    base = base_of(FAMILIES["gpt2"]())
    generation = said(base, [no_adapter(base)], [4], Sampling(3))
    assert generation.losses == [[]]
    assert 0 < len(generation.tokens[0]) <= 3
