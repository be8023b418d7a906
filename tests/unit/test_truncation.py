"""The best approximation of a lower rank, against numpy's decomposition of the whole matrix; rows filled up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.lora.truncation import best_rank, completed, filled

sizes = st.integers(1, 9)


def factors(m, n, inner, seed):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.standard_normal((m, inner))), torch.tensor(rng.standard_normal((inner, n)))


def check(cut, whole, rank):
    values = np.linalg.svd(whole, compute_uv=False)
    made = (cut.left * cut.values @ cut.right).numpy()
    scale = max(values[0], 1e-300)
    assert np.linalg.norm(whole - made) == pytest.approx(np.linalg.norm(values[rank:]), rel=1e-8, abs=1e-10 * scale)
    assert cut.tail == pytest.approx(np.linalg.norm(values[rank:]), rel=1e-8, abs=1e-10 * scale)
    assert cut.whole == pytest.approx(np.linalg.norm(values))
    assert cut.lost == pytest.approx(cut.tail / cut.whole)
    kept = cut.values.numel()
    assert torch.allclose(cut.left.T @ cut.left, torch.eye(kept, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(cut.right @ cut.right.T, torch.eye(kept, dtype=torch.float64), atol=1e-12)


@given(sizes, sizes, sizes, sizes, st.integers(0, 10**6))
@settings(max_examples=80)
def test_it_is_the_truncated_decomposition_of_the_product(m, n, inner, rank, seed):
    left, right = factors(m, n, inner, seed)
    check(best_rank(left, right, rank), (left @ right).numpy(), rank)


def test_factors_in_each_others_place_or_other_values_are_found_out():
    left, right = factors(7, 7, 4, 1)
    whole = (left @ right).numpy()
    check(best_rank(left, right, 2), whole, 2)
    for mutant in (best_rank(right.T, left.T, 2), best_rank(left, right, 3), best_rank(2 * left, right, 2)):
        with pytest.raises(AssertionError):
            check(mutant, whole, 2)


def test_a_product_of_nothing_loses_nothing_and_large_sides_take_no_large_matrix():
    cut = best_rank(torch.zeros(5, 2), torch.ones(2, 4), 1)
    assert (cut.lost, cut.whole) == (0.0, 0.0)
    tall = best_rank(torch.ones(100_000, 1), torch.ones(1, 100_000), 1)
    assert tall.values.tolist() == pytest.approx([100_000.0])


@given(sizes, st.integers(0, 9), sizes, st.integers(0, 10**6))
@settings(max_examples=60)
def test_rows_are_filled_up_to_orthonormal_ones_and_the_first_stay(n, have, count, seed):
    rng = np.random.default_rng(seed)
    have = min(have, n, count)
    rows = torch.linalg.qr(torch.tensor(rng.standard_normal((n, n)))).Q[:have]
    fresh = torch.tensor(rng.standard_normal((count, n)))
    full = completed(rows, fresh)
    assert full.shape == (count, n)
    assert torch.equal(full[:have], rows)
    most = min(count, n)
    assert torch.allclose(full[:most] @ full[:most].T, torch.eye(most, dtype=torch.float64), atol=1e-12)
    assert torch.equal(full[most:], fresh[most:])


def test_rows_that_say_nothing_new_are_made_orthonormal_all_the_same():
    rows = torch.eye(4, dtype=torch.float64)[:2]
    for fresh in (torch.zeros(4, 4), torch.eye(4)[[0, 0, 1, 0]]):
        full = completed(rows, fresh.double())
        assert torch.allclose(full @ full.T, torch.eye(4, dtype=torch.float64), atol=1e-14)


def test_columns_of_zeros_fill_a_matrix_up():
    assert filled(torch.ones(2, 1), 3).tolist() == [[1, 0, 0], [1, 0, 0]]
    assert filled(torch.ones(2, 3), 3).tolist() == [[1, 1, 1], [1, 1, 1]]
