"""The server in a secure sum: it relays keys and sealed shares, adds up what is masked, and takes the masks out.

It checks what organizations send: a share that is not the one that its owner is bound to is left out, and a secret that
does not fit what was advertised ends the sum. Nothing is asked for before it is sure that the sum can be told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from fedlora_tui.privacy.secure_sum import keys, shamir
from fedlora_tui.privacy.secure_sum.graph import Graph, connected, least_shares, neighbours
from fedlora_tui.privacy.secure_sum.keys import PublicKeys, Session
from fedlora_tui.privacy.secure_sum.masks import Words, stream
from fedlora_tui.privacy.secure_sum.member import LEAST_HOLDERS, Shared, pair_key, seed_key, share_commitment


class SumFailed(ValueError):
    """A sum that cannot be told, with the reason."""


@dataclass(frozen=True)
class Request:
    """What one organization is told so that it can share: its place, the threshold, and its neighbours' keys."""

    place: int
    threshold: int
    peers: Mapping[int, PublicKeys]


@dataclass(frozen=True)
class Unmasking:
    """What one organization is asked in the end: who of those it shares masks with is still here, and who is gone."""

    alive: frozenset[int]
    gone: frozenset[int]


class Adder:
    """The server's side of one session. Organizations are places, numbers from 0."""

    def __init__(self, session: Session, most_neighbours: int, share: float) -> None:
        """`share` of those that hold an organization's shares must give them for its secret to be known."""
        self.session = session
        self.threshold = 0
        self.graph: Graph = {}
        self._most, self._share = most_neighbours, share
        self._keys: dict[int, PublicKeys] = {}
        self._shared: dict[int, Shared] = {}
        self._revealed: dict[int, dict[int, bytes]] = {}
        self._alive: frozenset[int] = frozenset()

    def advertised(self, public: Mapping[int, PublicKeys]) -> dict[int, Request]:
        """Take the public keys of those who take part; give what each is told to share by. Raises SumFailed."""
        if len(public) < LEAST_HOLDERS:
            raise SumFailed(f"{len(public)} organizations take part, {LEAST_HOLDERS} are needed")
        self._keys = dict(public)
        self.graph = neighbours(public, self._most, self.session)
        self.threshold = least_shares(min(len(own) for own in self.graph.values()) + 1, self._share)
        return {
            place: Request(place, self.threshold, {peer: public[peer] for peer in sorted(self.graph[place])})
            for place in sorted(public)
        }

    def fits(self, place: int, shared: Shared) -> bool:
        """Tell whether an organization shared with exactly its neighbours."""
        near = self.graph[place]
        return shared.boxes.keys() == near and shared.commitments.keys() == near | {place}

    def shared(self, shared: Mapping[int, Shared]) -> dict[int, dict[int, bytes]]:
        """Take what each shared; give the sealed shares that each is to be sent, by sender. Raises SumFailed."""
        if not shared:
            raise SumFailed("no organization shared its secrets")
        self._shared = dict(shared)
        self._can_tell(shared.keys())
        return {
            place: {peer: shared[peer].boxes[place] for peer in sorted(self.graph[place] & shared.keys())}
            for place in sorted(shared)
        }

    def ask(self, alive: Collection[int]) -> dict[int, Unmasking]:
        """Give what each is asked whose masked vector counts. Raises SumFailed where too few are left."""
        self._can_tell(alive)
        self._alive = frozenset(alive)
        requests = {}
        for place in sorted(alive):
            near = (self.graph[place] & self._shared.keys()) | {place}
            requests[place] = Unmasking(near & self._alive, near - self._alive)
        return requests

    def _can_tell(self, alive: Collection[int]) -> None:
        """Raise SumFailed where these cannot give every secret that is needed, or would give more than one sum."""
        left = set(alive)
        for place in self._shared:
            near = self.graph[place] & left
            holders = near | ({place} & left)
            if (near or place in left) and len(holders) < self.threshold:
                raise SumFailed(
                    f"{len(left)} of {len(self._keys)} organizations are left: {len(holders)} hold shares of one "
                    f"organization's secrets, {self.threshold} are needed (privacy.secure_threshold)"
                )
        if not connected(self.graph, left):
            raise SumFailed("those that are left share masks in groups apart, and each would be summed by itself")

    def revealed(self, place: int, shares: Mapping[int, bytes]) -> list[int]:
        """Take one organization's shares; give the owners of those that are wrong, which are left out."""
        wrong = []
        for owner, share in shares.items():
            kind = "seed" if owner in self._alive else "masking"
            bound = self._shared[owner].commitments[place][kind == "seed"]
            if keys.same(bound, share_commitment(self.session, owner, place, kind, share)):
                self._revealed.setdefault(owner, {})[place] = share
            else:
                wrong.append(owner)
        return wrong

    def total(self, masked: Mapping[int, Words]) -> Words:
        """Give the sum of the vectors of those who were asked, without its masks. Raises SumFailed."""
        first = masked[min(self._alive)]
        total = np.zeros_like(first)
        for place in sorted(self._alive):
            total += masked[place]
            total -= stream(self._seed_key(place), len(total), total.dtype)
        for place in sorted(self._shared.keys() - self._alive):
            near = sorted(self.graph[place] & self._alive)
            masking = self._masking_key(place) if near else b""
            for peer in near:
                secret = keys.agreed(masking, self._keys[peer].masking)
                mask = stream(pair_key(secret, self.session, place, peer), len(total), total.dtype)
                total = total - mask if peer < place else total + mask
        return total

    def _seed_key(self, place: int) -> bytes:
        seed = self._secret(place)
        if not keys.same(keys.commitment(seed, self.session, "seed"), self._shared[place].seed):
            raise SumFailed("an organization's shares give another seed than the one it is bound to")
        return seed_key(seed, self.session)

    def _masking_key(self, place: int) -> bytes:
        private = self._secret(place)
        if not keys.same(keys.public_of(private), self._keys[place].masking):
            raise SumFailed("an organization's shares give another key than the one it advertised")
        return private

    def _secret(self, owner: int) -> bytes:
        shares = self._revealed.get(owner, {})
        if len(shares) < self.threshold:
            raise SumFailed(
                f"{len(shares)} good shares of one organization's secret came, {self.threshold} are needed "
                "(privacy.secure_threshold)"
            )
        try:
            return shamir.combine({holder: shares[holder] for holder in sorted(shares)[: self.threshold]})
        except ValueError as error:
            raise SumFailed(str(error)) from None
