"""Shamir's secret sharing of 32 bytes, over the integers modulo the least prime above 2^256.

Flower's own (`flwr.common.secure_aggregation`) cuts a secret into pieces of 16 bytes and starts a pool of threads for
each; here a secret is one number, so that a share is one, too. (Shamir 1979, https://doi.org/10.1145/359168.359176)
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping

PRIME = 2**256 + 297

SECRET_BYTES, SHARE_BYTES = 32, 33


def split(secret: bytes, threshold: int, holders: Collection[int]) -> dict[int, bytes]:
    """Give each holder, a number from 0, a share; any `threshold` of them give the secret, fewer tell nothing of it."""
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= len(set(holders)) or min(holders) < 0:
        raise ValueError("a secret of 32 bytes is split among as many holders as its threshold, or more")
    # From the system's source of randomness: the coefficients are what hides the secret.
    coefficients = [int.from_bytes(secret, "big"), *(secrets.randbelow(PRIME) for _ in range(threshold - 1))]
    return {holder: _at(coefficients, holder + 1).to_bytes(SHARE_BYTES, "big") for holder in holders}


def _at(coefficients: list[int], point: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % PRIME
    return value


def combine(shares: Mapping[int, bytes]) -> bytes:
    """Give the secret that shares by holder determine: at least as many as its threshold, or it is another.

    ValueError where they cannot be shares of any secret.
    """
    points = {holder + 1: int.from_bytes(share, "big") for holder, share in shares.items()}
    if not points or any(len(share) != SHARE_BYTES for share in shares.values()) or max(points.values()) >= PRIME:
        raise ValueError("these are no shares")
    secret = 0
    for point, value in points.items():
        above = below = 1
        for other in points:
            if other != point:
                above = above * other % PRIME
                below = below * (other - point) % PRIME
        secret = (secret + value * above * pow(below, -1, PRIME)) % PRIME
    if secret >= 2**256:
        raise ValueError("these are shares of no secret of 32 bytes")
    return secret.to_bytes(SECRET_BYTES, "big")
