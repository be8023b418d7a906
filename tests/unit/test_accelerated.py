"""What a GPU does in another way gives what a processor gives; a processor takes none of these ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.activations import NewGELUActivation

from fedlora_tui.lora import head as head_module
from fedlora_tui.lora import injection, padded_head
from fedlora_tui.lora.accelerated import PIECES, WITHOUT, ShortProduct, fuse_activations, used
from fedlora_tui.lora.adapter import Factors
from fedlora_tui.lora.head import Head, cross_entropy
from fedlora_tui.lora.injection import StackedFactors
from fedlora_tui.lora.padded_head import PaddedHead, is_unaligned, lies_over
from fedlora_tui.lora.stack import Stack
from tests.peft_alone import PLAN, content, relative, three, trained
from tests.tiny_models import FAMILIES, VOCABULARY, base_of, gpt2, random_adapter

FAMILIES_WITH_A_LINEAR_HEAD = [name for name in FAMILIES if is_unaligned(FAMILIES[name]().get_output_embeddings())]


def test_a_processor_takes_none_of_these_ways_and_a_gpu_all_but_those_left_out(monkeypatch):
    assert not any(used(piece, torch.device(kind)) for piece in PIECES for kind in ("cpu", "mps"))
    assert all(used(piece, torch.device("cuda", 1)) for piece in PIECES)
    monkeypatch.setenv(WITHOUT, "loss,graph")
    assert [piece for piece in PIECES if not used(piece, torch.device("cuda"))] == ["loss", "graph"]
    with pytest.raises(ValueError, match="no such piece"):
        used("heads", torch.device("cuda"))


def test_training_on_a_processor_calls_none_of_them(monkeypatch):
    def refuse(*given):
        raise AssertionError("a processor took a GPU's way")

    monkeypatch.setattr(injection.ShortProduct, "apply", refuse)
    monkeypatch.setattr(head_module, "fused_cross_entropy", refuse)
    monkeypatch.setattr(PaddedHead, "__call__", refuse)
    model = gpt2().to(torch.bfloat16)
    base = base_of(model)
    results, _ = trained(base, [random_adapter(base)] * 3, three(), PLAN)
    assert all(result.steps == PLAN.local_steps for result in results)
    assert len(base.captures) == 0
    assert base.head.product is None


@pytest.mark.parametrize("name", FAMILIES_WITH_A_LINEAR_HEAD)
def test_a_padded_head_gives_what_the_plain_one_gives(name):
    model = FAMILIES[name]().eval()
    tokens = torch.randint(1, VOCABULARY, (3, 9), generator=torch.Generator().manual_seed(3))
    positions, labels = torch.tensor([0, 1, 4, 9, 17, 20, 25]), torch.arange(7)
    weights = torch.linspace(0.1, 1, 7)
    found = []
    for padded in (False, True):
        head = Head(model, padded=padded)
        assert (head.product is not None) == padded
        head.positions = 3
        given = model.get_input_embeddings()(tokens).detach().requires_grad_()
        losses = head.losses({"inputs_embeds": given, "use_cache": False}, positions, labels, weights)
        losses.backward()
        found.append((losses.by_target, given.grad))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-5, atol=1e-5)
    assert (found[1][1] - found[0][1]).norm() <= 1e-5 * found[0][1].norm()
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("bias", [False, True])
def test_a_padded_head_takes_the_gradient_where_it_lies_over_the_logits_and_elsewhere(bias):
    plain = nn.Linear(6, 11, bias=bias).requires_grad_(False)
    product = PaddedHead(plain)
    slope = torch.randn(4, 11)
    hidden = [torch.ones(4, 6).requires_grad_() for _ in range(3)]
    (expected,) = torch.autograd.grad(plain(hidden[0]), hidden[0], slope)
    logits = product(hidden[1])
    assert product.gave(logits)
    assert not product.gave(logits * 2)
    (elsewhere,) = torch.autograd.grad(logits, hidden[1], slope)
    logits = product(hidden[2])
    over = logits.detach()
    # As a kernel writes: autograd is not told.
    over.numpy()[:] = slope.numpy()
    (in_place,) = torch.autograd.grad(logits, hidden[2], over)
    torch.testing.assert_close(elsewhere, expected)
    torch.testing.assert_close(in_place, expected)


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_a_loss_writes_its_gradient_over_the_logits_only_where_nothing_else_keeps_them(monkeypatch, name):
    model, tokens = FAMILIES[name]().eval(), torch.arange(1, 19).view(2, 9)
    positions, labels, weights = torch.arange(0, 16, 2), torch.arange(8), torch.linspace(0.1, 1, 8)
    seen = []

    def written(logits, labels, weights, overwritten):
        losses, slope = cross_entropy(logits, labels, weights)
        if overwritten:
            logits.numpy()[:] = slope.numpy()
        seen.append(overwritten)
        return losses, logits if overwritten else slope

    def found(padded):
        given = model.get_input_embeddings()(tokens).detach().requires_grad_()
        head = Head(model, padded=padded)
        losses = head.losses({"inputs_embeds": given, "use_cache": False}, positions, labels, weights)
        losses.backward()
        return losses.by_target, given.grad

    expected = found(padded=False)
    monkeypatch.setattr(head_module, "can_fuse", lambda logits: True)
    monkeypatch.setattr(head_module, "used", lambda piece, device: piece == "loss")
    monkeypatch.setattr(head_module, "fused_cross_entropy", written)
    whole = []
    monkeypatch.setattr(padded_head, "lies_over", lambda *both: whole.append(lies_over(*both)) or whole[-1])
    ours = found(padded=True)
    torch.testing.assert_close(ours[0], expected[0], rtol=1e-5, atol=1e-5)
    assert (ours[1] - expected[1]).norm() <= 1e-5 * expected[1].norm()
    # Gemma 2 bends its logits after its head.
    assert seen == whole == [name == "gpt2"]


def test_only_a_plain_head_with_unaligned_rows_is_padded():
    assert is_unaligned(nn.Linear(4, 50_257, dtype=torch.bfloat16))
    assert is_unaligned(nn.Linear(4, 50_257))
    assert not is_unaligned(nn.Linear(4, 50_304, dtype=torch.bfloat16))
    assert not is_unaligned(nn.Embedding(50_257, 4))


def test_the_short_product_is_its_definition_and_so_are_its_gradients():
    generator = torch.Generator().manual_seed(1)
    shapes = {"x": (3, 10, 6), "out": (3, 10, 8), "a": (3, 2, 6), "b": (3, 8, 2), "scales": (3, 1, 1)}
    drawn = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    slope = torch.randn(3, 10, 8, generator=generator, dtype=torch.float64)

    def gradients(compute, dtype):
        leaves = {name: own.to(dtype, copy=True).requires_grad_(name != "scales") for name, own in drawn.items()}
        # A layer's output is what autograd made, and a view.
        output = (leaves["out"] * 1).view(3, 10, 8)
        result = compute(leaves["x"], output, leaves["a"], leaves["b"], leaves["scales"])
        result.backward(slope.to(dtype))
        return [result.detach(), *(leaves[name].grad for name in ("x", "out", "a", "b"))]

    def definition(x, out, a, b, scales):
        return out + scales * (x @ a.transpose(1, 2) @ b.transpose(1, 2))

    expected = gradients(definition, torch.float64)
    for own, right in zip(gradients(ShortProduct.apply, torch.float64), expected, strict=True):
        torch.testing.assert_close(own, right, rtol=1e-12, atol=1e-12)
    for own, right in zip(gradients(ShortProduct.apply, torch.float32), expected, strict=True):
        torch.testing.assert_close(own.double(), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_cohort_by_the_short_product_is_one_by_todays(monkeypatch, dtype):
    base = base_of(gpt2().to(dtype))
    start, rows = random_adapter(base), three()
    plain, _ = trained(base, [start] * 3, rows, PLAN)
    monkeypatch.setattr(StackedFactors, "_is_short", lambda self, inputs, output: self.delta is None)
    short, _ = trained(base, [start] * 3, rows, PLAN)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for ours, theirs in zip(short, plain, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=tolerance)
        assert content(ours.adapter) != content(random_adapter(base))
        if dtype == torch.float32:
            for key, value in theirs.adapter.tensors().items():
                torch.testing.assert_close(ours.adapter.tensors()[key], value, rtol=1e-4, atol=1e-6)


def test_the_short_product_works_in_layers_computed_twice_with_dropout_and_over_what_joined_the_base(monkeypatch):
    base, rows = base_of(gpt2()), three()
    start, plan = random_adapter(base), replace(PLAN, dropout=0.2)
    twice = replace(base, recomputed=True)
    for own in (base, twice):
        with monkeypatch.context() as own_patch:
            plain, _ = trained(own, [start] * 3, rows, plan)
            own_patch.setattr(StackedFactors, "_is_short", lambda self, inputs, output: self.delta is None)
            short, _ = trained(own, [start] * 3, rows, plan)
        for ours, theirs in zip(short, plain, strict=True):
            assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
            assert relative(ours.adapter.tensors(), theirs.adapter.tensors()) < 1e-5


def test_a_product_over_what_joined_the_base_stays_in_float32():
    tensors = (torch.zeros(1, 2, 6), torch.zeros(1, 8, 2), torch.ones(1, 1, 1))
    joined = Factors(torch.zeros(2, 6), torch.zeros(8, 2))
    on_gpu, short = torch.device("cuda"), {"dtype": torch.bfloat16}

    class Output:
        device, dtype = on_gpu, torch.bfloat16

    inputs = torch.zeros(1, 3, 6, **short)
    assert StackedFactors(*tensors)._is_short(inputs, Output)
    assert not StackedFactors(*tensors, delta=joined)._is_short(inputs, Output)
    assert not StackedFactors(*tensors)._is_short(inputs.float(), Output)
    assert not StackedFactors(*tensors)._is_short(inputs, torch.zeros(1, 3, 8, **short))


def test_only_transformers_own_gelu_is_replaced_and_it_is_the_same_function():
    model = nn.Sequential(NewGELUActivation(), nn.GELU(), nn.Sequential(NewGELUActivation()))
    x = torch.linspace(-6, 6, 101)
    before = model[0](x)
    assert fuse_activations(model) == 2
    assert [type(each).__name__ for each in (model[0], model[2][0])] == ["GELU", "GELU"]
    torch.testing.assert_close(model[0](x), before, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(model[1](x), functional.gelu(x))


def test_a_stack_of_one_start_is_the_stack_of_as_many_equal_ones():
    base = base_of(gpt2())
    start, equal = random_adapter(base), random_adapter(base)
    # No numbers are on this device; what is sent there once has to have the shape of all.
    once, each = (Stack(own, torch.device("meta"), "AB") for own in ([start] * 3, [start, equal, equal]))
    assert once.values.shape == each.values.shape
    assert once.layout == each.layout
    here = Stack([start, equal], base.device, "AB")
    assert content(here.of(1)) == content(here.of(0, here.here())) == content(start)
