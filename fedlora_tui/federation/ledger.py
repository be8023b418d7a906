"""What a message weighs, by kind: what an organization let leave, whether it was taken in or not."""

from __future__ import annotations

from flwr.app import Message

from fedlora_tui.federation.messages import ARRAYS, METRICS
from fedlora_tui.federation.secure_messages import MASKED
from fedlora_tui.lora.adapter import SUFFIXES

NUMBERS, WORDS, OTHER = "numbers", "words", "other"
"""Beside the two factors: named numbers, the reason of an error, and all that is on no list."""

SHARES = "shares"
"""Keys and shares of a secure sum; the vector itself is of the kind that its record is called, masked."""

INTRODUCTION = "introduction"
"""What an organization says of itself before it takes part, as it is written out."""

NUMBER_BYTES = 8


def weighed(message: Message) -> dict[str, int]:
    """Give the bytes of each kind that a message holds; kinds of which it holds nothing are left out."""
    if message.has_error():
        words = len((message.error.reason or "").encode())
        return {WORDS: words} if words else {}
    found = dict.fromkeys((*SUFFIXES, MASKED, NUMBERS, OTHER), 0)
    for name, record in message.content.array_records.items():
        for tensor, array in record.items():
            kind = _factor(tensor) if name == ARRAYS else MASKED if name == tensor == MASKED else OTHER
            found[kind] += len(array.data)
    for name, metrics in message.content.metric_records.items():
        count = sum(len(value) if isinstance(value, list) else 1 for value in metrics.values())
        found[NUMBERS if name == METRICS else OTHER] += NUMBER_BYTES * count
    for settings in message.content.config_records.values():
        # No reply of ours holds any: whatever it is, it is counted as it is written out.
        found[OTHER] += sum(len(str(key)) + len(str(value)) for key, value in settings.items())
    return {kind: size for kind, size in found.items() if size}


def _factor(tensor: str) -> str:
    return next((factor for factor, suffix in SUFFIXES.items() if tensor.endswith(suffix)), OTHER)
