"""The kernel of `fused_loss`, in Triton, which torch brings along where it computes on NVIDIA's GPUs."""
# mypy: ignore-errors
# Annotations stay objects: Triton reads them.

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK, WARPS = 2048, 8


@triton.jit
def _cross_entropy(
    logits,
    labels,
    weights,
    losses,
    gradient,
    columns,
    whole,
    logits_stride,
    gradient_stride,
    with_gradient: tl.constexpr,
    block: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    own = logits + row * logits_stride
    label = tl.load(labels + row)
    at_label = tl.load(own + label).to(tl.float32)
    places = tl.arange(0, block)
    # Whole blocks without a mask: a masked row would be read a number at a time. One highest number and sum a place.
    inside = whole + places < columns
    z = tl.load(own + whole + places, mask=inside, other=float("-inf")).to(tl.float32)
    high = tl.where(inside, z, -1e38)
    total = tl.where(inside, 1.0, 0.0)
    for begin in range(0, whole, block):
        z = tl.load(own + begin + places).to(tl.float32)
        higher = tl.maximum(high, z)
        total = total * tl.exp(high - higher) + tl.exp(z - higher)
        high = higher
    highest = tl.max(high, 0)
    sum_of_all = tl.sum(total * tl.exp(high - highest), 0)
    tl.store(losses + row, tl.log(sum_of_all) + highest - at_label)
    if with_gradient:
        weight = tl.load(weights + row)
        share = weight / sum_of_all
        back = gradient + row * gradient_stride
        for begin in range(0, whole, block):
            z = tl.load(own + begin + places).to(tl.float32)
            slope = tl.exp(z - highest) * share - tl.where(begin + places == label, weight, 0.0)
            tl.store(back + begin + places, slope.to(back.dtype.element_ty))
        z = tl.load(own + whole + places, mask=inside, other=float("-inf")).to(tl.float32)
        slope = tl.exp(z - highest) * share - tl.where(whole + places == label, weight, 0.0)
        tl.store(back + whole + places, slope.to(back.dtype.element_ty), mask=inside)


def launch(logits: Tensor, labels: Tensor, weights: Tensor | None, losses: Tensor, gradient: Tensor | None) -> None:
    """Fill losses [n] and the gradient [n, vocabulary] of logits [n, vocabulary], which may be the logits themselves.

    Each row is one program's, which reads all of it before it writes any: a gradient may lie over its logits.
    """
    rows, columns = logits.shape
    if not rows:
        return
    back = logits if gradient is None else gradient
    with torch.cuda.device(logits.device):
        _cross_entropy[(rows,)](
            logits,
            labels.contiguous(),
            losses if weights is None else weights.contiguous(),
            losses,
            back,
            columns,
            columns // BLOCK * BLOCK,
            logits.stride(0),
            back.stride(0),
            with_gradient=gradient is not None,
            block=BLOCK,
            num_warps=WARPS,
        )
