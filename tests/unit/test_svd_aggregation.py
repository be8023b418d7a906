"""FlexLoRA's error is that of the singular values it leaves out; FedSVD keeps the product and makes A orthonormal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from fedlora_tui.aggregation import METHODS, Aggregated
from fedlora_tui.lora.adapter import Factors
from fedlora_tui.lora.resize import first_rows
from tests.federations import (
    SHAPE,
    WEIGHTS,
    Shape,
    a_round,
    apart,
    as_dtype,
    dense,
    dense_ideal,
    mean_of,
    rounds,
    sharing,
    with_factors,
)

EXAMPLE = a_round(SHAPE, WEIGHTS, 11, (1, 3, 2))
FLEX, SVD = METHODS["flexlora"].aggregate, METHODS["fedsvd"].aggregate


def check_best(aggregate, given_round):
    """The error is that of the tail, and no less is possible (Eckart and Young)."""
    replies, start = given_round
    ideal, made = dense_ideal(replies), dense(aggregate(replies, start).adapter)
    for module, whole in ideal.items():
        values = np.linalg.svd(whole, compute_uv=False)
        tail = np.linalg.norm(values[start.sent.factors[module].a.shape[0] :])
        assert np.linalg.norm(whole - made[module]) == pytest.approx(tail, rel=1e-8, abs=1e-10 * values[0])


def check_orthonormal(adapter, to=1e-12):
    for own in adapter.factors.values():
        rows = own.a[: own.a.shape[1]].double()
        assert torch.linalg.matrix_norm(rows @ rows.T - torch.eye(len(rows), dtype=torch.float64)) < to


def check_product_kept(aggregate, given_round):
    replies, start = given_round
    made = aggregate(replies, start).adapter
    expected = {
        module: start.sent.scale_of(module) * mean_of(replies, module, "b") @ own.a.numpy()
        for module, own in start.sent.factors.items()
    }
    assert apart(dense(made), expected) < 1e-10


@given(rounds(unequal=True))
@settings(max_examples=60)
def test_flexlora_loses_the_tail_of_the_singular_values_and_nothing_else(given_round):
    check_best(FLEX, given_round)


@given(rounds(unequal=True))
@settings(max_examples=30)
def test_flexlora_has_live_orthonormal_rows_whatever_the_rank_of_the_stack(given_round):
    replies, start = given_round
    for some in (replies, [replace(replies[0], weight=1)]):
        made = FLEX(some, start).adapter
        check_orthonormal(made)
        assert all(own.a.abs().sum(dim=1).min() > 0 for own in made.factors.values())


def test_the_first_rows_of_flexlora_are_the_best_of_a_lower_rank():
    replies, start = EXAMPLE
    lower = first_rows(FLEX(replies, start).adapter, 2)
    check_best(lambda replies, start: Aggregated(lower), (replies, replace(start, sent=first_rows(start.sent, 2))))


def test_rows_beyond_the_stack_come_from_the_rows_that_start_anew():
    replies, start = a_round(Shape(((9, 8, 0, 0),), 5, 5.0), (1,), 2, (1,))
    made = FLEX(replies, start).adapter.factors["h.0"]
    assert not made.b[:, 1:].any()
    anew = start.anew.factors["h.0"].a[1:]
    span = torch.linalg.qr(torch.cat([made.a[:1], anew]).T).Q
    assert torch.linalg.matrix_norm(made.a - made.a @ span @ span.T) < 1e-12
    flipped = with_factors(start.anew, lambda module, own: Factors(own.a.flip(1), own.b))
    other = replace(start, draw=lambda: flipped)
    assert not torch.allclose(FLEX(replies, other).adapter.factors["h.0"].a[1:], made.a[1:])


def without_the_scale(module, own):
    return Factors(own.a, own.b * EXAMPLE[1].sent.scale_of(module))


def the_smallest_direction_lost(module, own):
    return Factors(own.a, torch.cat([own.b[:, :-1], 0 * own.b[:, -1:]], dim=1))


def values_on_both_sides(module, own):
    return Factors(own.b.norm(dim=0)[:, None] * own.a, own.b)


def left_vectors_in_another_order(module, own):
    return Factors(own.a.flip(0), own.b)


@pytest.mark.parametrize(
    "mutant",
    [without_the_scale, the_smallest_direction_lost, values_on_both_sides, left_vectors_in_another_order],
    ids=lambda mutant: mutant.__name__,
)
def test_other_factors_are_not_the_best(mutant):
    check_best(FLEX, EXAMPLE)
    with pytest.raises(AssertionError):
        check_best(lambda *given_round: Aggregated(with_factors(FLEX(*given_round).adapter, mutant)), EXAMPLE)


def test_fedits_product_has_the_same_rank_and_is_further_away():
    equal = a_round(SHAPE, WEIGHTS, 11)
    with pytest.raises(AssertionError):
        check_best(METHODS["fedit"].aggregate, equal)


@given(rounds())
@settings(max_examples=60)
def test_fedsvd_keeps_the_product_and_has_orthonormal_rows(given_round):
    shared = sharing(given_round, "A")
    check_product_kept(SVD, shared)
    made = SVD(*shared).adapter
    check_orthonormal(made)
    assert apart(dense(made), dense_ideal(shared[0])) < 1e-10


def test_fedsvd_has_orthonormal_rows_in_the_span_of_a_where_the_product_has_a_low_rank():
    replies, start = sharing(a_round(Shape(((9, 8, 0, 0), (2, 8, 0, 0)), 4, 8.0), (1, 2), 3), "A")
    thin = [
        replace(
            reply, adapter=with_factors(reply.adapter, lambda module, own: Factors(own.a, own.b[:, :1] * torch.ones(4)))
        )
        for reply in replies
    ]
    made = SVD(thin, start).adapter
    check_orthonormal(made)
    for module, own in made.factors.items():
        a = start.sent.factors[module].a
        coordinates = torch.linalg.lstsq(a.T, own.a.T).solution
        assert torch.linalg.matrix_norm(a.T @ coordinates - own.a.T) < 1e-10
        assert own.b[:, 1:].norm() < 1e-12 * own.b.norm()


def test_fedsvds_rows_stay_in_the_span_of_a_where_a_layer_is_lower_than_the_rank():
    """One row of B alone, along A's last row: what fills A up comes from A's span alone."""
    replies, start = a_round(Shape(((1, 8, 0, 0),), 2, 4.0), (1,), 3)
    last = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    along = [replace(replies[0], adapter=with_factors(start.sent, lambda module, own: Factors(own.a, last)))]
    made = SVD(along, start).adapter
    check_orthonormal(made)
    old, new = start.sent.factors["h.0"].a, made.factors["h.0"].a
    assert torch.linalg.matrix_norm(old - old @ new.T @ new) < 1e-12


def b_as_it_was(replies, start):
    made = SVD(replies, start).adapter
    old = METHODS["ffa"].aggregate(replies, start).adapter
    return Aggregated(with_factors(made, lambda module, own: Factors(own.a, old.factors[module].b)))


def scaled_b(replies, start):
    made = SVD(replies, start).adapter
    return Aggregated(with_factors(made, lambda module, own: Factors(own.a, own.b / made.scale_of(module))))


def half_on_either_side(replies, start):
    def split(module, own):
        root = own.b.norm(dim=0).sqrt()
        return Factors(own.a * root[:, None], own.b / root)

    return Aggregated(with_factors(SVD(replies, start).adapter, split))


def test_a_wrong_fedsvd_is_found_out():
    shared = sharing(a_round(SHAPE, WEIGHTS, 4), "A")
    for mutant in (b_as_it_was, scaled_b):
        with pytest.raises(AssertionError):
            check_product_kept(mutant, shared)
    check_product_kept(half_on_either_side, shared)
    with pytest.raises(AssertionError):
        check_orthonormal(half_on_either_side(*shared).adapter)


def test_in_float32_products_are_right_to_roundings():
    shared = as_dtype(sharing(a_round(SHAPE, WEIGHTS, 4), "A"), torch.float32)
    assert apart(dense(SVD(*shared).adapter), dense_ideal(shared[0])) < 1e-6
    check_orthonormal(SVD(*shared).adapter, to=1e-6)
