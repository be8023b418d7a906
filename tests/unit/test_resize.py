"""Another rank: up, every product stays as it was; down, the least is lost; and the scale stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.lora.adapter import Adapter, Factors, TargetModule, initial
from fedlora_tui.lora.resize import Resized, first_rows, resize
from tests.federations import SHAPE, Shape, content, dense, random_adapter, shapes, with_factors


def made(shape, seed, dtype=torch.float64):
    return random_adapter(shape, np.random.default_rng(seed), dtype)


def check_up(resized, adapter, rank):
    """Old bytes, new rows that live, columns of zeros, the same products and scales."""
    result = resized.adapter
    assert (resized.lost, result.rank) == (0.0, rank)
    for module, own in adapter.factors.items():
        new, before = result.factors[module], own.a.shape[0]
        assert new.a.shape[0] == (before if module in adapter.ranks else rank)
        assert torch.equal(new.a[:before], own.a)
        assert torch.equal(new.b[:, :before], own.b)
        assert not new.b[:, before:].any()
        assert (new.a[before:].abs().sum(dim=1) > 0).all()
        assert result.scale_of(module) == pytest.approx(adapter.scale_of(module), rel=1e-15)
        assert torch.equal(new.b @ new.a, own.b @ own.a) or torch.allclose(new.b @ new.a, own.b @ own.a, rtol=1e-14)


@given(shapes(), st.integers(0, 4), st.integers(0, 10**6))
@settings(max_examples=60)
def test_rank_up_leaves_every_product_as_it_was(shape, more, seed):
    adapter = made(shape, seed)
    check_up(resize(adapter, shape.rank + more, seed), adapter, shape.rank + more)


def alpha_left_behind(resized):
    return replace(resized, adapter=replace(resized.adapter, alpha=6.0, alphas={"h.2": 3.0}))


def dead_rows(resized):
    def dead(module, own):
        return Factors(torch.cat([own.a[:3], 0 * own.a[3:]]), own.b)

    return replace(resized, adapter=with_factors(resized.adapter, dead))


def random_columns(resized):
    def changed(module, own):
        return Factors(own.a, torch.cat([own.b[:, :3], own.b[:, 3:] + 1], dim=1))

    return replace(resized, adapter=with_factors(resized.adapter, changed))


@pytest.mark.parametrize("mutant", [alpha_left_behind, dead_rows, random_columns], ids=lambda mutant: mutant.__name__)
def test_a_rank_raised_in_another_way_is_found_out(mutant):
    adapter = made(SHAPE, 1)
    raised = resize(adapter, 5, 1)
    check_up(raised, adapter, 5)
    with pytest.raises(AssertionError):
        check_up(mutant(raised), adapter, 5)


def test_new_rows_are_drawn_as_the_first_ones_were_and_from_the_seed_alone():
    target = TargetModule("h", 24, 10, False)
    first = initial([target], 2, 4.0, seed=1)
    raised = resize(first, 66, seed=7).adapter
    fresh = raised.factors["h"].a[2:]
    assert torch.equal(fresh, initial([target], 64, 64.0, seed=7).factors["h"].a)
    assert content(raised) == content(resize(first, 66, seed=7).adapter)
    assert content(raised) != content(resize(first, 66, seed=8).adapter)


def check_down(resized, adapter, rank):
    """Each module's product is the best of its rank; the error is what was really lost, of all modules jointly."""
    before, after = dense(adapter), dense(resized.adapter)
    tails = whole = 0.0
    for module, product in before.items():
        own = adapter.factors[module].a.shape[0]
        values = np.linalg.svd(product, compute_uv=False)
        kept = own if module in adapter.ranks else rank
        tail = np.linalg.norm(values[kept:]) if kept < own else 0.0
        assert np.linalg.norm(product - after[module]) == pytest.approx(tail, rel=1e-8, abs=1e-10 * values[0])
        assert resized.adapter.factors[module].a.shape[0] == kept
        assert resized.adapter.scale_of(module) == pytest.approx(adapter.scale_of(module), rel=1e-15)
        tails, whole = tails + tail**2, whole + float((product**2).sum())
    assert resized.lost == pytest.approx((tails / whole) ** 0.5, rel=1e-8, abs=1e-10)


@given(shapes(), st.integers(1, 5), st.integers(0, 10**6))
@settings(max_examples=60)
def test_rank_down_loses_the_least_and_says_how_much(shape, rank, seed):
    adapter = made(shape, seed)
    check_down(resize(adapter, min(rank, shape.rank), seed), adapter, min(rank, shape.rank))


def test_first_rows_of_any_adapter_an_unsaid_loss_or_a_lost_scale_are_found_out():
    adapter = made(SHAPE, 1)
    cut = resize(adapter, 2, 1)
    check_down(cut, adapter, 2)
    for mutant in (
        Resized(first_rows(adapter, 2), cut.lost),
        Resized(cut.adapter, 0.0),
        Resized(replace(cut.adapter, alpha=adapter.alpha), cut.lost),
    ):
        with pytest.raises(AssertionError):
            check_down(mutant, adapter, 2)


def test_a_rank_lowered_has_orthonormal_live_rows_even_where_the_layer_is_smaller():
    adapter = made(Shape(((2, 9, 0, 0), (9, 2, 0, 0)), 6, 6.0), 1)
    result = resize(adapter, 4, 1).adapter
    wide = result.factors["h.0"].a
    assert torch.allclose(wide @ wide.T, torch.eye(4, dtype=torch.float64), atol=1e-6)
    assert (result.factors["h.1"].a.abs().sum(dim=1) > 0).all()
    check_down(resize(adapter, 4, 1), adapter, 4)


def test_up_and_down_again_gives_the_products_back():
    adapter = made(SHAPE, 2, torch.float32)
    back = resize(resize(adapter, 6, 1).adapter, 3, 1)
    assert back.lost < 1e-12
    assert back.adapter.ranks == adapter.ranks == {"h.1": 2}
    assert (back.adapter.rank, back.adapter.alpha) == (3, 6.0)
    for module, product in dense(adapter).items():
        np.testing.assert_allclose(dense(back.adapter)[module], product, rtol=0, atol=1e-5)


def test_the_same_rank_changes_no_byte_and_none_is_refused():
    adapter = made(SHAPE, 1)
    same = resize(adapter, 3, 1)
    assert (content(same.adapter), same.lost) == (content(adapter), 0.0)
    assert (same.adapter.alpha, same.adapter.alphas) == (adapter.alpha, adapter.alphas)
    for rank in (0, -1):
        with pytest.raises(ValueError, match="1 or more"):
            resize(adapter, rank, 1)


def test_a_module_of_its_own_rank_stays_under_any_name_of_that_rank():
    """A pattern that names the common rank cannot be seen in the factors: who knows of it says so."""
    adapter = made(Shape(((5, 4, 0, 0), (4, 5, 0, 0)), 3, 6.0), 1)
    kept = resize(adapter, 5, 1, keep=["h.1"]).adapter
    assert kept.ranks == {"h.1": 3}
    assert kept.scale_of("h.1") == kept.scale_of("h.0") == 2.0
    again = resize(kept, 3, 1, keep=["h.1"]).adapter
    assert again.ranks == {}
    assert resize(made(SHAPE, 1), 5, 1, keep=[]).adapter.ranks == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_number_formats_stay(dtype):
    for rank in (2, 3, 5):
        result = resize(made(SHAPE, 1, dtype), rank, 1).adapter
        assert all(tensor.dtype == dtype for tensor in result.tensors().values())


def test_first_rows_keep_the_scale_and_their_bytes():
    adapter = made(SHAPE, 1)
    lower = first_rows(adapter, 2)
    for module, own in lower.factors.items():
        assert torch.equal(own.a, adapter.factors[module].a[:2])
        assert torch.equal(own.b, adapter.factors[module].b[:, :2])
        assert lower.scale_of(module) == pytest.approx(adapter.scale_of(module), rel=1e-15)
    assert (lower.rank, lower.alpha, lower.ranks) == (2, 4.0, {})
    assert content(first_rows(adapter, 9)) == content(adapter)
    assert first_rows(adapter, 9).rank == 3
    assert isinstance(lower, Adapter)
