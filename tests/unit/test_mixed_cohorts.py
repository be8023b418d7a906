"""A cohort in which everyone trains differently: in float64 each result is PEFT's and torch's own to nine digits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.lora.adapter import Adapter, Factors
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.lora.stack import CohortAdamW, Descent, Stack
from tests.peft_alone import PLAN, relative, train_alone, trained
from tests.tiny_models import FAMILIES, base_of, random_adapter, random_rows

FINE = ("gpt2", "gpt_neox", "phi")
"""Architectures that compute in float64 throughout; the others round inside a norm to float32."""


@dataclass(frozen=True)
class Someone:
    """What one organization of a cohort brings."""

    seed: int
    rank: int
    alpha: float
    rows: int
    longest: int
    plan: LocalTraining

    def start(self, base, precision):
        adapter = random_adapter(base, seed=self.seed, rank=self.rank, alpha=self.alpha)
        factors = {name: Factors(f.a.to(precision), f.b.to(precision)) for name, f in adapter.factors.items()}
        return Adapter(factors, adapter.rank, adapter.alpha, adapter.alphas)

    def text(self, index):
        return random_rows(f"org-{index}", self.rows, self.seed, 4, self.longest)


plans = st.builds(
    lambda steps, epochs, batch, rate, clip, mu: replace(
        PLAN,
        local_steps=steps,
        local_epochs=epochs,
        batch_size=batch,
        learning_rate=rate,
        clip_norm=clip,
        proximal_mu=mu,
    ),
    st.integers(1, 6),
    st.sampled_from([0, 0, 1]),
    st.integers(1, 3),
    st.sampled_from([1e-3, 5e-3, 2e-2]),
    st.sampled_from([0.0, 0.05, 1.0]),
    st.sampled_from([0.0, 0.5]),
)
someone = st.builds(
    Someone,
    st.integers(0, 99),
    st.integers(1, 5),
    st.sampled_from([2.0, 6.0, 7.5]),
    st.integers(3, 9),
    st.integers(5, 24),
    plans,
)


def differences(name, cohort, precision):
    """Train a cohort, then each alone; give the largest differences of tensors (relative) and of losses."""
    base = base_of(FAMILIES[name]().to(precision))
    starts = [own.start(base, precision) for own in cohort]
    rows = [own.text(index) for index, own in enumerate(cohort)]
    results, losses = trained(base, starts, rows, [own.plan for own in cohort])
    tensors = errors = 0.0
    for own, start, text, result in zip(cohort, starts, rows, results, strict=True):
        plan = own.plan
        alone, counts, expected = train_alone(name, start, text, plan, clip=plan.clip_norm, mu=plan.proximal_mu)
        assert (result.steps, result.tokens) == (len(alone), sum(counts))
        assert (result.adapter.rank, result.adapter.alpha) == (own.rank, own.alpha)
        assert {key: value.shape for key, value in result.adapter.tensors().items()} == {
            key: value.shape for key, value in start.tensors().items()
        }
        tensors = max(tensors, relative(result.adapter.tensors(), expected))
        found = losses[text.organization]
        errors = max(errors, max(abs(ours - theirs) for ours, theirs in zip(found, alone, strict=True)))
    return tensors, errors


@pytest.mark.parametrize("name", FINE)
@given(cohort=st.lists(someone, min_size=1, max_size=4))
@settings(deadline=None, max_examples=12)
def test_everyone_in_a_cohort_trains_by_a_plan_and_at_a_rank_of_their_own_as_alone(name, cohort):
    tensors, losses = differences(name, cohort, torch.float64)
    assert tensors < 1e-9
    assert losses < 1e-9


MIXED = [
    Someone(1, 1, 2.0, 9, 24, replace(PLAN, local_steps=6)),
    Someone(2, 4, 6.0, 5, 9, replace(PLAN, local_steps=3, learning_rate=2e-2, clip_norm=0.05)),
    Someone(3, 3, 7.5, 7, 15, replace(PLAN, local_epochs=2, batch_size=2, proximal_mu=0.5)),
]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_mixed_cohort_is_peft_alone_for_every_architecture(name):
    tensors, losses = differences(name, MIXED, torch.float32)
    assert tensors < 1e-5
    assert losses < 1e-5


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "gemma"])
def test_sixty_four_steps_in_a_cohort_are_still_those_of_peft_alone(name):
    """Of these random bases some grow any difference a thousandfold on so long a way, in float64 as well; not these."""
    longer = {"local_steps": 64, "local_epochs": 0, "learning_rate": 5e-3, "clip_norm": 0.0}
    tensors, losses = differences(
        name, [replace(own, plan=replace(own.plan, **longer)) for own in MIXED], torch.float32
    )
    assert tensors < 1e-5
    assert losses < 1e-5


def test_what_fills_up_a_smaller_rank_stays_zero():
    base = base_of(FAMILIES["gpt2"]())
    stack = Stack([random_adapter(base, seed=1, rank=1), random_adapter(base, seed=2, rank=4)], base.device, "AB")
    for name, view in stack.views(stack.gradient).items():
        view.copy_(torch.randn(view.shape, generator=torch.Generator().manual_seed(3)))
        view[0, 1:, :] = view[0, 1:, :] * (name.endswith("lora_B.weight"))
        if name.endswith("lora_B.weight"):
            view[0, :, 1:] = 0
    CohortAdamW(stack, [Descent(0.1, clip_norm=0.5, proximal_mu=0.3)] * 2).update()
    for name, parameter in stack.parameters.items():
        filled = parameter[0, :, 1:] if name.endswith("lora_B.weight") else parameter[0, 1:, :]
        assert not filled.any()
        assert parameter[1].all()


def test_adapters_of_other_modules_do_not_stand_in_one_stack():
    base = base_of(FAMILIES["gpt2"]())
    whole = random_adapter(base)
    part = Adapter(dict(list(whole.factors.items())[:1]), whole.rank, whole.alpha)
    with pytest.raises(ValueError, match="same modules"):
        Stack([whole, part], base.device)
