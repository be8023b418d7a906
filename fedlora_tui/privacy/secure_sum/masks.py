"""Masks: words of a ChaCha20 stream under a key of 32 bytes that has no other use, as long as the vector is."""

from __future__ import annotations

from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from fedlora_tui.privacy.secure_sum.keys import KEY_BYTES

Words = NDArray[Any]
"""Unsigned integers of 32 or 64 bits, a vector; sums of them wrap around."""


def stream(key: bytes, count: int, kind: np.dtype[Any]) -> Words:
    """Give so many words, each value as likely as any other."""
    if len(key) != KEY_BYTES:
        raise ValueError("a mask's key has 32 bytes")
    # A key has one stream; its place in it begins at zero.
    encryptor = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor()
    return np.frombuffer(encryptor.update(bytes(count * kind.itemsize)), kind)
