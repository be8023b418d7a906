"""HetLoRA against its dense definition: zeros filled up, weights by the norms of the products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from fedlora_tui.aggregation import METHODS, Aggregated, Reply, shares
from fedlora_tui.lora.adapter import Adapter, Factors
from tests.federations import SHAPE, WEIGHTS, a_round, dense, rounds, with_factors

HET = METHODS["hetlora"].aggregate
EXAMPLE = a_round(SHAPE, WEIGHTS, 11, (1, 3, 2))


def dense_weights(replies):
    norms = [
        sum(float((update**2).sum()) for update in dense(reply.adapter).values()) ** 0.5 if reply.weight else 0.0
        for reply in replies
    ]
    return np.array(norms) / sum(norms)


def padded(adapter, module, rank):
    own = adapter.factors[module]
    a, b = np.zeros((rank, own.a.shape[1])), np.zeros((own.b.shape[0], rank))
    a[: own.a.shape[0]], b[:, : own.a.shape[0]] = own.a, own.b
    return a, b


def check_definition(aggregate, given_round):
    replies, start = given_round
    made, weights = aggregate(replies, start).adapter, dense_weights(replies)
    for module, sent in start.sent.factors.items():
        rank = sent.a.shape[0]
        parts = [padded(reply.adapter, module, rank) for reply in replies]
        a, b = (sum(w * part[side] for w, part in zip(weights, parts, strict=True)) for side in (0, 1))
        trained = max(
            reply.adapter.factors[module].a.shape[0] for w, reply in zip(weights, replies, strict=True) if w > 0
        )
        a[trained:] = sent.a[trained:]
        np.testing.assert_allclose(made.factors[module].a, a, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(made.factors[module].b, b, rtol=1e-10, atol=1e-12)
        assert np.abs(made.factors[module].a.numpy()).sum(axis=1).min() > 0


@given(rounds(unequal=True))
@settings(max_examples=60)
def test_hetlora_is_its_dense_definition(given_round):
    check_definition(HET, given_round)


def weights_of_tokens(replies, start):
    """The mean of filled-up factors by p_i."""
    weighted = shares(replies)

    def mean(module, sent):
        parts = [(share, padded(reply.adapter, module, sent.a.shape[0])) for share, reply in weighted]
        return Factors(*(torch.tensor(sum(share * part[side] for share, part in parts)) for side in (0, 1)))

    return Aggregated(with_factors(start.sent, mean))


def weights_of_each_module(replies, start):
    """Norms of a module weigh that module alone."""
    made = {}
    for module in start.sent.factors:
        one = [
            replace(
                reply,
                adapter=replace(
                    reply.adapter,
                    factors={m: Factors(f.a, f.b * (m == module)) for m, f in reply.adapter.factors.items()},
                ),
            )
            for reply in replies
        ]
        made[module] = HET(one, start).adapter.factors[module]
    return Aggregated(replace(start.sent, factors=made))


def squares_of_norms(replies, start):
    twice = [
        replace(reply, adapter=reply.adapter, weight=weight)
        for reply, weight in zip(replies, dense_weights(replies) ** 2, strict=True)
    ]
    return weights_of_tokens(twice, start)


def dead_rows(replies, start):
    def dead(module, own):
        trained = max(reply.adapter.factors[module].a.shape[0] for reply in replies)
        return Factors(torch.cat([own.a[:trained], 0 * own.a[trained:]]), own.b)

    return Aggregated(with_factors(HET(replies, start).adapter, dead))


@pytest.mark.parametrize(
    "mutant",
    [weights_of_tokens, weights_of_each_module, squares_of_norms, dead_rows],
    ids=lambda mutant: mutant.__name__,
)
def test_another_definition_is_found_out(mutant):
    low = a_round(SHAPE, WEIGHTS, 11, (1, 2, 2, 1))
    check_definition(HET, low)
    with pytest.raises(AssertionError):
        check_definition(mutant, low)


def test_weights_of_norms_do_not_depend_on_how_much_text_there_is():
    replies, start = EXAMPLE
    more = [replace(reply, weight=7 * index + 1) for index, reply in enumerate(replies)]
    for one, other in zip(*(HET(some, start).adapter.factors.values() for some in (replies, more)), strict=True):
        assert torch.equal(one.a, other.a)
        assert torch.equal(one.b, other.b)


def test_where_all_products_are_nothing_tokens_weigh():
    replies, start = EXAMPLE
    still = [
        replace(reply, adapter=with_factors(reply.adapter, lambda module, own: Factors(own.a, 0 * own.b)))
        for reply in replies
    ]
    made, expected = HET(still, start).adapter, weights_of_tokens(still, start).adapter
    for module, own in made.factors.items():
        assert torch.allclose(own.a, expected.factors[module].a, rtol=1e-12, atol=0)
        assert not own.b.any()


def test_a_row_whose_only_trainer_has_no_weight_keeps_what_was_sent():
    sent = Adapter({"h": Factors(torch.full((3, 2), 5.0), torch.ones(4, 3))}, 3, 3.0)
    low = Adapter({"h": Factors(torch.ones(1, 2), torch.ones(4, 1))}, 1, 1.0)
    idle = Adapter({"h": Factors(torch.ones(3, 2), torch.zeros(4, 3))}, 3, 3.0)
    start = replace(EXAMPLE[1], sent=sent)
    made = HET([Reply("a", low, 1), Reply("b", idle, 1)], start).adapter.factors["h"]
    assert made.a.tolist() == [[1, 1], [5, 5], [5, 5]]
    assert made.b.tolist() == [[1, 0, 0]] * 4
