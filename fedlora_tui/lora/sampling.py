"""Many texts gone on with at once under one adapter, each with draws of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.injection import injected
from fedlora_tui.lora.scoring import stacked


@torch.no_grad()
def continued(
    base: BaseModel, adapter: Adapter | None, beginnings: Sequence[Sequence[int]], tokens: int, seed: int
) -> list[list[int]]:
    """Give what comes behind each of the beginnings, drawn at temperature 1, without the token that ends a text.

    Beginnings of one length go together; the n-th draws from a generator of its own, whatever goes beside it.
    """
    found: list[list[int]] = [[] for _ in beginnings]
    factors = stacked(base, adapter)
    for length in sorted({len(own) for own in beginnings}):
        places = [place for place, own in enumerate(beginnings) if len(own) == length]
        groups = [places] if base.rows_apart else [[place] for place in places]
        for some in groups:
            with injected(base.model, base.targets, factors):
                said = _said(base, [beginnings[place] for place in some], [seed + place for place in some], tokens)
            for place, own in zip(some, said, strict=True):
                found[place] = own[: own.index(base.end_of_text)] if base.end_of_text in own else own
    return found


def _said(base: BaseModel, texts: Sequence[Sequence[int]], seeds: Sequence[int], tokens: int) -> list[list[int]]:
    """Draw token by token; a base that remembers nothing is sent the whole texts each time."""
    generators = [torch.Generator().manual_seed(seed % 2**63) for seed in seeds]
    whole = torch.tensor([list(text) for text in texts], device=base.device)
    given, cache = whole, None
    for _ in range(tokens):
        also: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
        outputs = base.model(input_ids=given, use_cache=True, **also)
        cache = getattr(outputs, "past_key_values", None)
        shares = outputs.logits[:, -1].double().cpu().softmax(1).cumsum(1)
        drawn = torch.stack([torch.rand(1, generator=own, dtype=torch.float64) for own in generators])
        new = torch.searchsorted(shares, drawn * shares[:, -1:], right=True).clamp(max=shares.shape[1] - 1)
        whole = torch.cat([whole, new.to(base.device)], dim=1)
        given = whole if cache is None else new.to(base.device)
    said: list[list[int]] = whole[:, len(texts[0]) :].tolist()
    return said
