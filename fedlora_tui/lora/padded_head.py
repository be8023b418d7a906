"""The head's product with a vocabulary that is filled up: rows of logits that begin where a GPU can read them fast.

cuBLAS' fast kernels want every row of a matrix to begin at a multiple of 16 bytes. GPT-2's 50,257 tokens in bfloat16 do
not: there both products of the head, most of what a small base computes, take five times as long.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ALIGNED_BYTES = 16
MULTIPLE = 64
"""Tokens that the vocabulary is filled up to a multiple of."""


class PaddedHead:
    """A copy of a linear head whose weight has rows of zeros at its end; what they give is cut off again."""

    def __init__(self, head: nn.Linear) -> None:
        self._given = 0
        self.vocabulary = int(head.weight.shape[0])
        more = -self.vocabulary % MULTIPLE
        self.weight = functional.pad(head.weight.detach(), (0, 0, 0, more))
        self.bias = None if head.bias is None else functional.pad(head.bias.detach(), (0, more))

    def __call__(self, hidden: Tensor) -> Tensor:
        """Give the logits of hidden states [..., width] -> [..., vocabulary], each row apart from the next."""
        logits: Tensor = _Product.apply(hidden, self)  # type: ignore[no-untyped-call]
        self._given = logits.data_ptr()
        return logits

    def gave(self, logits: Tensor) -> bool:
        """Tell whether logits [n, vocabulary] are the memory that the last product gave, as it lies there."""
        return logits.data_ptr() == self._given and logits.stride(0) == self.weight.shape[0]


class _Product(torch.autograd.Function):
    """The product, and its way back, which takes the gradient where it lies if that is over the logits themselves."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: PaddedHead) -> Tensor:
        whole = functional.linear(hidden, head.weight, head.bias)
        ctx.head, ctx.whole = head, whole
        # Detached, for what a view's base goes through would be the view's history too.
        return whole[..., : head.vocabulary].detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        head, whole = ctx.head, ctx.whole
        if not lies_over(gradient, whole):
            whole = functional.pad(gradient, (0, head.weight.shape[0] - head.vocabulary))
        # Else the columns beyond the vocabulary still hold zeros, and in any case meet rows of zeros.
        return whole @ head.weight, None


def lies_over(part: Tensor, whole: Tensor) -> bool:
    """Tell whether a tensor is the first columns of another one, in the same memory."""
    if part.data_ptr() != whole.data_ptr() or part.shape[:-1] != whole.shape[:-1]:
        return False
    steps = zip(whole.shape, part.stride(), whole.stride(), strict=True)
    return all(own == other for size, own, other in steps if size > 1)


def is_unaligned(head: Any) -> bool:
    """Tell whether a head is a plain linear layer whose rows of logits begin at any number of bytes."""
    if type(head) is not nn.Linear or "forward" in vars(head) or head.weight.dtype not in _FORMATS:
        return False
    return bool(head.weight.shape[0] * head.weight.element_size() % ALIGNED_BYTES)


_FORMATS = (torch.bfloat16, torch.float16, torch.float32)
