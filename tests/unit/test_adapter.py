"""How an adapter starts and what it is made of."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from fedlora_tui.lora.adapter import A_SUFFIX, B_SUFFIX, from_tensors, initial, shapes
from tests.tiny_models import FAMILIES, MODELS, base_of

PREFIX = "base_model.model."


def peft_tensors(name, base, rank):
    """The adapter's tensors as PEFT itself names, shapes and starts them."""
    torch.manual_seed(3)
    endings = {target.name.rsplit(".", 1)[-1] for target in base.targets}
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=sorted(endings), task_type="CAUSAL_LM")
    model = get_peft_model(FAMILIES[name](), config)
    named = {key: value for key, value in model.named_parameters() if "lora_" in key}
    return {key.removeprefix(PREFIX).replace(".default", ""): value.detach() for key, value in named.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_names_and_shapes_are_those_of_peft(name):
    base = base_of(FAMILIES[name]())
    ours = initial(base.targets, 3, 6.0, seed=1)
    theirs = peft_tensors(name, base, 3)
    assert {key: tuple(value.shape) for key, value in ours.tensors().items()} == {
        key: tuple(value.shape) for key, value in theirs.items()
    }
    assert shapes(base.targets, 3) == {key: tuple(value.shape) for key, value in theirs.items()}
    assert ours.parameters == sum(value.numel() for value in theirs.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_starts_from_the_distribution_of_peft_and_b_at_zero(name):
    base = base_of(FAMILIES[name]())
    ours = initial(base.targets, 64, 64.0, seed=1).tensors()
    theirs = peft_tensors(name, base, 64)
    for key, mine in ours.items():
        if key.endswith(B_SUFFIX):
            assert not mine.any()
            assert not theirs[key].any()
            continue
        bound = mine.shape[1] ** -0.5
        for values in (mine, theirs[key]):  # 64 x 24 numbers or more: the extremes come close to the bound
            assert values.abs().max() <= bound
            assert values.abs().max() > 0.98 * bound
            assert values.std() == pytest.approx(bound / 3**0.5, rel=0.05)
            assert abs(values.mean()) < 0.06 * bound


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    base = base_of(MODELS["gpt2"]())

    def content(seed):
        return b"".join(tensor.numpy().tobytes() for tensor in initial(base.targets, 3, 6.0, seed).tensors().values())

    torch.manual_seed(11)
    first = content(7)
    torch.manual_seed(12)
    assert content(7) == first
    assert content(8) != first
    content(2**63 - 1)


def test_starting_an_adapter_leaves_the_global_generator_alone():
    base = base_of(MODELS["gpt2"]())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    initial(base.targets, 3, 6.0, seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_tensors_and_from_tensors_are_inverse_and_keep_the_order():
    base = base_of(MODELS["llama"]())
    adapter = initial(base.targets, 2, 5.0, seed=1)
    again = from_tensors(adapter.tensors(), 2, 5.0)
    assert list(again.factors) == [target.name for target in base.targets]
    assert list(again.tensors()) == list(adapter.tensors())
    assert again.scale == 2.5
    with pytest.raises(KeyError):
        from_tensors({"h.lora_A.weight": torch.zeros(2, 3)}, 2, 5.0)
    assert all(key.endswith((A_SUFFIX, B_SUFFIX)) for key in adapter.tensors())
