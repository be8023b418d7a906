"""What joins the base: sums of products, their weight, and one adapter that holds them and the adapter's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.aggregation import METHODS
from fedlora_tui.lora.adapter import Factors
from fedlora_tui.lora.delta import BaseDelta, added, as_adapter_total
from tests.federations import SHAPE, WEIGHTS, a_round, dense, random_adapter, shapes


def products(factors):
    return {module: own.b.double().numpy() @ own.a.double().numpy() for module, own in factors.items()}


def random_products(sides, rank, rng):
    return {
        f"h.{index}": Factors(
            torch.tensor(rng.standard_normal((rank, n)), dtype=torch.float32),
            torch.tensor(rng.standard_normal((m, rank)), dtype=torch.float32),
        )
        for index, (m, n) in enumerate(sides)
    }


def check_sum(add, sides, ranks, seed):
    rng = np.random.default_rng(seed)
    parts = [random_products(sides, rank, rng) for rank in ranks]
    delta = BaseDelta()
    for part in parts:
        delta = add(delta, part)
    for index, (m, n) in enumerate(sides):
        module = f"h.{index}"
        expected = sum(products(part)[module] for part in parts)
        own = delta.factors[module]
        size = np.linalg.norm(expected) + sum(np.linalg.norm(products(part)[module]) for part in parts)
        assert np.linalg.norm(products(delta.factors)[module] - expected) <= 1e-6 * size
        assert own.a.shape[0] == min(m, n, sum(ranks))
        assert own.a.dtype == own.b.dtype == torch.float32
        if sum(ranks) < min(m, n):
            assert torch.equal(own.a, torch.cat([part[module].a for part in parts]))
            assert torch.equal(own.b, torch.cat([part[module].b for part in parts], dim=1))


some_sides = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=3)


@given(some_sides, st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 10**6))
@settings(max_examples=60)
def test_a_sum_of_deltas_is_the_sum_of_their_products_and_no_larger_than_the_layer(sides, ranks, seed):
    check_sum(added, sides, ranks, seed)


def test_what_forgets_adds_twice_or_grows_for_ever_is_found_out():
    def forgets(delta, more):
        return added(BaseDelta(), more)

    def twice(delta, more):
        return added(added(delta, more), more)

    def grows(delta, more):
        old = delta.factors.get("h.0")
        if old is None:
            return BaseDelta(dict(more))
        new = more["h.0"]
        return BaseDelta({"h.0": Factors(torch.cat([old.a, new.a]), torch.cat([old.b, new.b], dim=1))})

    check_sum(added, [(9, 4)], [2, 2, 3], 1)
    for mutant in (forgets, twice, grows):
        with pytest.raises(AssertionError):
            check_sum(mutant, [(9, 4)], [2, 2, 3], 1)


def test_a_full_delta_is_rounded_once_a_round():
    """A hundred rounds of float32 stay within a few roundings of the sum in float64."""
    rng = np.random.default_rng(3)
    delta, expected = BaseDelta(), np.zeros((20, 30))
    for _ in range(100):
        more = random_products([(20, 30)], 4, rng)
        delta, expected = added(delta, more), expected + products(more)["h.0"]
    made = products(delta.factors)["h.0"]
    assert np.linalg.norm(made - expected) < 5e-7 * np.linalg.norm(expected)
    assert delta.bytes == 4 * (20 * 20 + 20 * 30)


def test_only_the_modules_that_come_are_added_to():
    one = BaseDelta(random_products([(9, 8)], 2, np.random.default_rng(1)))
    two = added(one, {"other": Factors(torch.ones(1, 5), torch.ones(6, 1))})
    assert two.factors["h.0"] is one.factors["h.0"]
    assert two.bytes == one.bytes + 4 * 11
    assert added(one, {}).factors == one.factors


@pytest.mark.parametrize(
    "wrong",
    [
        Factors(torch.ones(1, 8), torch.ones(8, 1)),
        Factors(torch.ones(1, 9), torch.ones(9, 1)),
        Factors(torch.ones(2, 8), torch.ones(9, 1)),
    ],
    ids=["other rows", "other columns", "no product"],
)
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=r"h\.0"):
        added(BaseDelta(random_products([(9, 8)], 2, np.random.default_rng(1))), {"h.0": wrong})


def check_total(total, adapter, delta, to=1e-12):
    """Every product of the total is the adapter's and the delta's together; nothing is broadcast or forgotten."""
    made, own, more = dense(total), dense(adapter), products(delta.factors)
    assert list(made) == list(own)
    for module, product in own.items():
        expected = product + more.get(module, 0)
        assert np.linalg.norm(made[module] - expected) <= to * (np.linalg.norm(expected) + np.linalg.norm(product))
        ranks = (adapter.factors[module].a.shape[0], delta.factors[module].a.shape[0] if module in more else 0)
        assert total.factors[module].a.shape[0] == sum(ranks)
        assert torch.equal(total.factors[module].a[: ranks[0]], adapter.factors[module].a)
        assert torch.equal(total.factors[module].b[:, : ranks[0]], adapter.factors[module].b)


@given(shapes(), st.integers(1, 4), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=60)
def test_the_total_adapter_holds_both_products(shape, rank, some, seed):
    rng = np.random.default_rng(seed)
    adapter = random_adapter(shape, rng)
    more = random_products([(m, n) for m, n, *_ in shape.modules], rank, rng)
    delta = added(BaseDelta(), dict(list(more.items())[: 1 if some else None]))
    check_total(as_adapter_total(adapter, delta), adapter, delta)


def test_a_total_without_the_scale_or_with_the_alpha_that_was_is_found_out():
    rng = np.random.default_rng(1)
    adapter = random_adapter(SHAPE, rng)
    delta = added(BaseDelta(), random_products([(m, n) for m, n, *_ in SHAPE.modules], 2, rng))
    total = as_adapter_total(adapter, delta)
    check_total(total, adapter, delta)
    unscaled = {
        module: Factors(own.a, torch.cat([adapter.factors[module].b, delta.factors[module].b.double()], dim=1))
        for module, own in total.factors.items()
    }
    for mutant in (
        replace(total, factors=unscaled),
        replace(total, alpha=adapter.alpha, alphas=adapter.alphas),
        replace(total, alphas={}),
    ):
        with pytest.raises(AssertionError):
            check_total(mutant, adapter, delta)


def test_the_rank_that_most_modules_have_is_the_totals_and_float32_stays():
    rng = np.random.default_rng(1)
    adapter = random_adapter(SHAPE, rng, torch.float32)
    delta = added(BaseDelta(), random_products([(9, 4)], 1, rng))
    total = as_adapter_total(adapter, delta)
    assert (total.rank, total.alpha) == (4, 8.0)
    assert total.ranks == {"h.1": 2, "h.2": 3}
    assert total.alphas == {"h.1": 6.0, "h.2": 3.0}
    everywhere = added(BaseDelta(), {m: Factors(own.a, own.b) for m, own in adapter.factors.items() if m != "h.1"})
    assert as_adapter_total(replace(adapter, alphas={}), everywhere).rank in (6, 4)
    assert all(tensor.dtype == torch.float32 for tensor in total.tensors().values())
    check_total(total, adapter, delta, to=1e-6)


def test_without_a_delta_the_total_is_the_adapter_and_a_stranger_is_refused():
    adapter = random_adapter(SHAPE, np.random.default_rng(1))
    assert dense(as_adapter_total(adapter, BaseDelta())).keys() == dense(adapter).keys()
    check_total(as_adapter_total(adapter, BaseDelta()), adapter, BaseDelta())
    with pytest.raises(ValueError, match="without an adapter"):
        as_adapter_total(adapter, BaseDelta({"h.9": Factors(torch.ones(1, 2), torch.ones(2, 1))}))


@pytest.mark.parametrize("name", ["flora", "fedex"])
def test_what_a_method_gives_joins_the_base_and_goes_home_in_one_adapter(name):
    replies, start = a_round(SHAPE, WEIGHTS, 5, dtype=torch.float32)
    result = METHODS[name].aggregate(replies, start)
    delta = added(BaseDelta(), result.delta)
    check_total(as_adapter_total(result.adapter, delta), result.adapter, delta, to=1e-6)
