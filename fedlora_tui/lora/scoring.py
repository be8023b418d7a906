"""The losses that an adapter gives texts, one number a text: what attacks on what it learned begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlora_tui.lora.adapter import A_SUFFIX, B_SUFFIX, Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.generation import no_adapter
from fedlora_tui.lora.injection import StackedFactors, injected
from fedlora_tui.lora.rows import Row, padded
from fedlora_tui.lora.stack import Stack

POSITIONS = 4096
"""Tokens, padding among them, that go through the base in one pass."""

Observe = Callable[[int, int], None]
"""Called after each pass with how many rows are done, and of how many."""


def _unheard(done: int, of: int) -> None:
    pass


def stacked(base: BaseModel, adapter: Adapter | None) -> dict[str, StackedFactors]:
    """Give one adapter's factors as a pass takes them, the same for all its rows; None: the base alone."""
    stack = Stack([adapter or no_adapter(base)], base.device)
    return {
        target.name: StackedFactors(
            stack.parameters[target.name + A_SUFFIX],
            stack.parameters[target.name + B_SUFFIX],
            stack.scales[target.name],
        )
        for target in base.targets
    }


@torch.no_grad()
def row_losses(
    base: BaseModel, adapter: Adapter | None, rows: Sequence[Row], observe: Observe = _unheard
) -> list[float]:
    """Give the added loss of each row's targets, in nats, in the order of the rows."""
    found = [0.0] * len(rows)
    factors = stacked(base, adapter)
    for some in _passes(base, [len(row) for row in rows], observe):
        part = [rows[place] for place in some]
        inputs = padded(part, base.end_of_text, base.device)
        with injected(base.model, base.targets, factors):
            losses = base.head.losses(_call(inputs.tokens, inputs.positions), *_asked(part, inputs.tokens), None)
        own = torch.split(losses.by_target.double(), [row.targets for row in part])
        for place, added in zip(some, own, strict=True):
            found[place] = float(added.sum())
    return found


@dataclass(frozen=True)
class Ways:
    """Texts with the same tokens but for the last one: `start`, and each that may follow it, by the text's number."""

    start: tuple[int, ...]
    ends: Mapping[int, int]


def ways_of(texts: Sequence[Sequence[int]]) -> list[Ways]:
    """Sort texts by all their tokens but the last, so that a pass is paid once for all that differ in that one."""
    groups: dict[tuple[int, ...], dict[int, int]] = {}
    for number, tokens in enumerate(texts):
        groups.setdefault(tuple(tokens[:-1]), {})[number] = tokens[-1]
    return [Ways(start, ends) for start, ends in groups.items()]


@torch.no_grad()
def text_losses(
    base: BaseModel, adapter: Adapter | None, texts: Sequence[Sequence[int]], known: int, observe: Observe = _unheard
) -> Tensor:
    """Give the added loss of each text behind its first `known` tokens, which all of them share -> [texts], float64."""
    ways = ways_of(texts)
    found = torch.zeros(len(texts), dtype=torch.float64)
    factors = stacked(base, adapter)
    for some in _passes(base, [len(own.start) for own in ways], observe):
        part = [ways[place] for place in some]
        tokens = padded([Row(own.start) for own in part], base.end_of_text, base.device).tokens
        places, answers, counts = _branches(part, tokens.shape[1], max(known, 1))
        with injected(base.model, base.targets, factors):
            losses = base.head.losses(_call(tokens, None), places.to(base.device), answers.to(base.device), None)
        for own, losses_of_it in zip(part, torch.split(losses.by_target.double().cpu(), counts), strict=True):
            path = len(losses_of_it) - len(own.ends)
            found[list(own.ends)] = losses_of_it[path:] + losses_of_it[:path].sum()
    return found


def _branches(ways: Sequence[Ways], longest: int, known: int) -> tuple[Tensor, Tensor, list[int]]:
    """Give the places that predict the tokens of each start, and every end of it; those tokens; how many a start."""
    places: list[int] = []
    answers: list[int] = []
    counts: list[int] = []
    for index, own in enumerate(ways):
        path = range(known, len(own.start))
        places += [index * longest + at - 1 for at in path] + [index * longest + len(own.start) - 1] * len(own.ends)
        answers += [*own.start[known:], *own.ends.values()]
        counts.append(len(path) + len(own.ends))
    return torch.tensor(places), torch.tensor(answers), counts


def _asked(rows: Sequence[Row], tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Give the places that predict the rows' targets, counted over all rows, and those targets."""
    length = tokens.shape[1]
    at = [index * length + place for index, row in enumerate(rows) for place in range(row.first_target, len(row))]
    targets = torch.tensor(at, device=tokens.device)
    return targets - 1, tokens.flatten()[targets]


def _call(tokens: Tensor, positions: Tensor | None) -> dict[str, Any]:
    return {"input_ids": tokens, "use_cache": False, **({} if positions is None else {"position_ids": positions})}


def _passes(base: BaseModel, lengths: Sequence[int], observe: Observe) -> Iterator[list[int]]:
    """Give the places of rows that go together, longest first; where rows touch one another each goes alone."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    at = 0
    while at < len(order):
        count = max(1, POSITIONS // max(lengths[order[at]], 1)) if base.rows_apart else 1
        yield order[at : at + count]
        at += count
        observe(min(at, len(order)), len(order))
