"""An organization in a secure sum: what it draws, gives away and keeps, and what it refuses to do.

It trusts the server to relay and to add, and checks what it can: a step comes once and in its turn, of its own session
alone; a secret takes more than half of its holders; of each neighbour one kind of share is given, and the answer to who
dropped out is given once. Whoever asks for something else learns nothing.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlora_tui.privacy.secure_sum import keys, shamir
from fedlora_tui.privacy.secure_sum.keys import KEY_BYTES, PublicKeys, Session
from fedlora_tui.privacy.secure_sum.masks import Words, stream

LEAST_HOLDERS = 3
"""So many share, and so many are left in the end: a sum of two would tell each of them the other's vector."""

BOX_BYTES = 2 * shamir.SHARE_BYTES + 16
"""A sealed pair of shares: those of the masking key and of the seed, and what authenticates them."""

UNUSABLE = "a public key that nothing can be agreed with"

STAGES = ("advertised", "shared", "received", "masked", "unmasked")


class Declined(ValueError):
    """What an organization does not do, with its reason."""


@dataclass(frozen=True)
class Shared:
    """What an organization sends of its secrets: sealed shares by holder, and what binds it to all of them.

    `commitments` are, by holder, of the shares of masking key and seed; its own shares it keeps, and binds itself to.
    """

    boxes: Mapping[int, bytes]
    commitments: Mapping[int, tuple[bytes, bytes]]
    seed: bytes


@dataclass(frozen=True)
class Summed:
    """The last round that an organization helped to sum, and over whom: `alive` is a digest."""

    round: int
    alive: bytes


class Member:
    """One organization's side of one session."""

    def __init__(self, session: Session, summed: Summed | None = None) -> None:
        """Draw the keys of a session. Declined where its round is over: it was summed, and a later one was, too."""
        if summed is not None and session.round < summed.round:
            raise Declined(f"round {session.round} is over: round {summed.round} was summed since")
        self.session, self.summed = session, summed
        self.stage = "advertised"
        self.place = self.threshold = 0
        self._channel, self._masking, self._seed = keys.new_private(), keys.new_private(), b""
        self._peers: dict[int, PublicKeys] = {}
        self._received: dict[int, tuple[bytes, bytes]] = {}
        self._answered = b""

    @property
    def public(self) -> PublicKeys:
        """The public keys, to advertise."""
        return PublicKeys(keys.public_of(self._channel), keys.public_of(self._masking))

    def share(self, place: int, threshold: int, peers: Mapping[int, PublicKeys]) -> Shared:
        """Split seed and masking key among the neighbours and itself. Declined where terms or keys are unsafe."""
        self._turn("advertised")
        holders = sorted({*peers, place})
        shown = [key for own in (*peers.values(), self.public) for key in (own.channel, own.masking)]
        if place in peers or len(set(shown)) < len(shown):
            raise Declined("two organizations of a sum have one place or one key")
        for own in peers.values():
            self._can_agree_with(own)
        if len(holders) < LEAST_HOLDERS:
            raise Declined(f"a secure sum takes {LEAST_HOLDERS} organizations or more, here are {len(holders)}")
        if not max(len(holders) // 2 + 1, LEAST_HOLDERS) <= threshold <= len(holders):
            raise Declined(
                f"a threshold of {threshold} where {len(holders)} hold shares: it must be more than half, and "
                f"{LEAST_HOLDERS} or more"
            )
        self.place, self.threshold, self._peers = place, threshold, dict(peers)
        self._seed = secrets.token_bytes(KEY_BYTES)
        masking = shamir.split(self._masking, threshold, holders)
        seed = shamir.split(self._seed, threshold, holders)
        self._received[place] = masking[place], seed[place]
        boxes = {peer: self._seal(peer, masking[peer] + seed[peer]) for peer in peers}
        commitments = {
            holder: (
                share_commitment(self.session, place, holder, "masking", masking[holder]),
                share_commitment(self.session, place, holder, "seed", seed[holder]),
            )
            for holder in holders
        }
        self.stage = "shared"
        return Shared(boxes, commitments, keys.commitment(self._seed, self.session, "seed"))

    def receive(self, boxes: Mapping[int, bytes]) -> None:
        """Take the neighbours' shares; who sent none takes no part. Declined where one is not what was sealed."""
        self._turn("shared")
        if not boxes.keys() <= self._peers.keys():
            raise Declined("shares of an organization that is no neighbour")
        if len(boxes) + 1 < self.threshold:
            raise Declined(f"{len(boxes) + 1} take part, {self.threshold} are needed")
        for peer, box in boxes.items():
            text = self._open(peer, box)
            self._received[peer] = text[: shamir.SHARE_BYTES], text[shamir.SHARE_BYTES :]
        self.stage = "received"

    def mask(self, words: Words) -> Words:
        """Hide a vector under the seed's mask and those shared with each neighbour that takes part; once."""
        self._turn("received")
        masked = words + stream(seed_key(self._seed, self.session), len(words), words.dtype)
        for peer in sorted(self._received.keys() - {self.place}):
            secret = keys.agreed(self._masking, self._peers[peer].masking)
            key = pair_key(secret, self.session, self.place, peer)
            masked = _added(masked, stream(key, len(words), words.dtype), self.place < peer)
        self.stage = "masked"
        return masked

    def unmask(self, alive: Collection[int], gone: Collection[int]) -> dict[int, bytes]:
        """Give, by owner, a share of the seed of each in `alive`, and of the masking key of each in `gone`.

        Declined where both kinds are asked for, or another set than before, or too few are left.
        """
        present, absent = set(alive), set(gone)
        digest = hashlib.sha256(json.dumps([sorted(present), sorted(absent)]).encode()).digest()
        if self.stage == "unmasked" and not keys.same(digest, self._answered):
            raise Declined("asked a second time who dropped out, and told otherwise than before")
        if self.stage != "unmasked":
            self._turn("masked")
        if both := sorted(present & absent):
            raise Declined(f"asked for both kinds of share of organization {both[0]} of the sum")
        if present | absent != self._received.keys():
            raise Declined("asked for shares of others than those that take part")
        if self.place not in present:
            raise Declined("told that it dropped out itself")
        if len(present) < self.threshold:
            raise Declined(f"{len(present)} are left, {self.threshold} are needed: a sum of so few is not told")
        if self.summed is not None and self.summed.round == self.session.round and self.summed.alive != digest:
            raise Declined(f"round {self.session.round} was summed before, over other organizations")
        self.stage, self._answered, self.summed = "unmasked", digest, Summed(self.session.round, digest)
        # Whoever reads what is kept later learns no key that hid anything.
        self._channel = self._masking = self._seed = b""
        return {owner: self._received[owner][owner in present] for owner in sorted(present | absent)}

    def _can_agree_with(self, peer: PublicKeys) -> None:
        try:
            keys.agreed(self._channel, peer.channel)
            keys.agreed(self._masking, peer.masking)
        except ValueError:
            raise Declined(UNUSABLE) from None

    def _turn(self, stage: str) -> None:
        if self.stage != stage:
            raise Declined(f"out of turn: this organization has {self.stage} in round {self.session.round}")

    def _seal(self, peer: int, text: bytes) -> bytes:
        key, bound = self._channel_key(peer, self.place, peer)
        return keys.sealed(key, text, bound)

    def _open(self, peer: int, box: bytes) -> bytes:
        key, bound = self._channel_key(peer, peer, self.place)
        try:
            text = keys.opened(key, box, bound)
        except ValueError as error:
            raise Declined(str(error)) from None
        if len(text) != 2 * shamir.SHARE_BYTES:
            raise Declined("a sealed message holds something else than two shares")
        return text

    def _channel_key(self, peer: int, sender: int, holder: int) -> tuple[bytes, bytes]:
        """Give the key that one direction between two is sealed with, and what is bound to the message beside it."""
        bound = sender.to_bytes(8, "big") + holder.to_bytes(8, "big")
        secret = keys.agreed(self._channel, self._peers[peer].channel)
        return keys.derived(secret, self.session, "channel", bound), bound

    def kept(self) -> dict[str, Any]:
        """Give all of it as plain values, for an organization to keep between two messages; nobody else may see it."""
        return {
            "round": self.session.round,
            "nonce": self.session.nonce.hex(),
            "stage": self.stage,
            "place": self.place,
            "threshold": self.threshold,
            "own": [part.hex() for part in (self._channel, self._masking, self._seed, self._answered)],
            "peers": {str(peer): [own.channel.hex(), own.masking.hex()] for peer, own in self._peers.items()},
            "received": {str(peer): [part.hex() for part in own] for peer, own in self._received.items()},
            "summed": [self.summed.round, self.summed.alive.hex()] if self.summed is not None else None,
        }

    @classmethod
    def restored(cls, kept: Mapping[str, Any]) -> Member:
        """Go on from what was kept."""
        member = cls.__new__(cls)
        member.session = Session(kept["round"], bytes.fromhex(kept["nonce"]))
        member.stage, member.place, member.threshold = kept["stage"], kept["place"], kept["threshold"]
        own = map(bytes.fromhex, kept["own"])
        member._channel, member._masking, member._seed, member._answered = own
        member._peers = {int(peer): PublicKeys(*map(bytes.fromhex, own)) for peer, own in kept["peers"].items()}
        received = {int(peer): tuple(map(bytes.fromhex, own)) for peer, own in kept["received"].items()}
        member._received = received  # type: ignore[assignment]
        summed = kept["summed"]
        member.summed = Summed(summed[0], bytes.fromhex(summed[1])) if summed else None
        return member


def seed_key(seed: bytes, session: Session) -> bytes:
    """Give the key of the mask that an organization has by itself."""
    return keys.derived(seed, session, "own mask")


def pair_key(secret: bytes, session: Session, one: int, other: int) -> bytes:
    """Give the key of the mask that two places share, from what their masking keys agree on."""
    places = min(one, other).to_bytes(8, "big") + max(one, other).to_bytes(8, "big")
    return keys.derived(secret, session, "pair mask", places)


def share_commitment(session: Session, owner: int, holder: int, kind: str, share: bytes) -> bytes:
    """Bind an owner to the share that it gives a holder."""
    bound = owner.to_bytes(8, "big") + holder.to_bytes(8, "big")
    return keys.commitment(share, session, f"share of {kind}", bound)


def _added(words: Words, mask: Words, plus: bool) -> Words:
    """Add a mask, or take it away: of a pair one does the one and the other the other."""
    result: Words = np.add(words, mask) if plus else np.subtract(words, mask)
    return result
