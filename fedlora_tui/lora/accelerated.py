"""What is done in another way on a GPU than on processors, piece by piece, and which pieces are in use."""

from __future__ import annotations

import os
from functools import cache

import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation

PIECES = ("head", "loss", "product", "gelu", "graph")
"""The head's padded product, the loss in one kernel, the adapters' short product, the activation in one kernel, and
captured passes."""

WITHOUT = "FEDLORA_TUI_GPU_WITHOUT"
"""Names, in the environment, the pieces that a measurement leaves out, with commas between them."""

RANKS = 8
"""Rows of 8 numbers of 16 bits are 16 bytes, which a GPU's matrix kernels read at once."""

SHORT = (torch.bfloat16, torch.float16)


def used(piece: str, device: torch.device) -> bool:
    """Tell whether a piece is in use on a device; on processors none ever is."""
    if piece not in PIECES:
        raise ValueError(f"{piece}: no such piece; there are {', '.join(PIECES)}")
    return device.type == "cuda" and piece not in left_out().split(",")


def left_out() -> str:
    """Name the pieces that are left out, as the environment does."""
    return os.environ.get(WITHOUT, "")


def fuse_activations(model: nn.Module) -> int:
    """Put torch's one kernel in place of transformers' GELU of eight operations; tell how many were replaced.

    Both are 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))); the one kernel rounds once.
    """
    found = [(own, name) for own in model.modules() for name, child in own.named_children() if _is_new_gelu(child)]
    for own, name in found:
        setattr(own, name, nn.GELU(approximate="tanh"))
    return len(found)


def _is_new_gelu(module: nn.Module) -> bool:
    return type(module) is NewGELUActivation


class ShortProduct(torch.autograd.Function):
    """`output + inputs A^T (s B)^T` in the inputs' format, from factors that are held in a finer one.

    inputs [K, n, in], output [K, n, out], A [K, rank, in], B [K, out, rank], scales [K, 1, 1]. Factors are rounded for
    the product, as autocast does, and their gradients are sums in their own format. Ranks are filled up with zeros to a
    multiple of `RANKS`, for narrower matrices meet slower kernels. What is given as `output` is overwritten: the
    layers that carry adapters keep nothing of it.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, *given: Tensor) -> Tensor:
        inputs, output, a, b, scales = given
        more = -a.shape[1] % RANKS
        short_a = nn.functional.pad(a.to(inputs.dtype), (0, 0, 0, more))
        short_b = nn.functional.pad((b * scales).to(inputs.dtype), (0, more))
        low = torch.bmm(inputs, short_a.transpose(1, 2))
        ctx.save_for_backward(inputs, low, short_a, short_b, scales)
        ctx.rank = a.shape[1]  # type: ignore[attr-defined]
        return output.detach().baddbmm_(low, short_b.transpose(1, 2))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, low, a, b, scales = ctx.saved_tensors  # type: ignore[attr-defined]
        needs_inputs, _, needs_a, needs_b, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        (gradient,) = gradients
        rank = ctx.rank  # type: ignore[attr-defined]
        of_b = bmm_into(gradient.transpose(1, 2), low, scales.dtype)[..., :rank] * scales if needs_b else None
        of_low = torch.bmm(gradient, b)
        of_a = bmm_into(of_low.transpose(1, 2), inputs, scales.dtype)[:, :rank] if needs_a else None
        return torch.bmm(of_low, a) if needs_inputs else None, gradient, of_a, of_b, None


def bmm_into(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """Multiply short matrices into a finer format; where torch can, without rounding the sums to the short one."""
    if left.device.type == "cuda" and left.dtype in SHORT and dtype == torch.float32 and _sums_finely():
        return torch.bmm(left, right, out_dtype=dtype)
    return torch.bmm(left, right).to(dtype)


@cache
def _sums_finely() -> bool:
    """Find by trying whether this torch multiplies short matrices on a GPU into float32."""
    short = torch.ones(1, 16, 16, dtype=torch.bfloat16, device="cuda")
    try:
        return bool(torch.bmm(short.transpose(1, 2), short, out_dtype=torch.float32).dtype == torch.float32)
    except (TypeError, RuntimeError):
        return False
