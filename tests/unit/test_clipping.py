"""What leaves an organization is no longer than its limit, and one organization changes a sum by no more than that."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.lora.adapter import Adapter, Factors, TargetModule, initial
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.privacy.clipping import Limit, change_of, excess, length, module_of, moved, shortened
from fedlora_tui.privacy.leaving import leaving, too_long
from fedlora_tui.privacy.noise import Seeded
from fedlora_tui.privacy.summing import Terms, noised_mean

BOTH = frozenset("AB")
TARGETS = (
    TargetModule("h.0.attn", 12, 20, False),
    TargetModule("h.1.mlp", 9, 7, False),
    TargetModule("h.1.up", 5, 5, False),
)
PLAN = LocalTraining(
    round=1, seed=7, local_steps=1, local_epochs=0, batch_size=1, learning_rate=0.1, update_norm=0.5, seeded_noise=1
)


def start() -> Adapter:
    return initial(TARGETS, 2, 4.0, 3)


def trained(seed: int, size: float) -> Adapter:
    generator = torch.Generator().manual_seed(seed)

    def shifted(tensor: torch.Tensor) -> torch.Tensor:
        return tensor + size * torch.randn(tensor.shape, generator=generator)

    before = start()
    factors = {module: Factors(shifted(own.a), shifted(own.b)) for module, own in before.factors.items()}
    return replace(before, factors=factors)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-6, 1e4), st.floats(1e-3, 1e3), st.booleans())
def test_no_change_is_longer_than_its_limit_and_one_within_it_stays(seed, size, norm, by_module):
    limit, change = Limit(norm, by_module), change_of(trained(seed, size), start(), BOTH)
    short = shortened(change, limit)
    assert length(short) <= norm * (1 + 1e-12)
    assert excess(short, limit) <= 1 + 1e-12
    if excess(change, limit) <= 1:
        assert all(torch.equal(short[name], change[name]) for name in change)
    # Shortened, not turned: every module points where it did.
    for name, tensor in change.items():
        assert float(torch.sum(tensor * short[name])) >= 0
    if by_module:
        for module in start().factors:
            part = {name: tensor for name, tensor in short.items() if module_of(name) == module}
            assert length(part) <= norm / len(start().factors) ** 0.5 * (1 + 1e-12)


@pytest.mark.parametrize("by_module", [0, 1])
def test_a_change_of_nothing_is_unharmed(by_module):
    plan = replace(PLAN, by_module=by_module)
    sent = leaving(start(), start(), plan, "alpha")
    assert all(torch.equal(own, start().tensors()[name]) for name, own in sent.tensors().items())
    assert length(change_of(sent, start(), BOTH)) == 0.0
    assert too_long(sent, start(), plan) is None


@pytest.mark.parametrize("by_module", [0, 1])
@pytest.mark.parametrize("norm", [1e-4, 0.5, 300.0])
def test_what_left_an_organization_passes_the_servers_check_and_what_was_not_shortened_does_not(by_module, norm):
    plan = replace(PLAN, by_module=by_module, update_norm=norm)
    honest = trained(1, 300.0)
    sent = leaving(honest, start(), plan, "alpha")
    assert sent.factors[next(iter(sent.factors))].a.dtype == torch.float32
    assert length(change_of(sent, start(), BOTH)) == pytest.approx(norm, rel=1e-2)
    assert too_long(sent, start(), plan) is None
    assert "is allowed (privacy.clip_norm = " in too_long(honest, start(), plan)
    noisy = replace(plan, update_noise=3 * norm)
    assert too_long(leaving(honest, start(), noisy, "alpha"), start(), noisy) is None
    assert too_long(moved(start(), {n: 100 * t for n, t in change_of(honest, start(), BOTH).items()}), start(), noisy)


def test_a_b_that_stays_at_home_is_neither_shortened_nor_noised():
    plan = replace(PLAN, keep_b=1, update_noise=1.0)
    honest = trained(1, 300.0)
    sent = leaving(honest, start(), plan, "alpha")
    for module, own in sent.factors.items():
        assert torch.equal(own.b, honest.factors[module].b)
        assert not torch.equal(own.a, honest.factors[module].a)


@pytest.mark.parametrize("by_module", [False, True])
def test_with_or_without_one_organization_a_sum_differs_by_the_limit_at_most(by_module):
    """By brute force: every set of organizations of six against every set with one fewer, and one replaced."""
    limit = Limit(0.5, by_module)
    terms = Terms(limit, 1e-30, expected=3.0)
    replies = {name: trained(name, size) for name, size in enumerate((0.0, 1e-3, 1e-2, 1.0, 50.0, 1e4))}

    def mean(names: tuple[int, ...]) -> dict[str, torch.Tensor]:
        made = noised_mean([replies[name] for name in names], start(), BOTH, terms, Seeded(1, "none"))
        return change_of(made, start(), BOTH)

    means = {names: mean(names) for size in range(7) for names in combinations(range(6), size)}
    # What a factor is rounded to in float32 is a function of the sum: it belongs to no organization.
    rounding = 1e-5
    furthest = 0.0
    for names, with_all in means.items():
        for one in names:
            without = means[tuple(name for name in names if name != one)]
            far = length({name: with_all[name] - without[name] for name in with_all}) * terms.expected
            furthest = max(furthest, far)
            for other in set(range(6)) - set(names):
                swapped = means[tuple(sorted({*names, other} - {one}))]
                assert length({n: with_all[n] - swapped[n] for n in with_all}) * terms.expected <= 2 * 0.5 + rounding
    assert 0.5 - rounding <= furthest <= 0.5 + rounding, "and one that is long enough does change it by that much"
    assert length(means[()]) <= rounding


@pytest.mark.parametrize(("parts", "replies"), [(0, 0), (0, 3), (6, 0), (6, 2), (6, 6)])
def test_the_noise_on_a_sum_has_the_deviation_that_is_charged(parts, replies):
    """Whoever adds it, and whether fewer reply than expected or more: the server adds what is missing."""
    limit, noise, expected = Limit(0.5), 2.0, 4.0
    terms = Terms(limit, noise, expected, parts)
    plan = replace(PLAN, update_noise=terms.own_deviation)
    drawn = []
    for round in range(60):
        sent = [leaving(start(), start(), replace(plan, round=round), f"org-{n}") for n in range(replies)]
        made = noised_mean(sent, start(), BOTH, terms, Seeded(round, "server"))
        drawn += [tensor.flatten() for tensor in change_of(made, start(), BOTH).values()]
    values = torch.cat(drawn).numpy() * expected / (noise * limit.norm)
    _looks_gaussian(values, 1.0)


def _looks_gaussian(values: np.ndarray, deviation: float) -> None:
    """Mean, variance and kurtosis within five standard errors of those of a normal distribution."""
    count = values.size
    assert abs(values.mean()) < 5 * deviation / count**0.5
    assert abs(values.var() / deviation**2 - 1) < 5 * (2 / count) ** 0.5
    assert abs((values**4).mean() / deviation**4 - 3) < 5 * (96 / count) ** 0.5
