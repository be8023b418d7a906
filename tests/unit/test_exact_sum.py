"""Sums that are exact: the same bytes in whatever order, against Python's own fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.aggregation import exact
from fedlora_tui.aggregation.exact import AT_ONCE, ExactSum

numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
counted = st.tuples(numbers, st.integers(0, 2**31))


def total(addends, order):
    running = ExactSum(len(addends[0]))
    for place in order:
        running.add(addends[place])
    return running.total()


@given(st.lists(st.lists(counted, min_size=3, max_size=3), min_size=1, max_size=12), st.randoms())
@settings(max_examples=150)
def test_a_sum_is_rounded_once_and_its_order_changes_no_byte(replies, random):
    """Numbers of any size side by side, those that undo each other among them, times counts of tokens."""
    addends = [torch.tensor([np.float64(x) * n for x, n in reply], dtype=torch.float64) for reply in replies]
    addends += [-addends[0], addends[0]]
    first = total(addends, range(len(addends)))
    places = list(range(len(addends)))
    random.shuffle(places)
    assert first.numpy().tobytes() == total(addends, places).numpy().tobytes()
    for column, found in enumerate(first.tolist()):
        true = sum(Fraction(float(addend[column])) for addend in addends)
        assert abs(Fraction(found) - true) <= abs(true) * Fraction(1, 2**51)


def test_a_plain_sum_would_depend_on_the_order():
    addends = [torch.tensor([number], dtype=torch.float64) for number in (1e16, 1.0, -1e16, 1.0)]
    assert total(addends, range(4)).item() == total(addends, (0, 2, 1, 3)).item() == 2.0
    assert sum(addends).item() == 1.0


def test_long_vectors_are_added_piece_by_piece():
    generator = np.random.default_rng(3)
    addends = [torch.tensor(generator.standard_normal(2 * AT_ONCE + 5)) for _ in range(3)]
    assert torch.allclose(total(addends, range(3)), sum(addends), rtol=1e-14, atol=1e-15)
    assert ExactSum(0).total().numel() == 0


def test_what_is_not_finite_makes_its_own_place_so_and_no_other():
    addends = [torch.tensor([1.0, 1.0, 1.0, 2.0**127]), torch.tensor([2.0, torch.inf, torch.nan, 2.0**127])]
    found = total([addend.double() for addend in addends], (1, 0))
    assert found[0] == 3.0
    assert found[1] == torch.inf
    assert found[2].isnan()
    assert found[3] == 2.0**128


def test_what_it_keeps_does_not_grow_with_the_number_of_addends():
    running, generator = ExactSum(100), np.random.default_rng(4)
    kept = []
    for _ in range(50):
        running.add(torch.tensor(generator.uniform(0.5, 1.0, 100).astype(np.float32)).double() * 1000)
        kept.append(running.bytes)
    assert kept[-1] == kept[0] <= 3 * 100 * 8


def test_carrying_on_the_way_changes_no_byte(monkeypatch):
    """However often: sums below zero, and halves of what the next part counts by, among them."""
    assert 2 ** (exact.WIDTH - 1) * (exact.BEFORE_CARRYING + 1) <= 2**53
    half = 2.0 ** (exact.WIDTH - 1)
    generator = np.random.default_rng(6)
    addends = [torch.tensor([half, -half, -1.0, x, -x * 2.0**60]) for x in generator.standard_normal(40)]
    addends = [addend.double() for addend in addends]
    expected = total(addends, range(40)).numpy().tobytes()
    for often in (1, 2, 7):
        monkeypatch.setattr(exact, "BEFORE_CARRYING", often)
        assert total(addends, reversed(range(40))).numpy().tobytes() == expected
