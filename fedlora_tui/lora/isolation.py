"""What a model does with other tokens of a row, found by trying: documents beside one another, and what comes later."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FIRST, SECOND = 5, 6
"""Tokens of the two documents that are tried."""


@torch.no_grad()
def isolates(model: Any) -> bool:
    """Tell whether, of two documents in a row with positions that begin anew, the second is as it would be alone.

    That is how transformers marks several documents in a row; an architecture that knows no positions, or carries a
    state along the row, lets what stands first be seen.
    """
    tokens = tokens_to_try(model, FIRST + SECOND)
    others = torch.cat([tokens[:FIRST].flip(0), tokens[FIRST:]])
    positions = torch.cat([torch.arange(FIRST), torch.arange(SECOND)]).to(model.device)
    try:
        beside, beside_others = (_second(model, row, positions) for row in (tokens, others))
    except TypeError:  # it takes no positions
        return False
    alone = model(input_ids=tokens[None, FIRST:], use_cache=False).logits[0]
    # What is masked weighs exactly nothing, whatever the numbers' format; equality to alone is one of rounding.
    return torch.equal(beside, beside_others) and equal_but_for_rounding(beside, alone)


@torch.no_grad()
def trial(model: Any) -> tuple[bool, bool]:
    """Tell whether a model's logits are finite, and whether none of them depends on a token that comes later."""
    tokens = tokens_to_try(model, FIRST + SECOND)
    others = torch.cat([tokens[:FIRST], tokens[FIRST:].flip(0)])
    before, after = (model(input_ids=row[None], use_cache=False).logits[0, :FIRST] for row in (tokens, others))
    return bool(before.isfinite().all()), equal_but_for_rounding(before, after)


def tokens_to_try(model: Any, count: int) -> Tensor:
    """Give so many tokens that a model knows, all different where its vocabulary allows it."""
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    return torch.arange(2, 2 + count, device=model.device) % vocabulary


def equal_but_for_rounding(found: Tensor, expected: Tensor) -> bool:
    """Tell whether logits of one shape are the same computation in another order, in whatever format."""
    tolerance = max(1e-4, 8 * torch.finfo(expected.dtype).eps) * float(expected.abs().max())
    return float((found - expected).abs().max()) <= tolerance


def _second(model: Any, tokens: Tensor, positions: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=tokens[None], position_ids=positions[None], use_cache=False).logits
    return logits[0, FIRST:]
