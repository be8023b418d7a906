"""What tells one base model from another, wherever it lies and in whatever number format it was loaded."""

from __future__ import annotations

import hashlib
import json

import torch

from fedlora_tui.lora.base_model import BaseModel

SAMPLED = 4096
"""How many numbers of each tensor are looked at, spread over the whole of it."""


def fingerprint(base: BaseModel) -> str:
    """Give 64 hexadecimal digits: over the names and shapes of all weights, a sample of their values, the vocabulary.

    Values are compared as bfloat16 has them, which a base in a wider format is rounded to. Packed weights count by
    their names alone.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(base.model.state_dict().items()):
        digest.update(name.encode())
        if not tensor.is_floating_point():
            continue
        digest.update(json.dumps(list(tensor.shape)).encode())
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // SAMPLED)].to(torch.bfloat16).view(torch.int16)
        digest.update(sample.cpu().numpy().tobytes())
    digest.update(json.dumps(sorted(base.tokenizer.get_vocab().items())).encode())
    return digest.hexdigest()
