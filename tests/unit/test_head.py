"""The head sees the predicted positions alone, in chunks, and gives what the whole model gives."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers import OPTConfig, OPTForCausalLM

from fedlora_tui.lora.cohort import measure
from fedlora_tui.lora.head import Head, cross_entropy
from tests.peft_alone import plain_loss
from tests.tiny_models import FAMILIES, VOCABULARY, base_of, random_rows


def rows_and_targets():
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(1, VOCABULARY, (3, 9), generator=generator)
    positions = torch.tensor([0, 1, 4, 9, 17, 20, 25])
    labels = torch.randint(1, VOCABULARY, (7,), generator=generator)
    return tokens, positions, labels, torch.rand(7, generator=generator)


@pytest.mark.parametrize("positions_a_chunk", [1, 3, 100])
@pytest.mark.parametrize("name", FAMILIES)
def test_losses_and_what_goes_back_are_those_of_the_whole_model(name, positions_a_chunk):
    model = FAMILIES[name]().eval()
    tokens, positions, labels, weights = rows_and_targets()
    first = model.get_input_embeddings()
    expected_input = first(tokens).detach().requires_grad_()
    logits = model(inputs_embeds=expected_input, use_cache=False).logits.flatten(0, 1)[positions]
    expected = functional.cross_entropy(logits.float(), labels, reduction="none")
    (expected * weights).sum().backward()

    head = Head(model)
    assert head.backbone is not None
    head.positions = positions_a_chunk
    given = expected_input.detach().clone().requires_grad_()
    found = head.losses({"inputs_embeds": given, "use_cache": False}, positions, labels, weights)
    found.backward()
    torch.testing.assert_close(found.by_target, expected.detach(), rtol=1e-5, atol=1e-5)
    assert (given.grad - expected_input.grad).norm() < 1e-5 * expected_input.grad.norm()
    assert head.losses({"input_ids": tokens, "use_cache": False}, positions, labels, None).gradient is None


def test_cross_entropy_and_its_gradient_are_torchs_own_for_logits_of_any_size():
    generator = torch.Generator().manual_seed(5)
    for size in (1e-3, 1.0, 30.0, 1e4):
        logits = size * torch.randn(6, 50, generator=generator, dtype=torch.float64)
        labels, weights = torch.arange(6), torch.rand(6, generator=generator, dtype=torch.float64)
        leaf = logits.clone().requires_grad_()
        expected = functional.cross_entropy(leaf, labels, reduction="none")
        (expected * weights).sum().backward()
        losses, gradient = cross_entropy(logits, labels, weights)
        torch.testing.assert_close(losses, expected.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient, leaf.grad, rtol=1e-12, atol=1e-15)
        assert cross_entropy(logits, labels, None)[1] is None


def opt():
    """OPT calls a part of the part that ends before its head, so the two cannot be told apart."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 3}
    return OPTForCausalLM(
        OPTConfig(
            **sizes,
            vocab_size=VOCABULARY,
            word_embed_proj_dim=24,
            max_position_embeddings=64,
            init_std=0.3,
            pad_token_id=1,
        )
    )


def test_a_model_whose_layers_cannot_be_told_from_its_head_is_taken_whole():
    base, own = base_of(opt(), targets=("q_proj", "v_proj")), random_rows("a", 3, 1, holdout=8)
    assert base.head.backbone is None
    with torch.no_grad():
        expected = sum(plain_loss(base.model, [row]).item() * (len(row) - 1) for row in own.holdout)
    assert measure(base, None, own).loss == pytest.approx(expected / own.holdout_tokens, abs=1e-5)


def test_adapters_behind_the_layers_meet_all_rows_at_once():
    assert base_of(FAMILIES["phi"](), targets=("lm_head", "q_proj")).head.backbone is None
    assert base_of(FAMILIES["phi"](), targets=("q_proj",)).head.backbone is not None


def test_a_label_that_is_none_leaves_the_model_as_it_was():
    base, (tokens, positions, labels, _) = base_of(FAMILIES["llama"]()), rows_and_targets()
    with pytest.raises(RuntimeError, match="out of bounds"):
        base.head.losses({"input_ids": tokens, "use_cache": False}, positions, labels + 10**6, None)
    assert not any("forward" in vars(module) for module in base.model.modules())
