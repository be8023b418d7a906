"""Public keys in OpenSSH's format, as far as no cryptography is needed for them."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(line: bytes) -> str:
    """Give a public key's fingerprint (a line in OpenSSH's format) as `ssh-keygen -l` does; empty where it is none."""
    try:
        blob = base64.b64decode(line.split()[1], validate=True)
    except (IndexError, ValueError):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
