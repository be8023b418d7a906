"""What holds for every method of aggregation: order, weights of zero, number formats, refusals, what it says it is."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.aggregation import METHODS, Aggregated, Reply
from fedlora_tui.lora.adapter import Adapter, Factors
from tests.federations import (
    SHAPE,
    WEIGHTS,
    Shape,
    a_round,
    as_dtype,
    content,
    random_adapter,
    rounds,
    whole_content,
    with_factors,
)

UNEQUAL = sorted(name for name, method in METHODS.items() if method.unequal_ranks)
EQUAL = sorted(METHODS.keys() - set(UNEQUAL))
both_numbers = pytest.mark.parametrize("number", [1, 2], ids=["odd round", "even round"])
every_method = pytest.mark.parametrize("name", METHODS)


def some_round(name, number=1):
    ranks = (1, 3, 2) if METHODS[name].unequal_ranks else ()
    return a_round(SHAPE, WEIGHTS, 5, ranks, torch.float32, number)


def check_order(aggregate, given_round):
    replies, start = given_round
    first = whole_content(aggregate(replies, start))
    for order in itertools.permutations(replies):
        assert whole_content(aggregate(list(order), start)) == first


def check_nobody(aggregate, given_round):
    """An organization of weight zero, before, between or behind the others, changes no byte of the common result."""
    replies, start = given_round
    first = aggregate(replies, start)
    stranger = random_adapter(SHAPE, np.random.default_rng(77), torch.float32)
    for name in ("aaa", "org-00", "zzz"):
        second = aggregate([*replies, Reply(name, stranger, 0)], start)
        kept = {org: own for org, own in second.own.items() if org != name}
        assert whole_content(replace(second, own=kept)) == whole_content(first)


@both_numbers
@every_method
def test_the_order_of_replies_changes_no_byte(name, number):
    check_order(METHODS[name].aggregate, some_round(name, number))


@both_numbers
@every_method
def test_an_organization_of_weight_zero_changes_no_byte(name, number):
    check_nobody(METHODS[name].aggregate, some_round(name, number))


def test_a_method_that_sums_as_replies_come_or_that_counts_nobody_is_found_out():
    def as_they_come(replies, start):
        """Flower's own sum, in float32 and in the order of arrival."""
        total = sum(reply.weight for reply in replies)

        def mean(module, own):
            parts = [(reply.weight / total, reply.adapter.factors[module]) for reply in replies]
            return Factors(sum(share * part.a for share, part in parts), sum(share * part.b for share, part in parts))

        return Aggregated(with_factors(replies[0].adapter, mean))

    def first_named(replies, start):
        return Aggregated(min(replies, key=lambda reply: reply.organization).adapter)

    with pytest.raises(AssertionError):
        check_order(as_they_come, some_round("fedit"))
    with pytest.raises(AssertionError):
        check_nobody(first_named, some_round("fedit"))


@both_numbers
@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_replies_number_format_and_the_ranks_and_alphas_that_were_sent(name, number, dtype):
    replies, start = as_dtype(some_round(name, number), dtype)
    result = METHODS[name].aggregate(replies, start)
    sent = start.sent
    for adapter in (result.adapter, *result.own.values()):
        assert {key: tensor.shape for key, tensor in adapter.tensors().items()} == {
            key: tensor.shape for key, tensor in sent.tensors().items()
        }
        assert list(adapter.factors) == list(sent.factors)
        assert all(tensor.dtype == dtype for tensor in adapter.tensors().values())
        assert (adapter.rank, adapter.alpha, adapter.alphas) == (sent.rank, sent.alpha, sent.alphas)
    assert all(tensor.dtype == dtype for own in result.delta.values() for tensor in (own.a, own.b))
    assert all(torch.isfinite(tensor).all() for tensor in result.adapter.tensors().values())


@every_method
@given(rounds(), st.integers(1, 2))
@settings(max_examples=8)
def test_float32_loses_no_more_than_its_own_rounding(name, given_round, number):
    replies, start = as_dtype((given_round[0], replace(given_round[1], round=number)), torch.float32)
    single = METHODS[name].aggregate(replies, start)
    double = METHODS[name].aggregate(*as_dtype((replies, start), torch.float64))
    for key, tensor in double.adapter.tensors().items():
        # One rounding of the same float64 numbers: equal to the last bit once rounded too.
        assert torch.equal(tensor.float(), single.adapter.tensors()[key])


@both_numbers
@every_method
def test_replies_and_start_stay_as_they_were(name, number):
    replies, start = some_round(name, number)
    adapters = [start.sent, start.anew, *(reply.adapter for reply in replies)]
    before = [content(adapter) for adapter in adapters]
    METHODS[name].aggregate(replies, start)
    assert [content(adapter) for adapter in adapters] == before


def misfits():
    """Adapters that fit SHAPE in all but one thing."""
    rng = np.random.default_rng(9)
    fitting = random_adapter(SHAPE, rng, torch.float32)
    yield "fewer modules", replace(fitting, factors=dict(list(fitting.factors.items())[:2]))
    yield "more modules", random_adapter(replace(SHAPE, modules=(*SHAPE.modules, (2, 2, 0, 0))), rng, torch.float32)
    yield "one column of A", with_factors(fitting, lambda module, own: Factors(own.a[:, :1], own.b))
    yield "one row of B", with_factors(fitting, lambda module, own: Factors(own.a, own.b[:1]))
    yield "rank 1 in A alone", with_factors(fitting, lambda module, own: Factors(own.a[:1], own.b))
    yield "rank 1 in B alone", with_factors(fitting, lambda module, own: Factors(own.a, own.b[:, :1]))
    yield "rank 0", with_factors(fitting, lambda module, own: Factors(own.a[:0], own.b[:, :0]))
    yield "layers the other way round", with_factors(fitting, lambda module, own: Factors(own.b.T, own.a.T))
    yield "another alpha", replace(fitting, alpha=6.5)
    yield "no alpha of its own", replace(fitting, alphas={})


@pytest.mark.parametrize(("what", "other"), misfits(), ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("position", ["aaa", "zzz"])
@every_method
def test_what_does_not_fit_is_refused_by_name_and_never_broadcast(name, position, what, other):
    replies, start = a_round(SHAPE, (1, 1), 3, (), torch.float32)
    for weight in (0, 1):
        with pytest.raises(ValueError, match=f"^{position}: an adapter"):
            METHODS[name].aggregate([*replies, Reply(position, other, weight)], start)


@pytest.mark.parametrize("name", EQUAL)
def test_another_rank_is_refused_where_a_method_needs_equal_ones(name):
    replies, start = a_round(SHAPE, (1, 1, 1), 3, (3, 2), torch.float32)
    with pytest.raises(ValueError, match=r"^org-1: an adapter whose h\.0 has A \[2, 4\]"):
        METHODS[name].aggregate(replies, start)


def test_what_is_filled_up_cannot_have_more_rows_than_the_adapter_sent():
    replies, start = a_round(SHAPE, (1, 1), 3, (3, 4), torch.float32)
    with pytest.raises(ValueError, match=r"^org-1: an adapter whose h\.0 has A \[4, 4\]"):
        METHODS["hetlora"].aggregate(replies, start)
    for name in ("flora", "flexlora"):
        METHODS[name].aggregate(replies, start)


@every_method
def test_no_reply_and_no_weight_are_refused(name):
    replies, start = some_round(name)
    nobody = [replace(reply, weight=0) for reply in replies]
    for bad in ([], nobody, [replace(replies[0], weight=-1), *replies[1:]]):
        with pytest.raises(ValueError, match="nothing to take a mean of"):
            METHODS[name].aggregate(bad, start)


@every_method
def test_where_nothing_was_learned_nothing_comes_of_it(name):
    """B of zero everywhere, as after a round of no steps: no product, no number that is none, and A alive."""
    replies, start = some_round(name)
    start = replace(start, sent=start.anew)

    def still(module, own):
        return Factors(own.a, torch.zeros_like(own.b))

    replies = [replace(reply, adapter=with_factors(reply.adapter, still)) for reply in replies]
    result = METHODS[name].aggregate(replies, start)
    for own in result.adapter.factors.values():
        assert not own.b.any()
        assert own.a.abs().sum(dim=1).min() > 0
    assert all(not (own.b.double() @ own.a.double()).any() for own in result.delta.values())


@every_method
def test_a_rank_over_the_sides_of_a_layer_is_borne(name):
    shape = Shape(((2, 3, 0, 0), (3, 2, 0, 0), (1, 1, 0, 0)), 5, 5.0)
    result = METHODS[name].aggregate(*a_round(shape, (1, 2), 4))
    for own in result.adapter.factors.values():
        assert torch.isfinite(own.a).all()
        assert own.a.abs().sum(dim=1).min() > 0


def test_the_registry_says_of_every_method_what_it_is():
    assert list(METHODS) == [
        "fedit", "ffa", "rolora", "flora", "fedex", "flexlora", "hetlora", "fair", "fedsa", "fedsvd",
    ]  # fmt: skip
    assert all(method.name == name for name, method in METHODS.items())

    def those(holds):
        return {name for name, method in METHODS.items() if holds(method)}

    assert those(lambda m: m.unequal_ranks) == {"flora", "flexlora", "hetlora"}
    assert those(lambda m: m.changes_base) == {"flora", "fedex"}
    assert those(lambda m: not m.continues) == {"flora", "flexlora", "fedsvd"}
    assert those(lambda m: m.keeps_b_at_home) == {"fedsa"}
    assert those(lambda m: m.keeps_rank) == {"fedsa", "fedsvd"}
    assert those(lambda m: m.needs == "sum") == {"fedit", "ffa", "rolora", "fedsa", "fedsvd"}
    assert those(lambda m: m.trains(1) == {"B"}) == {"ffa", "rolora", "fedsvd"}
    assert those(lambda m: m.trains(2) == {"B"}) == {"ffa", "fedsvd"}
    assert those(lambda m: m.trains(2) == {"A"}) == {"rolora"}


@every_method
def test_only_a_method_that_says_so_changes_the_base_or_keeps_adapters_apart(name):
    method = METHODS[name]
    result = method.aggregate(*some_round(name))
    assert bool(result.delta) == method.changes_base
    assert bool(result.own) == method.keeps_b_at_home
    assert isinstance(result.adapter, Adapter)
