"""Cross-entropy of many logits, and its gradient, in one kernel of a GPU; where that cannot be, it says so once."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from fedlora_tui.lora.accelerated import SHORT
from fedlora_tui.lora.memory import ran_out

_failed: list[str] = []


def failure() -> str:
    """Tell why the kernel is not used any more; nothing where it is."""
    return _failed[0] if _failed else ""


def forget_failure() -> None:
    """Let the kernel be tried again."""
    _failed.clear()


def can_fuse(logits: Tensor) -> bool:
    """Tell whether these logits can go through the kernel: on a GPU, in a short format, each row of one piece."""
    return logits.device.type == "cuda" and logits.dtype in SHORT and logits.stride(1) == 1 and not _failed


def fused_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None, overwritten: bool
) -> tuple[Tensor, Tensor | None] | None:
    """Give what `cross_entropy` gives, the gradient in the logits' format; None where the kernel cannot be had.

    Arithmetic is in float32, and the losses are. The gradient takes the logits' place where they may be `overwritten`.
    """
    try:
        from fedlora_tui.lora.loss_kernel import launch

        losses = torch.empty(len(labels), dtype=torch.float32, device=logits.device)
        gradient = None
        if weights is not None:
            gradient = logits if overwritten else torch.empty_like(logits)
        launch(logits, labels, weights, losses, gradient)
    except Exception as error:
        if ran_out(error):
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        _failed.append(said)
        logging.getLogger(__name__).warning("the loss goes through torch's own kernels: %s", said)
        return None
    return losses, gradient
