"""Means that a plain sum settles are, to the bit, those of an exact one: whatever the numbers, and on every tie."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.aggregation import means as module
from fedlora_tui.aggregation.means import means, rounded_means
from fedlora_tui.aggregation.method import Reply
from fedlora_tui.lora.adapter import Adapter, Factors

WIDE = 6
EPSILON = 2.0**-23

any_number = st.one_of(
    st.floats(width=32),
    st.floats(-1.0, 1.0, width=32),
    st.sampled_from(
        [0.0, -0.0, 1.0, 1.0 + EPSILON, -1.0 - EPSILON, 2.0**-149, -(2.0**-149), 3.0e38, 1.0e-30, -1.0e-30]
    ),
)
replies = st.lists(
    st.tuples(st.lists(any_number, min_size=2 * WIDE, max_size=2 * WIDE), st.integers(1, 2**40)),
    min_size=2,
    max_size=8,
)


def weighted(rows):
    """Replies of an adapter of one module, of rank 1, each of a number of tokens; shares are not looked at."""
    found = []
    for place, (values, weight) in enumerate(rows):
        numbers = torch.tensor(values, dtype=torch.float32)
        factors = {"layer": Factors(numbers[:WIDE].reshape(1, WIDE), numbers[WIDE:].reshape(WIDE, 1))}
        found.append((0.0, Reply(f"organization-{place}", Adapter(factors, 1, 1.0), weight)))
    return found


def bits(tensors):
    # A nan may have any sign: which one it has, no sum can say.
    return {name: tensor.float().nan_to_num(nan=7.0).numpy().tobytes() for name, tensor in tensors.items()}


@given(replies)
@settings(max_examples=200)
def test_a_mean_is_the_exact_one_to_the_bit(rows):
    given_replies = weighted(rows)
    assert bits(rounded_means(given_replies)) == bits(means(given_replies))
    assert bits(rounded_means(given_replies, ("B",))) == bits(means(given_replies, ("B",)))


@pytest.mark.parametrize("other", [1.0 + EPSILON, 1.0 - EPSILON / 2, -1.0, 1.0e-30, -0.0])
def test_what_a_plain_sum_cannot_settle_is_added_up_exactly(monkeypatch, other):
    exactly = []
    exact = module.ExactSum
    monkeypatch.setattr(module, "ExactSum", lambda length: exactly.append(length) or exact(length))
    values = [1.0, 0.5, 0.25, 1.5, 3.0, 7.0] * 2
    tied = weighted([(values, 1), ([other, *values[1:]], 1)])
    settled = rounded_means(tied)
    assert exactly == ([1] if other not in (1.0e-30, -0.0) else [])
    assert bits(settled) == bits(means(tied))


def test_numbers_of_another_format_keep_it():
    rows = weighted([([0.1] * 2 * WIDE, 3), ([0.7] * 2 * WIDE, 5)])
    double = [(share, Reply(own.organization, _double(own.adapter), own.weight)) for share, own in rows]
    (found, *_) = rounded_means(double).values()
    assert found.dtype == torch.float64
    assert found.flatten()[0].item() == pytest.approx((3 * 0.1 + 5 * 0.7) / 8, abs=1e-7)


def _double(adapter):
    factors = {name: Factors(own.a.double(), own.b.double()) for name, own in adapter.factors.items()}
    return Adapter(factors, adapter.rank, adapter.alpha)
