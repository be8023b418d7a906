"""What is true of a pass on a GPU: each piece against its definition, and a whole cohort against training alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from fedlora_tui.federation.passes import Passes
from fedlora_tui.lora import fused_loss
from fedlora_tui.lora.accelerated import PIECES, WITHOUT, ShortProduct, bmm_into, fuse_activations
from fedlora_tui.lora.base_model import replica
from fedlora_tui.lora.cohort import measure_cohort, train_cohort
from fedlora_tui.lora.fused_loss import can_fuse, fused_cross_entropy
from fedlora_tui.lora.head import Head, cross_entropy
from fedlora_tui.lora.memory import ran_out
from fedlora_tui.lora.padded_head import PaddedHead, lies_over
from tests.peft_alone import PLAN, packed_rows, relative, three, train_alone, trained
from tests.tiny_models import FAMILIES, MODELS, base_of, gpt2, llama, random_adapter, random_rows

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

GPU = torch.device("cuda")
ALL = ",".join(PIECES)


def on_gpu(model, dtype=torch.float32):
    return replica(replace(base_of(model.to(dtype)), dtype=dtype), GPU)


def losses_by(monkeypatch, without, make, rows, plan=PLAN, times=3):
    """What a cohort comes to, the last of some times, with pieces left out, and its base."""
    monkeypatch.setenv(WITHOUT, without)
    base = on_gpu(make(), torch.bfloat16)
    for _ in range(times):
        results, losses = trained(base, [random_adapter(base)] * len(rows), rows, plan)
    return results, losses, base


def test_the_loss_kernel_is_the_cross_entropy_of_float32_and_its_gradient():
    fused_loss.forget_failure()
    generator = torch.Generator().manual_seed(5)
    for dtype, coarse in ((torch.bfloat16, 2**-8), (torch.float16, 2**-11)):
        for vocabulary in (61, 4096, 50_257):
            logits = (3 * torch.randn(130, vocabulary, generator=generator)).to(GPU, dtype)
            labels = torch.randint(0, vocabulary, (130,), generator=generator).to(GPU)
            weights = torch.rand(130, generator=generator).to(GPU)
            weights[7] = 0
            expected, slope = cross_entropy(logits.double(), labels, weights.double())
            found = fused_cross_entropy(logits, labels, weights, overwritten=False)
            assert found is not None, fused_loss.failure()
            torch.testing.assert_close(found[0].double(), expected, rtol=1e-5, atol=1e-5)
            assert found[1].dtype == dtype
            torch.testing.assert_close(found[1].double(), slope, rtol=1.01 * coarse, atol=1e-7)
            assert not found[1][7].any()
            over = fused_cross_entropy(logits, labels, weights, overwritten=True)
            assert over[1].data_ptr() == logits.data_ptr()
            assert torch.equal(over[1], found[1])
    assert not can_fuse(logits.float())


def test_the_loss_kernel_reads_rows_that_lie_apart():
    fused_loss.forget_failure()
    whole = torch.randn(9, 128, device=GPU).to(torch.bfloat16)
    labels = torch.arange(9, device=GPU)
    expected, _ = cross_entropy(whole[:, :61].float(), labels, None)
    found = fused_cross_entropy(whole[:, :61], labels, None, overwritten=False)
    assert found is not None, fused_loss.failure()
    assert found[1] is None
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_short_product_is_its_definition_to_its_formats_rounding(dtype):
    generator = torch.Generator().manual_seed(1)
    shapes = {"x": (4, 96, 64), "out": (4, 96, 128), "a": (4, 8, 64), "b": (4, 128, 8), "scales": (4, 1, 1)}
    drawn = {name: torch.randn(shape, generator=generator).to(GPU) for name, shape in shapes.items()}
    short = {name: drawn[name].to(dtype).requires_grad_() for name in ("x", "out")}
    fine = {name: drawn[name].clone().requires_grad_() for name in ("a", "b")}
    slope = torch.randn(4, 96, 128, generator=generator).to(GPU, dtype)
    found = ShortProduct.apply(short["x"], short["out"] * 1, fine["a"], fine["b"], drawn["scales"])
    found.backward(slope)
    right = {name: own.detach().double().requires_grad_() for name, own in (*short.items(), *fine.items())}
    scales = drawn["scales"].double()
    expected = right["out"] + scales * (right["x"] @ right["a"].transpose(1, 2) @ right["b"].transpose(1, 2))
    expected.backward(slope.double())
    # Three roundings of a factor or a sum, each of half a unit in the last place.
    allowed = 4 * torch.finfo(dtype).eps
    for own, other in ((found, expected), *((each.grad, right[name].grad) for name, each in (short | fine).items())):
        assert (own.double() - other).norm() <= allowed * other.norm()
    assert fine["a"].grad.dtype == fine["b"].grad.dtype == torch.float32


def test_sums_of_short_products_are_not_rounded_to_the_short_format():
    left, right = (torch.randn(2, 64, 4096, device=GPU).to(torch.bfloat16) for _ in range(2))
    expected = left.double() @ right.double().transpose(1, 2)
    found = bmm_into(left, right.transpose(1, 2), torch.float32)
    assert (found.double() - expected).norm() <= 1e-4 * expected.norm()


def test_the_fused_activation_is_transformers_own():
    model = gpt2()
    before = copy.deepcopy(model.transformer.h[0].mlp.act).to(GPU)
    assert fuse_activations(model) == 2
    x = torch.linspace(-6, 6, 1001, device=GPU)
    torch.testing.assert_close(model.transformer.h[0].mlp.act(x), before(x), rtol=1e-5, atol=1e-6)


def test_a_padded_head_is_the_plain_one_and_takes_its_gradient_in_place():
    for dtype, allowed in ((torch.float32, 1e-5), (torch.bfloat16, 2**-7)):
        plain = nn.Linear(64, 5003, bias=False).requires_grad_(False).to(GPU, dtype)
        product, hidden = PaddedHead(plain), torch.randn(96, 64, device=GPU).to(dtype)
        slope = torch.randn(96, 5003, device=GPU).to(dtype)
        first, second = (hidden.clone().requires_grad_() for _ in range(2))
        expected, found = plain(first), product(second)
        assert (found - expected).norm() <= allowed * expected.norm()
        assert lies_over(found, product(second)) is False
        (right,) = torch.autograd.grad(expected, first, slope)
        (own,) = torch.autograd.grad(found, second, slope)
        assert (own - right).norm() <= allowed * right.norm()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_head_with_all_its_pieces_gives_what_the_plain_one_gives(monkeypatch, name):
    fused_loss.forget_failure()
    model = FAMILIES[name]().eval().to(GPU, torch.bfloat16)
    tokens = torch.randint(1, 61, (3, 9), device=GPU)
    positions, labels = torch.tensor([0, 1, 4, 9, 17, 20, 25], device=GPU), torch.arange(7, device=GPU)
    weights, found = torch.linspace(0.1, 1, 7, device=GPU), []
    for without in (ALL, ""):
        monkeypatch.setenv(WITHOUT, without)
        head = Head(model)
        given = model.get_input_embeddings()(tokens).detach().requires_grad_()
        losses = head.losses({"inputs_embeds": given, "use_cache": False}, positions, labels, weights)
        losses.backward()
        found.append((losses.by_target, given.grad))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=2e-2, atol=2e-2)
    assert (found[1][1] - found[0][1]).norm() <= 5e-2 * found[0][1].norm()
    assert not fused_loss.failure()


@pytest.mark.parametrize("make", [gpt2, llama])
@pytest.mark.parametrize("rows", [three(least=24), three(), [packed_rows(name, 20, 1) for name in "abc"]])
def test_captured_passes_train_what_passes_train_that_python_launches(monkeypatch, make, rows):
    plan = replace(PLAN, local_steps=6, clip_norm=0.5)
    captured, losses, base = losses_by(monkeypatch, "", make, rows, plan)
    assert len(base.captures), "nothing was captured: see the log"
    plain, expected, other = losses_by(monkeypatch, "graph", make, rows, plan)
    assert not len(other.captures)
    for one, two in zip(captured, plain, strict=True):
        assert losses[one.organization] == pytest.approx(expected[one.organization], rel=4e-2)
        assert (one.steps, one.tokens) == (two.steps, two.tokens)


def test_a_captured_float32_pass_is_the_launched_one_to_rounding(monkeypatch):
    found = []
    for without in ("", "graph"):
        monkeypatch.setenv(WITHOUT, without)
        base = on_gpu(gpt2())
        for _ in range(3):
            results, _ = trained(base, [random_adapter(base)] * 3, three(), replace(PLAN, local_steps=6))
        found.append(results)
        assert bool(len(base.captures)) == (not without)
    for one, two in zip(*found, strict=True):
        assert one.loss == pytest.approx(two.loss, abs=1e-5)
        assert relative(one.adapter.tensors(), two.adapter.tensors()) < 2e-5


def test_each_piece_alone_and_all_of_them_reach_the_losses_of_none(monkeypatch):
    rows = three()
    _, expected, _ = losses_by(monkeypatch, ALL, gpt2, rows)
    for without in ("", *(",".join(set(PIECES) - {piece}) for piece in PIECES)):
        _, losses, _ = losses_by(monkeypatch, without, gpt2, rows)
        for name, own in expected.items():
            assert losses[name] == pytest.approx(own, rel=4e-2), without


@pytest.mark.parametrize("name", MODELS)
def test_a_cohort_in_float32_is_peft_alone(name):
    base = on_gpu(MODELS[name]())
    start, rows = random_adapter(base), three()
    for _ in range(2):
        results, losses = trained(base, [start] * 3, rows, PLAN)
        for result, own in zip(results, rows, strict=True):
            alone, _, tensors = train_alone(name, start, own, PLAN)
            assert losses[own.organization] == pytest.approx(alone, abs=1e-5)
            assert relative(result.adapter.tensors(), tensors) < 1e-5


def test_organizations_that_leave_dropout_and_layers_computed_twice_work_in_bfloat16():
    rows = [random_rows(name, count, 1) for name, count in (("a", 3), ("b", 10), ("c", 7))]
    plan = replace(PLAN, local_epochs=2, batch_size=3)
    base = on_gpu(gpt2(), torch.bfloat16)
    for _ in range(3):
        results, _ = trained(base, [random_adapter(base)] * 3, rows, plan)
        assert [result.steps for result in results] == [2, 8, 6]
    twice = replace(base, recomputed=True)
    first, _ = trained(base, [random_adapter(base)] * 3, rows, replace(plan, dropout=0.2))
    second, _ = trained(twice, [random_adapter(base)] * 3, rows, replace(plan, dropout=0.2))
    for one, two in zip(first, second, strict=True):
        assert one.loss == pytest.approx(two.loss, rel=2e-2)
    assert not len(twice.captures)
    measured = measure_cohort(base, [random_adapter(base)] * 3, [replace(own, holdout=own.train) for own in rows])
    assert all(own.loss == own.loss for own in measured)


def test_where_a_gpus_memory_runs_out_fewer_go_together():
    base = on_gpu(gpt2(), torch.bfloat16)
    free, whole = torch.cuda.mem_get_info()
    held = torch.cuda.memory_reserved()
    sizes = []

    def together(messages, contexts):
        sizes.append(len(messages))
        rows = [random_rows(str(number), 4, 1, least=24) for number in range(len(messages))]
        plans = [replace(PLAN, local_steps=3)] * len(rows)
        results = train_cohort(base, [random_adapter(base)] * len(rows), rows, plans)
        if len(messages) > 2:
            # More than the share of the GPU that this process may have.
            torch.empty(free // 2, dtype=torch.uint8, device=GPU)
        return [result.loss for result in results]

    class Call:
        run_id = 1

    torch.cuda.set_per_process_memory_fraction(min(1.0, (held + 2**30) / whole))
    try:
        assert len(Passes([{"train": together}], cohort=4).answer("train", [(None, Call())] * 4)) == 4
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert sizes == [4, 2, 2]
    assert ran_out(torch.OutOfMemoryError())
