"""Matrix products: how many operations training needs a token, and how many a second this machine reaches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from fedlora_tui.lora.adapter import BOTH, Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.cohort import row_forward
from fedlora_tui.lora.rows import Row, targets
from fedlora_tui.lora.stack import Stack

CUBE = {"cpu": 1024}
"""The side of the square matrices by which the machine is measured: large enough to be limited by arithmetic alone."""

CUBE_ELSEWHERE = 8192

MATRIX_SECONDS = 0.3


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure what torch.mm of two square matrices reaches here, in floating-point operations a second.

    The matrices have `CUBE` rows; the best of some products counts, for what else the machine does only slows them.
    """
    side = CUBE.get(device.type, CUBE_ELSEWHERE)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    result = torch.mm(left, right)
    best, now = float("inf"), time.perf_counter()
    end = now + MATRIX_SECONDS
    while now < end or best == float("inf"):
        synchronize(device)
        began = time.perf_counter()
        torch.mm(left, right, out=result)
        synchronize(device)
        now = time.perf_counter()
        best = min(best, now - began)
    return 2 * side**3 / best


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; processors need no waiting."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Needed:
    """The operations that training cannot do without, in matrix products.

    `a_token` for each token of a row, `a_target` for each that is predicted, `a_pair` for each pair of a token with
    one that it attends to (itself included).
    """

    a_token: int
    a_target: int
    a_pair: int

    def of(self, rows: Sequence[Row]) -> int:
        """Add up what one step over some rows needs."""
        lengths = [stop - start for row in rows for start, stop in pairwise((0, *row.starts, len(row)))]
        pairs = sum(length * (length + 1) // 2 for length in lengths)
        return self.a_token * sum(lengths) + self.a_target * targets(rows) + self.a_pair * pairs


def needed(base: BaseModel, start: Adapter) -> Needed:
    """Count the operations of one training step: forward, and back to the adapters' weights alone.

    A product of [n, in] with [in, out] takes 2 * in * out operations a token: a multiplication and an addition for each
    weight.

    - A layer of the base takes one product forward and one back, to its inputs; none to its weights, which are frozen.
      Where nothing before it is trained (the first layer's query), none goes back either: 2 or 4 * in * out a token.
    - The output head is a layer of which only the predicted positions are needed: 4 * width * vocabulary a target.
    - An adapter of rank r takes two products forward (A, B), two to its weights and two to what went into them, the
      last of which only where those take a gradient: 6 * r * (in + out) a token, less 2 * r * in where they do not.
    - Attention, of h heads of size d, takes two products forward (scores, values) and four back: 12 * h * d a pair of a
      token with one before it or itself, and layer. What a causal mask takes away is not counted as needed. (The first
      layer's keys need none of it back where they carry no adapter: 2 * h * d a pair of that one layer too many.)

    Left out is what is no matrix product: embeddings, norms, softmax, losses, AdamW. What a way computes beyond this
    (masked scores, logits of positions that are not predicted, layers computed twice) counts as time, not as work.
    """
    seen: list[tuple[str, Any, bool]] = []
    head = base.model.get_output_embeddings()
    hooks = [
        layer.register_forward_hook(_noting(name, seen))
        for name, layer in base.model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D) and layer is not head
    ]
    row = Row(tuple(token % base.vocabulary for token in range(2, 6)))
    try:
        row_forward(base, Stack([start], base.device, trained=BOTH), row)
    finally:
        for hook in hooks:
            hook.remove()
    adapted = {target.name: target for target in base.targets}
    a_token = 0
    for name, layer, back in seen:
        width, height = _shape(layer)
        a_token += (4 if back else 2) * width * height
        if name in adapted:
            rank = start.factors[name].a.shape[0]
            a_token += 6 * rank * (width + height) - (0 if back else 2 * rank * width)
    config = base.model.config.get_text_config()
    heads = int(config.num_attention_heads)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    vocabulary, width = head.weight.shape
    return Needed(a_token, 4 * int(width) * int(vocabulary), 12 * heads * size * int(config.num_hidden_layers))


def _noting(name: str, seen: list[tuple[str, Any, bool]]) -> Any:
    def note(layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
        seen.append((name, layer, bool(inputs[0].requires_grad)))

    return note


def _shape(layer: Any) -> tuple[int, int]:
    if isinstance(layer, Conv1D):
        return int(layer.weight.shape[0]), int(layer.weight.shape[1])
    return int(layer.in_features), int(layer.out_features)
