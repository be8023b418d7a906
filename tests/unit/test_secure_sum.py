"""The secure sum by itself: it is the plain sum whoever drops out, one vector tells nothing, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.privacy.secure_sum import keys, shamir
from fedlora_tui.privacy.secure_sum.fixed_point import EXTRA_WORDS, Fixed, unit_of
from fedlora_tui.privacy.secure_sum.graph import connected, least_shares, neighbours
from fedlora_tui.privacy.secure_sum.keys import PublicKeys, Session
from fedlora_tui.privacy.secure_sum.member import Declined, Member
from fedlora_tui.privacy.secure_sum.server import Adder, SumFailed

SESSION = Session(3, bytes(range(16)))
WORD = np.dtype("<u4")


class Sum:
    """A sum up to the masked vectors, with everything that passed by."""

    def __init__(self, vectors, most=100, share=0.6, unshared=(), session=SESSION, summed=None):
        self.vectors = dict(enumerate(vectors))
        self.adder = Adder(session, most, share)
        self.members = {place: Member(session, (summed or {}).get(place)) for place in self.vectors}
        self.requests = self.adder.advertised({place: own.public for place, own in self.members.items()})
        sharing = {place: own for place, own in self.members.items() if place not in unshared}
        self.shared = {
            place: own.share(place, self.requests[place].threshold, self.requests[place].peers)
            for place, own in sharing.items()
        }
        assert all(self.adder.fits(place, own) for place, own in self.shared.items())
        self.boxes = self.adder.shared(self.shared)
        self.masked = {}
        for place, boxes in self.boxes.items():
            # What an organization keeps between two messages is written out and read back.
            member = Member.restored(json.loads(json.dumps(self.members[place].kept())))
            member.receive(boxes)
            self.masked[place] = member.mask(self.vectors[place])
            self.members[place] = Member.restored(json.loads(json.dumps(member.kept())))

    def total(self, alive, silent=(), lying=()):
        """The sum over `alive`, where some of them do not answer in the end, or answer with wrong shares."""
        self.wrong = {}
        for place, asked in self.adder.ask(alive).items():
            if place in silent:
                continue
            shares = self.members[place].unmask(asked.alive, asked.gone)
            if place in lying:
                shares = {owner: bytes([share[0] ^ 1]) + share[1:] for owner, share in shares.items()}
            self.wrong[place] = self.adder.revealed(place, shares)
        return self.adder.total({place: self.masked[place] for place in alive})


def vectors(count, length=40, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 2**32, length, np.uint32).astype(WORD) for _ in range(count)]


def plain(these, alive):
    total = np.zeros_like(these[0])
    for place in alive:
        total += these[place]
    return total


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_secure_mean_is_the_plain_one_within_its_bound_whoever_drops_out_when(data):
    count = data.draw(st.integers(3, 9))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    weights = [int(w) for w in rng.integers(1, data.draw(st.sampled_from([2, 3000, 2**24])), count)]
    fixed = Fixed(count, unit_of(max(weights)), data.draw(st.sampled_from([0.25, 1.0, 3.0])))
    updates = rng.uniform(-1.5, 1.5, (count, 30)) * fixed.range
    most = data.draw(st.sampled_from([100, 6]))
    session = Session(data.draw(st.integers(1, 5)), rng.bytes(16))
    places = list(range(count))
    threshold = least_shares(min(count - 1, most) + 1, 0.6)
    lost = count - threshold if most == 100 else 0
    early = data.draw(st.sets(st.sampled_from(places), max_size=lost))
    late = data.draw(st.sets(st.sampled_from(places), max_size=lost - len(early))) - early
    silent = data.draw(st.sets(st.sampled_from(places), max_size=lost - len(early) - len(late)))
    words = [fixed.words(update, weight) for update, weight in zip(updates, weights, strict=True)]
    run = Sum(words, most, unshared=early, session=session)
    alive = sorted(set(places) - early - late)
    mean = fixed.mean(run.total(alive, silent=silent - early - late))
    cut, own = np.clip(updates[alive], -fixed.range, fixed.range), np.array([weights[p] for p in alive], float)
    assert mean.weight == own.sum()
    assert mean.outside == np.count_nonzero(cut != updates[alive])
    wanted = (cut * own[:, None]).sum(0) / own.sum()
    assert np.abs(mean.values - wanted).max() <= fixed.bound(len(alive), mean.weight) * (1 + 1e-9)


def test_a_sum_that_is_made_again_under_new_masks_is_the_same_to_the_bit():
    these = vectors(4)
    first, second = Sum(these), Sum(these, session=replace(SESSION, nonce=bytes(16)))
    assert not np.array_equal(first.masked[0], second.masked[0])
    assert np.array_equal(first.total([0, 1, 3]), second.total([0, 1, 3]))


def test_one_masked_vector_is_spread_evenly_whatever_it_hides(monkeypatch):
    # Fixed draws in place of the system's: the numbers below are the same in every run.
    rng = np.random.default_rng(5)
    monkeypatch.setattr(keys, "new_private", lambda: rng.bytes(32))
    monkeypatch.setattr("fedlora_tui.privacy.secure_sum.member.secrets.token_bytes", rng.bytes)
    zeros = [np.zeros(1 << 16, WORD)] * 3
    run = Sum(zeros)
    for place in range(3):
        found = run.masked[place].view(np.uint8)
        counts = np.bincount(found, minlength=256)
        chi = ((counts - found.size / 256) ** 2 / (found.size / 256)).sum()
        # 255 degrees of freedom: mean 255, standard deviation 22.6.
        assert 255 - 4 * 22.6 < chi < 255 + 4 * 22.6
        # Neighbouring bytes know nothing of each other, nor do two organizations' vectors.
        centred = found.astype(float) - 127.5
        assert abs(np.corrcoef(centred[:-1], centred[1:])[0, 1]) < 4 / found.size**0.5
        other = run.masked[(place + 1) % 3].view(np.uint8)
        assert abs(np.corrcoef(found, other)[0, 1]) < 4 / found.size**0.5
    # Three vectors of zeros were hidden, and are there again where all masks are taken out.
    assert np.array_equal(run.total([0, 1, 2]), zeros[0])


def test_with_too_few_left_nothing_is_asked_and_organizations_would_not_answer():
    run = Sum(vectors(5))
    assert run.adder.threshold == 3
    with pytest.raises(SumFailed, match=r"^2 of 5 organizations are left: 2 hold .*, 3 are needed \(privacy.secure_th"):
        run.total([0, 1])
    with pytest.raises(Declined, match=r"^2 are left, 3 are needed: a sum of so few is not told"):
        run.members[0].unmask({0, 1}, {2, 3, 4})
    # A refusal leaves it as it was: asked for what is allowed, it answers.
    assert np.array_equal(run.total([0, 1, 4]), plain(run.vectors, [0, 1, 4]))
    with pytest.raises(SumFailed, match="2 organizations take part, 3 are needed"):
        Sum(vectors(2))
    with pytest.raises(SumFailed, match="2 of 5 organizations are left"):
        Sum(vectors(5), unshared={1, 2, 3})
    with pytest.raises(SumFailed, match="no organization shared its secrets"):
        Sum([np.zeros(3, WORD)] * 5, unshared=range(5))


def test_a_sum_of_two_is_never_told_though_a_third_shared():
    """Each of the two would know the other's vector: the sum less its own."""
    run = Sum(vectors(3))
    with pytest.raises(SumFailed, match=r"^2 of 3 organizations are left"):
        run.total([0, 1])
    with pytest.raises(Declined, match=r"^2 are left, 3 are needed: a sum of so few is not told"):
        run.members[0].unmask({0, 1}, {2})


def test_wrong_shares_are_found_and_left_out_and_too_many_end_the_sum():
    run = Sum(vectors(5))
    assert np.array_equal(run.total([0, 1, 2, 3], lying={1}), plain(run.vectors, [0, 1, 2, 3]))
    assert run.wrong == {0: [], 1: [0, 1, 2, 3, 4], 2: [], 3: []}
    with pytest.raises(SumFailed, match="2 good shares of one organization's secret came, 3 are needed"):
        Sum(vectors(5)).total([0, 1, 2, 3], lying={0, 1})
    with pytest.raises(SumFailed, match="2 good shares"):
        Sum(vectors(5)).total([0, 1, 2, 3, 4], silent={0, 1, 2})


@pytest.mark.parametrize("victim", ["seed", "key"])
def test_an_organization_whose_shares_give_another_secret_ends_the_sum(victim):
    run = Sum(vectors(4))
    if victim == "seed":
        run.adder._shared[2] = replace(run.shared[2], seed=bytes(16))
        alive = [0, 1, 2, 3]
    else:
        run.adder._keys[2] = PublicKeys(b"", keys.public_of(keys.new_private()))
        alive = [0, 1, 3]
    with pytest.raises(SumFailed, match=f"give another {victim} than the one it"):
        run.total(alive)


def test_shares_that_were_changed_on_their_way_or_are_of_another_session_are_declined():
    run = Sum(vectors(3))

    def member():
        fresh = Sum(vectors(3))
        fresh.members[0].stage = "shared"
        return fresh, fresh.members[0]

    again, own = member()
    box = again.boxes[0][1]
    for boxes in ({1: box[:-1] + bytes([box[-1] ^ 1]), 2: again.boxes[0][2]}, {1: again.boxes[0][2], 2: box}):
        with pytest.raises(Declined, match="not what was sealed for this organization in this round"):
            own.receive(boxes)
    with pytest.raises(Declined, match="not what was sealed"):
        own.receive(run.boxes[0])
    with pytest.raises(Declined, match="1 take part, 3 are needed"):
        own.receive({})
    with pytest.raises(Declined, match="no neighbour"):
        own.receive({7: box})


def test_a_step_comes_once_and_in_its_turn():
    run = Sum(vectors(3))
    own = run.members[0]
    for act in (
        lambda: own.share(0, 2, run.requests[0].peers),
        lambda: own.receive(run.boxes[0]),
        lambda: own.mask(run.vectors[0]),
    ):
        with pytest.raises(Declined, match=r"^out of turn: this organization has masked in round 3$"):
            act()
    fresh = Member(SESSION)
    for act in (lambda: fresh.mask(run.vectors[0]), lambda: fresh.unmask({0, 1, 2}, ())):
        with pytest.raises(Declined, match="out of turn: this organization has advertised"):
            act()


def test_nobody_gives_both_kinds_of_share_of_one_organization_nor_two_answers_to_who_dropped_out():
    run = Sum(vectors(4))
    own = run.members[0]
    with pytest.raises(Declined, match=r"^asked for both kinds of share of organization 2 of the sum$"):
        own.unmask({0, 1, 2, 3}, {2})
    with pytest.raises(Declined, match="told that it dropped out itself"):
        own.unmask({1, 2, 3}, {0})
    for others in ({0, 1, 2}, {0, 1, 2, 3, 9}):
        with pytest.raises(Declined, match="others than those that take part"):
            own.unmask(others, ())
    first = own.unmask({0, 1, 3}, {2})
    assert own.unmask({0, 1, 3}, {2}) == first  # a reply that was lost may be asked for again
    with pytest.raises(Declined, match="asked a second time who dropped out, and told otherwise than before"):
        own.unmask({0, 1, 2, 3}, ())
    # Told different things, two halves do not give both secrets of organization 2: each takes more than half.
    shares = [run.members[place].unmask({0, 1, 2, 3}, ())[2] for place in (1, 3)]
    assert len(shares) < run.adder.threshold


ALL_OF_FIVE = {place: {*range(5)} - {place} for place in range(5)}
ONE_BY_ITSELF = {
    0: {1, 2, 3, 4},
    1: {0, 5, 6, 7},
    2: {0, 8, 9, 10},
    3: {0, 5, 6, 8},
    4: {0, 7, 9, 10},
    5: {1, 3, 6, 7},
    6: {1, 3, 5, 8},
    7: {1, 4, 5, 9},
    8: {2, 3, 6, 10},
    9: {2, 4, 7, 10},
    10: {2, 4, 8, 9},
}
"""Neighbours as a server that lies hands them out: those of 0 have other neighbours each."""


@pytest.mark.parametrize(
    ("graph", "few", "gone"),
    [
        (ALL_OF_FIVE, {0, 1}, {0: {3, 4}, 1: {2, 4}, 2: {3, 4}, 3: {2, 4}, 4: {2, 3}}),
        (ONE_BY_ITSELF, {0}, {place: {1, 2, 3, 4} & ONE_BY_ITSELF[place] for place in range(5, 11)}),
    ],
    ids=["two of five", "one of eleven"],
)
def test_a_server_that_tells_each_organization_something_else_is_not_stopped(graph, few, gone):
    """It is not asked for both secrets of anybody, so nobody declines: docs/secure-sum.md says so."""
    these = dict(enumerate(vectors(len(graph))))
    members = {place: Member(SESSION) for place in graph}
    shown = {place: own.public for place, own in members.items()}
    shared = {
        place: own.share(place, 3, {peer: shown[peer] for peer in graph[place]}) for place, own in members.items()
    }
    masked = {}
    for place, own in members.items():
        own.receive({peer: shared[peer].boxes[place] for peer in graph[place]})
        masked[place] = own.mask(these[place])
    adder = Adder(SESSION, 100, 0.6)
    adder.graph, adder.threshold, adder._keys, adder._shared = graph, 3, shown, shared
    adder._alive = frozenset(few)
    for place, own in members.items():
        away = gone.get(place, set())
        told = own.unmask({place, *graph[place]} - away, away)
        adder.revealed(place, {owner: share for owner, share in told.items() if owner in few or owner in away})
    assert np.array_equal(adder.total({place: masked[place] for place in few}), plain(these, few))


def test_a_round_that_was_summed_is_summed_again_only_over_the_same_and_an_earlier_one_never():
    run = Sum(vectors(4))
    run.total([0, 1, 2])
    summed = {place: run.members[place].summed for place in (0, 1, 2)}
    again = replace(SESSION, nonce=bytes(16))
    assert np.array_equal(Sum(vectors(4), session=again, summed=summed).total([0, 1, 2]), plain(vectors(4), [0, 1, 2]))
    with pytest.raises(Declined, match=r"^round 3 was summed before, over other organizations$"):
        Sum(vectors(4), session=again, summed=summed).total([0, 1, 2, 3])
    with pytest.raises(Declined, match=r"^round 2 is over: round 3 was summed since$"):
        Member(Session(2, bytes(16)), summed[0])


def test_unsafe_terms_are_declined():
    others = {place: Member(SESSION).public for place in (1, 2, 3)}
    for threshold in (2, 5):
        with pytest.raises(Declined, match=f"a threshold of {threshold} where 4 hold shares: it must be more than hal"):
            Member(SESSION).share(0, threshold, others)
    with pytest.raises(Declined, match="a threshold of 2 where 3 hold shares: it must be more than half, and 3 or mor"):
        Member(SESSION).share(0, 2, {place: others[place] for place in (1, 2)})
    with pytest.raises(Declined, match="a secure sum takes 3 organizations or more, here are 2"):
        Member(SESSION).share(0, 2, {1: others[1]})
    with pytest.raises(Declined, match="one place or one key"):
        Member(SESSION).share(0, 3, {**others, 2: others[1]})
    for unusable in (PublicKeys(bytes(32), others[2].masking), PublicKeys(others[2].channel, bytes(32))):
        with pytest.raises(Declined, match="a public key that nothing can be agreed with"):
            Member(SESSION).share(0, 3, {**others, 2: unusable})


def test_shares_give_the_secret_from_the_threshold_on_and_nothing_below():
    secret = bytes(range(32))
    shares = shamir.split(secret, 3, range(5))
    assert shamir.combine(shares) == shamir.combine({place: shares[place] for place in (0, 2, 4)}) == secret
    # Two shares fit every other secret as well: 3a - 3b + c is what three shares give, and any c may be the third.
    a, b = (int.from_bytes(shares[place], "big") for place in (0, 1))
    other = bytes(reversed(secret))
    third = (int.from_bytes(other, "big") - 3 * a + 3 * b) % shamir.PRIME
    assert shamir.combine({0: shares[0], 1: shares[1], 2: third.to_bytes(33, "big")}) == other
    for wrong in ({}, {0: b""}, {0: b"\xff" * 33}):
        with pytest.raises(ValueError, match="no shares"):
            shamir.combine(wrong)
    with pytest.raises(ValueError, match="as many holders as its threshold"):
        shamir.split(secret, 6, range(5))


def test_a_ring_of_neighbours_is_mutual_even_and_of_one_piece():
    graph = neighbours(range(40), 9, SESSION)
    assert all(len(near) == 8 and place not in near for place, near in graph.items())
    assert all(place in graph[near] for place in graph for near in graph[place])
    assert connected(graph, range(40))
    ring = sorted(graph)
    cut = set(ring) - graph[ring[0]]
    assert not connected(graph, cut)
    assert neighbours(range(40), 9, replace(SESSION, nonce=bytes(16))) != graph


def test_numbers_that_do_not_fit_are_refused_or_cut_and_counted():
    fixed = Fixed(3, 1024, 0.5)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^nan or infinity in the update$"):
            fixed.words(np.array([0.0, bad]), 5)
    for weight in (0, 1025):
        with pytest.raises(ValueError, match=f"a weight of {weight:,} where a round's are from 1 to 1,024"):
            fixed.words(np.zeros(2), weight)
    worst = [fixed.words(np.array([9.0, -9.0, 0.5]), 1024) for _ in range(3)]
    mean = fixed.mean(sum(worst[1:], worst[0]))
    assert mean.values.tolist() == [0.5, -0.5, 0.5]
    assert (mean.weight, mean.outside, len(worst[0])) == (3 * 1024, 6, 3 + EXTRA_WORDS)


@pytest.mark.parametrize(("count", "unit", "bits"), [(64, 2**25, 32), (65, 16, 64), (8, 2**29, 64), (3, 1, 32)])
def test_words_are_narrow_where_that_is_enough_and_steps_are_as_fine_as_they_can_be(count, unit, bits):
    for range_ in (1e-3, 0.7, 1.0, 60.0, 1e5):
        fixed = Fixed(count, unit, range_)
        assert fixed.bits == (bits if range_ < 1e5 else 64)
        top = fixed.bits - 1
        largest = count * (range_ * fixed.scale + 0.5)
        assert largest < 2**top
        assert 2 * largest + count >= 2**top or range_ * fixed.scale > 2**50
        words = [fixed.words(np.array([-range_]), unit)] * count
        total = words[0].copy()
        for word in words[1:]:
            total += word
        assert fixed.mean(total).values[0] == pytest.approx(-range_, abs=fixed.bound(count, count * unit))
