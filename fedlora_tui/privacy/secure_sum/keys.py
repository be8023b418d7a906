"""Keys of one session: drawn, agreed on between two, derived for one purpose, and messages sealed with them."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES, NONCE_BYTES, COMMITMENT_BYTES = 32, 16, 16
LABEL = b"fedlora-tui secure sum 1"


@dataclass(frozen=True)
class Session:
    """One try of one round: all keys are bound to it. `nonce` is the server's, drawn anew for each try."""

    round: int
    nonce: bytes

    @property
    def label(self) -> bytes:
        """What is bound into everything that is derived."""
        return self.round.to_bytes(8, "big") + self.nonce


@dataclass(frozen=True)
class PublicKeys:
    """What an organization shows of itself: by the one key shares are sealed for it, by the other pairs are masked."""

    channel: bytes
    masking: bytes


def new_private() -> bytes:
    """Draw a private key, from the system's source of randomness."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(private: bytes) -> bytes:
    """Give the public key of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agreed(private: bytes, public: bytes) -> bytes:
    """Give what the owners of two key pairs both know (X25519). ValueError where `public` is no key to agree with."""
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def is_usable(public: bytes) -> bool:
    """Tell whether anybody can agree on something with a public key: with a few nobody can, whatever the other's is."""
    try:
        agreed(new_private(), public)
    except ValueError:
        return False
    return True


def derived(secret: bytes, session: Session, purpose: str, *bound: bytes) -> bytes:
    """Derive a key of 32 bytes for one purpose (HKDF-SHA256 over the whole secret), bound to session and `bound`."""
    parts = (LABEL, session.label, purpose.encode(), *bound)
    info = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(secret)


def sealed(key: bytes, text: bytes, bound: bytes) -> bytes:
    """Encrypt and authenticate one message (ChaCha20-Poly1305); the key seals no other one, so no nonce is needed."""
    return ChaCha20Poly1305(key).encrypt(bytes(12), text, bound)


def opened(key: bytes, box: bytes, bound: bytes) -> bytes:
    """Decrypt a message. ValueError where it is not, to the bit, what was sealed with this key."""
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), box, bound)
    except InvalidTag:
        raise ValueError("a sealed message is not what was sealed for this organization in this round") from None


def commitment(secret: bytes, session: Session, purpose: str, *bound: bytes) -> bytes:
    """Bind to a secret of 32 random bytes or more without telling it."""
    parts = (LABEL, session.label, purpose.encode(), *bound, secret)
    whole = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return hashlib.sha256(whole).digest()[:COMMITMENT_BYTES]


def same(one: bytes, other: bytes) -> bool:
    """Tell whether two are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(one, other)
