"""Training in a cohort is training alone with PEFT's own LoRA and torch's AdamW; measuring is transformers' own loss.

The adapters and the loss are float32 by design, whatever the base is, so nothing here is compared more finely.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedlora_tui.lora.adapter import Adapter, Factors, initial
from fedlora_tui.lora.cohort import measure, measure_cohort, train_cohort
from fedlora_tui.lora.injection import Draws, Dropout
from fedlora_tui.lora.rows import Rows
from tests.peft_alone import PLAN, content, peft_model, plain_loss, relative, three, train_alone, trained
from tests.tiny_models import MODELS, base_of, gpt2, random_adapter, random_rows


@pytest.mark.parametrize("name", MODELS)
def test_a_cohort_is_peft_alone(name):
    base = base_of(MODELS[name]())
    start, rows = random_adapter(base), three()
    results, losses = trained(base, [start] * 3, rows, PLAN)
    for result, own in zip(results, rows, strict=True):
        alone, counts, tensors = train_alone(name, start, own, PLAN)
        assert losses[own.organization] == pytest.approx(alone, abs=1e-5)
        assert relative(result.adapter.tensors(), tensors) < 1e-5
        assert result.organization == own.organization
        assert (result.steps, result.tokens) == (4, sum(counts))
        mean = sum(loss * count for loss, count in zip(alone, counts, strict=True)) / sum(counts)
        assert result.loss == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_training_from_pefts_own_start_is_peft_too(name):
    base = base_of(MODELS[name]())
    start, own = initial(base.targets, 3, 6.0, seed=1), random_rows("a", 9, 1)
    (result,), losses = trained(base, [start], [own], PLAN)
    alone, _, tensors = train_alone(name, start, own, PLAN)
    assert losses["a"] == pytest.approx(alone, abs=1e-5)
    # Where B is zero A's first gradient is zero too, and Adam divides noise by noise: single elements may differ more.
    assert relative(result.adapter.tensors(), tensors) < 1e-4


def test_training_moves_both_factors_and_lowers_the_loss_and_the_base_stays_as_it_was():
    model = gpt2()
    base = base_of(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    start, own = random_adapter(base), random_rows("a", 6, 1)
    (result,), losses = trained(base, [start], [own], replace(PLAN, local_steps=30, learning_rate=2e-2))
    assert sum(losses["a"][-5:]) < 0.9 * sum(losses["a"][:5])
    for key, value in result.adapter.tensors().items():
        assert not torch.equal(value, start.tensors()[key])
        assert value.dtype == torch.float32
        assert not value.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", MODELS)
def test_organizations_of_a_cohort_do_not_touch_one_another(name):
    base, rows = base_of(MODELS[name]()), three()
    starts = [random_adapter(base, seed=seed) for seed in (1, 2, 3)]
    together, losses = trained(base, starts, rows, PLAN)
    for index, own in enumerate(rows):
        (alone,), own_losses = trained(base, [starts[index]], [own], PLAN)
        assert losses[own.organization] == pytest.approx(own_losses[own.organization], abs=1e-5)
        assert relative(together[index].adapter.tensors(), alone.adapter.tensors()) < 1e-5


def test_with_rows_of_one_length_a_cohort_gives_the_same_bytes_however_it_is_split_and_ordered():
    base, rows = base_of(gpt2()), three(least=24)
    start = random_adapter(base)
    together, _ = trained(base, [start] * 3, rows, replace(PLAN, batch_size=2, local_steps=3))
    backwards, _ = trained(base, [start] * 3, rows[::-1], replace(PLAN, batch_size=2, local_steps=3))
    for index, own in enumerate(rows):
        (alone,), _ = trained(base, [start], [own], replace(PLAN, batch_size=2, local_steps=3))
        assert content(together[index].adapter) == content(alone.adapter) == content(backwards[2 - index].adapter)
        assert together[index].loss == alone.loss


def test_one_organizations_text_changes_nothing_of_anothers_result():
    base, rows = base_of(gpt2()), three(least=24)
    start = random_adapter(base)
    other = random_rows("b", 7, seed=99, least=24)
    results, _ = trained(base, [start] * 3, rows, PLAN)
    changed, _ = trained(base, [start] * 3, [rows[0], other, rows[2]], PLAN)
    assert content(changed[0].adapter) == content(results[0].adapter)
    assert content(changed[2].adapter) == content(results[2].adapter)
    assert content(changed[1].adapter) != content(results[1].adapter)


def test_organizations_with_fewer_batches_end_earlier_and_are_as_alone():
    base = base_of(gpt2())
    rows = [random_rows(name, count, 1) for name, count in (("a", 3), ("b", 10), ("c", 7))]
    start, plan = random_adapter(base), replace(PLAN, local_epochs=2, batch_size=3)
    results, losses = trained(base, [start] * 3, rows, plan)
    assert [result.steps for result in results] == [2, 8, 6]
    for result, own in zip(results, rows, strict=True):
        alone, counts, tensors = train_alone("gpt2", start, own, plan)
        assert len(losses[own.organization]) == result.steps
        assert losses[own.organization] == pytest.approx(alone, abs=1e-5)
        assert relative(result.adapter.tensors(), tensors) < 1e-5
        assert result.tokens == sum(counts) == 2 * own.train_tokens


@pytest.mark.parametrize("clip", [0.05, 1e6])
def test_the_gradient_of_each_organization_is_clipped_by_itself(clip):
    base, rows = base_of(gpt2()), three()
    start, plan = random_adapter(base), replace(PLAN, clip_norm=clip)
    results, _ = trained(base, [start] * 3, rows, plan)
    for result, own in zip(results, rows, strict=True):
        _, _, tensors = train_alone("gpt2", start, own, plan, clip=clip)
        assert relative(result.adapter.tensors(), tensors) < 1e-5


def test_clipping_does_something():
    base, own = base_of(gpt2()), random_rows("a", 9, 1)
    start = random_adapter(base)
    # Adam forgets a constant factor; after clipping to 1e-9 its epsilon is as large as the gradient.
    (free,), _ = trained(base, [start], [own], PLAN)
    (held,), _ = trained(base, [start], [own], replace(PLAN, clip_norm=1e-9))
    assert relative(held.adapter.tensors(), start.tensors()) < 0.1 * relative(free.adapter.tensors(), start.tensors())


@pytest.mark.parametrize("name", MODELS)
def test_the_proximal_pull_is_that_of_fedprox(name):
    base, rows = base_of(MODELS[name]()), three()
    start, plan = random_adapter(base), replace(PLAN, proximal_mu=0.5)
    results, _ = trained(base, [start] * 3, rows, plan)
    for result, own in zip(results, rows, strict=True):
        _, _, tensors = train_alone(name, start, own, plan, mu=0.5)
        assert relative(result.adapter.tensors(), tensors) < 1e-5


def test_a_strong_proximal_pull_keeps_an_adapter_near_its_start():
    base, own = base_of(gpt2()), random_rows("a", 9, 1)
    start, plan = random_adapter(base), replace(PLAN, local_steps=40)
    (free,), _ = trained(base, [start], [own], plan)
    (held,), _ = trained(base, [start], [own], replace(plan, proximal_mu=100.0))
    assert relative(held.adapter.tensors(), start.tensors()) < 0.5 * relative(free.adapter.tensors(), start.tensors())


def test_dropout_draws_do_not_depend_on_the_cohort():
    """Organizations of other row lengths and batch heights stand beside one another, and draw as they would alone."""
    base, plan = base_of(gpt2()), replace(PLAN, dropout=0.3, local_epochs=1)
    rows = [random_rows("a", 8, 1, 4, 9), random_rows("b", 5, 1, 20, 24), random_rows("c", 2, 1, 4, 24)]
    start = random_adapter(base)
    together, losses = trained(base, [start] * 3, rows, plan)
    for index, own in enumerate(rows):
        (alone,), own_losses = trained(base, [start], [own], plan)
        assert losses[own.organization] == pytest.approx(own_losses[own.organization], abs=1e-5)
        assert relative(together[index].adapter.tensors(), alone.adapter.tensors()) < 1e-5


def test_dropout_drops_its_share_of_the_adapters_inputs_and_scales_the_rest():
    base, own = base_of(gpt2()), random_rows("a", 8, 1)
    start = random_adapter(base)
    _, plain = trained(base, [start], [own], replace(PLAN, local_steps=1))
    _, dropped = trained(base, [start], [own], replace(PLAN, local_steps=1, dropout=0.5))
    _, again = trained(base, [start], [own], replace(PLAN, local_steps=1, dropout=0.5))
    _, other_round = trained(base, [start], [own], replace(PLAN, local_steps=1, dropout=0.5, seed=8))
    assert dropped["a"] != plain["a"]
    assert dropped["a"] == again["a"]
    assert dropped["a"] != other_round["a"]


def test_dropout_keeps_the_mean_of_what_it_is_given():
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    given = torch.ones(2, 40, 20, 50)
    kept = Dropout([Draws(0.25, generators[0], 40, 20), Draws(0.25, generators[1], 30, 20)]).apply(given)
    assert float((kept[0] == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert kept[0].unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert float(kept[0].mean()) == pytest.approx(1.0, abs=0.02)
    assert not torch.equal(kept[0, :30], kept[1, :30])


@pytest.mark.parametrize("name", MODELS)
def test_measuring_is_the_loss_of_transformers(name):
    base, own = base_of(MODELS[name]()), random_rows("a", 3, 1, holdout=40)
    adapter = random_adapter(base)
    model = peft_model(name, adapter)
    with torch.no_grad():
        expected = sum(plain_loss(model, [row]).item() * (len(row) - 1) for row in own.holdout)
    passes = []
    measured = measure(base, adapter, own, lambda: passes.append(1))
    assert measured.tokens == own.holdout_tokens
    assert measured.loss == pytest.approx(expected / own.holdout_tokens, abs=1e-5)
    assert len(passes) == 2


@pytest.mark.parametrize("count", [3, 40])
def test_measuring_in_a_cohort_is_measuring_alone(count):
    base = base_of(gpt2())
    own = [random_rows(f"org-{index}", 3, index, holdout=1 + 7 * (index % 4)) for index in range(count)]
    adapters = [random_adapter(base, seed=index) for index in range(count)]
    for given_adapters in (adapters, None):
        together = measure_cohort(base, given_adapters, own)
        for index, (rows, found) in enumerate(zip(own, together, strict=True)):
            alone = measure(base, given_adapters and given_adapters[index], rows)
            assert (found.organization, found.tokens) == (alone.organization, alone.tokens)
            assert found.loss == pytest.approx(alone.loss, abs=1e-6)


def test_measuring_without_an_adapter_is_the_base_alone_as_is_an_adapter_whose_b_is_zero():
    base, own = base_of(gpt2()), random_rows("a", 3, 1)
    with torch.no_grad():
        expected = sum(plain_loss(base.model, [row]).item() * (len(row) - 1) for row in own.holdout)
    alone = measure(base, None, own)
    assert alone.loss == pytest.approx(expected / own.holdout_tokens, abs=1e-5)
    assert measure(base, initial(base.targets, 3, 6.0, 1), own).loss == alone.loss
    assert measure(base, random_adapter(base), own).loss != pytest.approx(alone.loss, abs=1e-3)


def test_a_base_in_float64_still_trains_float32_adapters():
    base, own = base_of(gpt2().double()), random_rows("a", 9, 1)
    start = random_adapter(base)
    (fine,), losses = trained(base, [start], [own], PLAN)
    (plain,), expected = trained(base_of(gpt2()), [start], [own], PLAN)
    assert losses["a"] == pytest.approx(expected["a"], abs=1e-5)
    assert all(value.dtype == torch.float32 for value in fine.adapter.tensors().values())
    assert relative(fine.adapter.tensors(), plain.adapter.tensors()) < 1e-4


def test_named_target_modules_are_the_ones_that_train():
    base = base_of(gpt2(), targets=("c_attn", "mlp.c_fc"))
    names = [target.name for target in base.targets]
    assert names == [f"transformer.h.{layer}.{end}" for layer in (0, 1) for end in ("attn.c_attn", "mlp.c_fc")]
    start, own = random_adapter(base), random_rows("a", 9, 1)
    (result,), _ = trained(base, [start], [own], PLAN)
    _, _, tensors = train_alone("gpt2", start, own, PLAN)
    assert relative(result.adapter.tensors(), tensors) < 1e-5


def test_what_an_observer_raises_ends_the_training_and_leaves_no_hook():
    class Enough(Exception):
        pass

    def observe(steps):
        if steps[0].step == 2:
            raise Enough

    base, own = base_of(gpt2()), random_rows("a", 9, 1)
    start = random_adapter(base)
    before = content(start)
    with pytest.raises(Enough):
        train_cohort(base, [start], [own], [PLAN], observe)
    assert content(start) == before
    assert not any(module._forward_hooks for module in base.model.modules())


def test_no_organizations_and_no_rows_are_no_error():
    base = base_of(gpt2())
    assert train_cohort(base, [], [], []) == []
    nothing = measure(base, None, Rows("a", (), ()))
    assert nothing.tokens == 0
    assert nothing.loss != nothing.loss


def test_scale_is_alpha_over_rank():
    base, own = base_of(gpt2()), random_rows("a", 3, 1)
    adapter = random_adapter(base, rank=2, alpha=6.0)
    tripled = Adapter({name: Factors(f.a, 3 * f.b) for name, f in adapter.factors.items()}, 2, 2.0)
    assert measure(base, adapter, own).loss == pytest.approx(measure(base, tripled, own).loss, abs=1e-6)
