"""FedSA-LoRA: A is common, B stays each organization's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from fedlora_tui.aggregation import METHODS
from fedlora_tui.lora.adapter import Factors
from tests.federations import SHAPE, WEIGHTS, a_round, mean_of, rounds, with_factors

FEDSA = METHODS["fedsa"].aggregate
EXAMPLE = a_round(SHAPE, WEIGHTS, 11)


def check_common_a_and_own_b(aggregate, given_round):
    replies, start = given_round
    result = aggregate(replies, start)
    assert list(result.own) == [reply.organization for reply in replies]
    for module, sent in start.sent.factors.items():
        mean = mean_of(replies, module, "a")
        np.testing.assert_allclose(result.adapter.factors[module].a, mean, rtol=1e-12, atol=1e-13)
        assert torch.equal(result.adapter.factors[module].b, sent.b)
        for reply in replies:
            own = result.own[reply.organization].factors[module]
            assert torch.equal(own.a, result.adapter.factors[module].a)
            assert torch.equal(own.b, reply.adapter.factors[module].b)


@given(rounds())
@settings(max_examples=40)
def test_everybody_has_the_mean_a_and_a_b_of_its_own(given_round):
    check_common_a_and_own_b(FEDSA, given_round)


def averaged_b(replies, start):
    common = METHODS["fedit"].aggregate(replies, start).adapter
    return replace(FEDSA(replies, start), own={reply.organization: common for reply in replies})


def own_a(replies, start):
    return replace(FEDSA(replies, start), own={reply.organization: reply.adapter for reply in replies})


def mean_b_for_all(replies, start):
    return replace(FEDSA(replies, start), adapter=METHODS["fedit"].aggregate(replies, start).adapter)


def someone_elses_b(replies, start):
    result = FEDSA(replies, start)
    names = list(result.own)
    return replace(result, own=dict(zip(names, [result.own[name] for name in names[1:] + names[:1]], strict=True)))


@pytest.mark.parametrize(
    "mutant", [averaged_b, own_a, mean_b_for_all, someone_elses_b], ids=lambda mutant: mutant.__name__
)
def test_another_sharing_is_found_out(mutant):
    with pytest.raises(AssertionError):
        check_common_a_and_own_b(mutant, EXAMPLE)


def test_one_organizations_b_touches_nothing_of_anothers():
    replies, start = EXAMPLE
    other = replace(replies[0], adapter=with_factors(replies[0].adapter, lambda module, own: Factors(own.a, own.b + 1)))
    before, after = FEDSA(replies, start), FEDSA([other, *replies[1:]], start)
    for name in ("org-1", "org-2", "org-3"):
        for module, own in after.own[name].factors.items():
            assert torch.equal(own.b, before.own[name].factors[module].b)
            assert torch.equal(own.a, before.own[name].factors[module].a)
