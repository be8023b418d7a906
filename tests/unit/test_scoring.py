"""Losses and continuations of many texts under one adapter, against the model asked one text at a time."""

from __future__ import annotations

import pytest
import torch

from fedlora_tui.config import LoraConfig, ModelConfig
from fedlora_tui.lora import base_model
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.injection import injected
from fedlora_tui.lora.rows import Row
from fedlora_tui.lora.sampling import continued
from fedlora_tui.lora.scoring import row_losses, stacked, text_losses
from tests.tiny_models import random_adapter
from tests.tiny_runs import tiny_base


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return base_model.load(ModelConfig(base=str(tiny_base()), device="cpu", max_length=24), LoraConfig())


@pytest.fixture(scope="module")
def adapter(base: BaseModel) -> Adapter:
    return random_adapter(base, rank=2)


@torch.no_grad()
def alone(base: BaseModel, adapter: Adapter | None, tokens: tuple[int, ...], first: int = 1) -> float:
    """The added loss of the tokens from `first` on, by the model's own logits."""
    with injected(base.model, base.targets, stacked(base, adapter)):
        logits = base.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].double()
    shares = logits.log_softmax(1)
    return -float(sum(shares[at - 1, tokens[at]] for at in range(first, len(tokens))))


@pytest.mark.parametrize("bare", [True, False])
def test_each_row_has_the_loss_that_it_has_alone(base: BaseModel, adapter: Adapter, bare: bool) -> None:
    own = None if bare else adapter
    rows = [Row((5, 9, 2)), Row((7, 1, 1, 8, 30, 4)), Row((3, 6, 11, 12), first_target=3), Row((9, 8))]
    seen: list[tuple[int, int]] = []
    found = row_losses(base, own, rows, lambda done, of: seen.append((done, of)))

    assert found == pytest.approx([alone(base, own, row.tokens, row.first_target) for row in rows], abs=1e-4)
    assert seen[-1] == (4, 4)
    assert row_losses(base, own, []) == []


def test_texts_that_differ_in_their_last_token_share_a_pass_and_have_their_own_losses(
    base: BaseModel, adapter: Adapter
) -> None:
    texts = [(5, 9, 2, last) for last in (1, 7, 8)] + [(5, 9, 4, 4, 3), (5, 9, 4)]
    found = text_losses(base, adapter, texts, 2)

    assert found.tolist() == pytest.approx([alone(base, adapter, text, 2) for text in texts], abs=1e-4)


def test_a_text_goes_on_by_its_own_draws_whatever_goes_beside_it(base: BaseModel, adapter: Adapter) -> None:
    beginnings = [[5, 9, 2], [7, 1], [5, 9, 2]]
    said = continued(base, adapter, beginnings, 6, seed=11)

    assert said[1] == continued(base, adapter, [[1, 1, 1], [7, 1]], 6, seed=11)[1]
    # The same beginning twice has two generators.
    assert said[0] != said[2]
    assert all(len(own) <= 6 and base.end_of_text not in own for own in said)
    assert said == continued(base, adapter, beginnings, 6, seed=11)


def test_draws_follow_the_models_shares(base: BaseModel, adapter: Adapter) -> None:
    with torch.no_grad(), injected(base.model, base.targets, stacked(base, adapter)):
        shares = base.model(input_ids=torch.tensor([[5, 9, 2]]), use_cache=False).logits[0, -1].double().softmax(0)
    firsts = [own[0] if own else base.end_of_text for own in continued(base, adapter, [[5, 9, 2]] * 2000, 1, seed=1)]
    likeliest = int(shares.argmax())

    share = firsts.count(likeliest) / len(firsts)
    assert abs(share - float(shares[likeliest])) < 4 * (0.25 / len(firsts)) ** 0.5
