"""What every defence keeps to: sizes, names, bytes, what fits together; and attacks on small rounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedlora_tui.aggregation import METHODS, Start
from fedlora_tui.aggregation.combinations import unworkable_config
from fedlora_tui.aggregation.method import Reply
from fedlora_tui.aggregation.robust import DEFENCES, check_size, defend
from fedlora_tui.config_sections import FederationConfig
from fedlora_tui.lora.adapter import Adapter, Factors
from tests.robust_rounds import MODULES, adapter, content, dense, moved, replies_of, same_bytes, scaled, start

NAMES = ["median", "trimmed-mean", "krum", "multi-krum", "bulyan", "geometric-median", "norm-bound"]
MAKE_THE_ADAPTER = {"median", "trimmed-mean", "bulyan"}
JUDGE_PRODUCTS = {"krum", "multi-krum", "bulyan", "geometric-median", "norm-bound"}
LEAST = {"krum": (2, 3), "multi-krum": (2, 3), "bulyan": (4, 3)}


def few(count, dtype=torch.float32, seed=1):
    rng = np.random.default_rng(seed)
    sent = adapter(rng, dtype=dtype)
    return replies_of([moved(sent, rng, 0.3) for _ in range(count)], [float(i + 1) for i in range(count)]), sent


def test_the_registry_says_what_each_goes_with():
    assert list(DEFENCES) == NAMES
    for name, defence in DEFENCES.items():
        assert defence.name == name
        assert ("replies" in defence.goes_with) == (name not in MAKE_THE_ADAPTER)
        assert "sum" in defence.goes_with
        assert defence.products == (name in JUDGE_PRODUCTS)
        assert defence.unequal_ranks == (name not in MAKE_THE_ADAPTER)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("byzantine", [0, 1, 2, 5])
def test_sizes_that_the_theory_does_not_allow_are_refused_by_name(name, byzantine):
    per, beyond = LEAST.get(name, (2, 1))
    least = per * byzantine + beyond
    check_size(name, least, byzantine)
    with pytest.raises(ValueError, match=f"^{name} needs {per}f\\+{beyond} replies: with byzantine = {byzantine} "):
        check_size(name, least - 1, byzantine)
    replies, sent = few(least)
    defend(name, byzantine, replies, start(sent))
    if least > 1:
        with pytest.raises(ValueError, match=f"{name} needs"):
            defend(name, byzantine, replies[1:], start(sent))


def test_the_refusal_says_all_of_it():
    with pytest.raises(ValueError, match=r"^bulyan needs 4f\+3 replies: with byzantine = 2 that is 11, there are 8$"):
        check_size("bulyan", 8, 2)
    with pytest.raises(ValueError, match=r"that is 5, there is 1$"):
        check_size("krum", 1, 1)
    with pytest.raises(ValueError, match="byzantine = -1"):
        check_size("median", 8, -1)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_replies_changes_no_byte(name):
    replies, sent = few(8)
    first = defend(name, 1, replies, start(sent))
    rng = np.random.default_rng(3)
    for _ in range(6):
        order = [replies[place] for place in rng.permutation(len(replies))]
        assert same_bytes(defend(name, 1, order, start(sent)), first)
    assert not same_bytes(defend(name, 1, few(8, seed=2)[0], start(sent)), first)


@pytest.mark.parametrize("name", NAMES)
def test_an_organization_of_weight_zero_is_nowhere(name):
    replies, sent = few(7)
    nobody = Reply("aaa", scaled(sent, 1e9), 0)
    assert same_bytes(defend(name, 1, [nobody, *replies], start(sent)), defend(name, 1, replies, start(sent)))
    per, beyond = LEAST.get(name, (2, 1))
    with pytest.raises(ValueError, match=f"there are {per + beyond - 1}$"):
        defend(name, 1, [nobody, *replies[: per + beyond - 1]], start(sent))


def test_weights_that_have_no_mean_are_refused():
    replies, sent = few(5)
    for bad in ([], [replace(reply, weight=0) for reply in replies], [replace(replies[0], weight=-1), *replies[1:]]):
        with pytest.raises(ValueError, match="nothing to take a mean of"):
            defend("median", 0, bad, start(sent))


@pytest.mark.parametrize("name", NAMES)
def test_the_replies_stay_as_they_were(name):
    replies, sent = few(8)
    before = [content(reply.adapter) for reply in replies], content(sent)
    defend(name, 1, replies, start(sent))
    assert ([content(reply.adapter) for reply in replies], content(sent)) == before


@pytest.mark.parametrize("name", NAMES)
def test_sums_run_in_float64_and_are_rounded_once_to_the_replies_format(name):
    replies, sent = few(8)
    wide = [
        replace(
            r,
            adapter=replace(
                r.adapter, factors={m: Factors(f.a.double(), f.b.double()) for m, f in r.adapter.factors.items()}
            ),
        )
        for r in replies
    ]
    ours, exact = defend(name, 1, replies, start(sent)), defend(name, 1, wide, start(sent))
    narrow = [r.adapter for r in ours.replies] + [ours.adapter] * (ours.adapter is not None)
    whole = [r.adapter for r in exact.replies] + [exact.adapter] * (exact.adapter is not None)
    for one, other in zip(narrow, whole, strict=True):
        for key, tensor in one.tensors().items():
            assert tensor.dtype == torch.float32
            assert tensor.equal(other.tensors()[key].float())
    assert [r.weight for r in ours.replies] == [r.weight for r in exact.replies]


@pytest.mark.parametrize("name", NAMES)
def test_ranks_of_their_own_go_with_products_and_not_with_coordinates(name):
    rng = np.random.default_rng(4)
    sent = adapter(rng, rank=4)
    mixed = replies_of([adapter(rng, rank=rank) for rank in (4, 1, 2, 4, 3, 4, 2, 1)])
    if DEFENCES[name].unequal_ranks:
        assert defend(name, 1, mixed, start(sent)).adapter is None
    else:
        with pytest.raises(ValueError, match=f"org-0.: {name} goes coordinate by coordinate"):
            defend(name, 1, mixed, start(sent))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("modules", [{"h.0": (9, 4)}, {**MODULES, "h.1": (8, 3)}], ids=["fewer", "other"])
def test_adapters_of_other_layers_are_refused(name, modules):
    replies, sent = few(7)
    other = adapter(np.random.default_rng(1), modules, dtype=torch.float32)
    with pytest.raises(ValueError, match="org-06"):
        defend(name, 1, [*replies[:6], replace(replies[6], adapter=other)], start(sent))


@pytest.mark.parametrize("name", ["median", "trimmed-mean", "bulyan"])
def test_the_same_rank_under_another_alpha_has_other_coordinates(name):
    replies, sent = few(7)
    others = [
        replace(replies[6], adapter=replace(replies[6].adapter, **change))
        for change in ({"alpha": 8.0}, {"alphas": {"h.0": 1.0}})
    ]
    for other in others:
        with pytest.raises(ValueError, match="coordinate by coordinate"):
            defend(name, 0, [*replies[:6], other], start(sent))


def test_modules_of_other_alphas_are_measured_by_them():
    """A quarter of B under four times the alpha is the same update; two of three replies are then in one place."""
    rng = np.random.default_rng(5)
    plain, far = adapter(rng), adapter(rng)
    quartered = {m: Factors(f.a, f.b / 4 if m == "h.0" else f.b) for m, f in plain.factors.items()}
    same = Adapter(quartered, 2, 4.0, {"h.0": 16.0})
    np.testing.assert_allclose(dense(same), dense(plain))
    going = defend("geometric-median", 1, replies_of([plain, same, far]), start(plain)).replies
    np.testing.assert_allclose([reply.weight for reply in going], [0.5, 0.5, 0], atol=1e-4)


def mean_of_products(replies):
    return np.average([dense(r.adapter) for r in replies], axis=0, weights=[r.weight for r in replies])


def mean_of_factors(replies):
    weights = torch.tensor([r.weight for r in replies]) / sum(r.weight for r in replies)
    first = replies[0].adapter
    factors = {
        m: Factors(
            sum(w * r.adapter.factors[m].a for w, r in zip(weights, replies, strict=True)),
            sum(w * r.adapter.factors[m].b for w, r in zip(weights, replies, strict=True)),
        )
        for m in first.factors
    }
    return dense(replace(first, factors=factors))


@pytest.mark.parametrize("goes_on", [mean_of_products, mean_of_factors])
@pytest.mark.parametrize("by", [-10.0, 100.0])
@pytest.mark.parametrize("name", NAMES)
def test_3_of_15_scaled_replies_do_not_carry_the_round_away(name, by, goes_on):
    rng = np.random.default_rng(6)
    sent = adapter(rng, {"h.0": (20, 12), "h.1": (8, 16)}, rank=3)
    common = adapter(rng, {"h.0": (20, 12), "h.1": (8, 16)}, rank=3, size=0.3)
    honest = [moved(sent, rng, 0.1, common) for _ in range(15)]
    replies = replies_of([scaled(one, by) if place in (2, 7, 11) else one for place, one in enumerate(honest)])
    clean = mean_of_products([reply for place, reply in enumerate(replies) if place not in (2, 7, 11)])
    whole = np.linalg.norm(clean - dense(sent))
    made = defend(name, 3, replies, start(sent))
    result = dense(made.adapter) if made.adapter else goes_on(made.replies)
    assert np.linalg.norm(result - clean) < 0.6 * whole
    assert np.linalg.norm(goes_on(replies) - clean) > 2 * whole
    wrong = {"org-02", "org-07", "org-11"}
    if name in ("krum", "multi-krum", "bulyan"):
        assert wrong <= set(made.left_out)
    if name == "norm-bound":
        assert wrong <= set(made.shortened)
    if name == "geometric-median":
        assert sum(r.weight for r in made.replies if r.organization in wrong) < 0.05


def test_a_hostile_basis_is_seen_by_coordinates_and_not_by_products():
    """What the package's first lines say: an honest product in a basis that ruins a plain mean of factors."""
    rng = np.random.default_rng(7)
    sent = adapter(rng)
    honest = replies_of([moved(sent, rng, 0.1) for _ in range(9)])
    clean = mean_of_products(honest)
    size = np.linalg.norm(clean - dense(sent))
    best = defend("krum", 1, honest, start(sent)).replies[0]
    there = {m: Factors(f.a * 1e-6, f.b * 1e6) for m, f in best.adapter.factors.items()}
    hostile = replace(best, adapter=replace(best.adapter, factors=there))
    replies = [hostile if reply is best else reply for reply in honest]
    chosen = defend("multi-krum", 1, replies, start(sent)).replies
    assert any(reply is hostile for reply in chosen)
    assert np.linalg.norm(mean_of_products(chosen) - clean) < 3 * size
    assert np.linalg.norm(mean_of_factors(chosen) - clean) > 100 * size
    for name in ("median", "trimmed-mean", "bulyan"):
        assert np.linalg.norm(dense(defend(name, 1, replies, start(sent)).adapter) - clean) < 3 * size


def hostile_round(method, times):
    """A round in which one of seven replies goes so many times as far as it went; all the others are the same."""
    rng = np.random.default_rng(11)
    sent, trained = adapter(rng), METHODS[method].trains(1)

    def step(tensor, factor, size):
        way = torch.tensor(0.02 * rng.standard_normal(tuple(tensor.shape)))
        return tensor + size * way if factor in trained else tensor

    replies = [
        {m: Factors(step(f.a, "A", size), step(f.b, "B", size)) for m, f in sent.factors.items()}
        for size in (1, 1, 1, times, 1, 1, 1)
    ]
    anew = replace(sent, factors={m: Factors(f.a, torch.zeros_like(f.b)) for m, f in sent.factors.items()})
    return replies_of([replace(sent, factors=own) for own in replies]), Start(1, sent, lambda: anew)


def gone(method, name, times):
    """How far the next round starts from where this one did, in whole products."""
    replies, begun = hostile_round(method, times)
    defended = defend(name, 1, replies, begun)
    made = METHODS[method].aggregate(defended.replies, begun) if defended.adapter is None else None
    whole = dense(defended.adapter if made is None else made.adapter) - dense(begun.sent)
    if made is not None and made.delta:
        whole += np.concatenate([(f.b @ f.a).numpy().ravel() for _, f in sorted(made.delta.items())])
    return np.linalg.norm(whole)


def test_whatever_goes_together_bears_one_reply_that_is_a_thousand_times_too_long():
    together = 0
    for method in METHODS:
        for name in DEFENCES:
            if unworkable_config(FederationConfig(aggregation=method, robust=name, byzantine=1), 7) is None:
                together += 1
                clean = gone(method, name, 1)
                for times in (1000, -1000):
                    assert gone(method, name, times) < 3 * clean, (method, name, times)
    assert together > 40
    assert gone("hetlora", "geometric-median", 1000) > 1000 * gone("hetlora", "geometric-median", 1)
