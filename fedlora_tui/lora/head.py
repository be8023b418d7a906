"""The last part of a pass: from what the base's layers gave to the losses of the tokens that are predicted.

The head turns each position into one number a token of the vocabulary, which is most of what a small base computes and
holds. So it is given the predicted positions alone, some at a time, and what goes back from them is worked out before
the next ones come: nothing as large as rows x length x vocabulary ever exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fedlora_tui.lora.accelerated import used
from fedlora_tui.lora.fused_loss import can_fuse, fused_cross_entropy
from fedlora_tui.lora.isolation import equal_but_for_rounding, tokens_to_try
from fedlora_tui.lora.padded_head import PaddedHead, is_unaligned

CHUNK_BYTES = {"cpu": 8 * 2**20}
"""What the logits of one chunk may weigh in float32: enough for products at full rate, and still near the processor."""

CHUNK_BYTES_ELSEWHERE = 256 * 2**20

FEWEST_POSITIONS = 128
"""Positions of a chunk at least: every chunk reads all of the head, which has to be worth it."""

TRIED = 5
"""Tokens on which a model is tried."""


@dataclass(frozen=True)
class Losses:
    """Cross-entropy of each target token, nats, in float32 or finer; and what goes back from them where asked for."""

    by_target: Tensor
    hidden: Tensor
    gradient: Tensor | None

    def backward(self) -> None:
        """Carry the gradient on into the layers."""
        if self.gradient is not None:
            self.hidden.backward(self.gradient)  # type: ignore[no-untyped-call]


class Head:
    """What a causal language model does after its layers, found in the model itself.

    `adapted` says that what comes after the layers carries adapters. They are told apart by rows: then all rows meet it
    at once. `padded` says whether the product with an unaligned vocabulary is filled up; left out, on a GPU.
    """

    def __init__(self, model: Any, adapted: bool = False, padded: bool | None = None) -> None:
        self.model = model
        self.backbone = None if adapted else backbone(model)
        output = model.get_output_embeddings()
        wanted = used("head", model.device) if padded is None else padded
        self.product = PaddedHead(output) if wanted and self.backbone is not None and is_unaligned(output) else None
        per_position = 4 * int(output.weight.shape[0])
        self.positions = max(
            FEWEST_POSITIONS, CHUNK_BYTES.get(model.device.type, CHUNK_BYTES_ELSEWHERE) // per_position
        )
        if model.device.type == "cuda":
            self.positions -= self.positions % FEWEST_POSITIONS

    def losses(self, call: dict[str, Any], positions: Tensor, labels: Tensor, weights: Tensor | None) -> Losses:
        """Send rows through the base; give the loss of `labels` at `positions` (counted over all rows, in order).

        With `weights`, one a target, also the gradient of the weighted sum. `call` is what the model is called with.
        """
        if self.backbone is None:
            outputs = None
            hidden = self.model(**call).logits.flatten(0, 1)[positions]
        else:
            outputs = self.backbone(**call)
            hidden = outputs.last_hidden_state.flatten(0, 1)[positions]
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        losses = torch.empty(len(labels), dtype=dtype, device=hidden.device)
        gradient = None if weights is None else torch.empty_like(hidden)
        for at in range(0, len(labels), self.positions):
            some = slice(at, at + self.positions)
            part = hidden.detach()[some].requires_grad_(weights is not None)
            logits = self._logits(outputs, part)
            chosen = None if weights is None else weights[some].to(dtype)
            losses[some], back = self._cross_entropy(logits, labels[some], chosen, dtype)
            if gradient is not None and back is not None:
                (gradient[some],) = torch.autograd.grad(logits, part, back.to(logits.dtype))
        return Losses(losses, hidden, gradient)

    def _logits(self, outputs: Any, hidden: Tensor) -> Tensor:
        return hidden if self.backbone is None else _after(self.model, self.backbone, outputs, hidden, self.product)

    def _cross_entropy(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        if can_fuse(logits) and used("loss", logits.device):
            # What the padded product gave is kept by nothing else, if nothing was computed with it.
            overwritten = self.product is not None and self.product.gave(logits)
            found = fused_cross_entropy(logits.detach(), labels, weights, overwritten)
            if found is not None:
                return found
        return cross_entropy(logits.detach().to(dtype), labels, weights)


@torch.no_grad()
def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Give the cross-entropy of each label [n] under logits [n, vocabulary], and what `weights` send back to them.

    loss = -log softmax(z) at the label, and its gradient by z is softmax(z) less 1 at the label: in torch's order of
    operations, so that rounding is PEFT's, but in one array that is changed in place. Next to the products of a small
    base, each pass over it counts.
    """
    places = labels[:, None]
    logs = logits.log_softmax(1)
    losses = -logs.gather(1, places)[:, 0]
    if weights is None:
        return losses, None
    each = weights[:, None]
    return losses, logs.exp_().mul_(each).scatter_add_(1, places, -each)


@torch.no_grad()
def backbone(model: Any) -> Any:
    """Give the part of a model that ends before its head; None where the two cannot be told apart.

    Found by trying: some architectures call a part of that part alone, or look at more than what it gives.
    """
    part = getattr(model, model.base_model_prefix, None)
    head = model.get_output_embeddings()
    if not isinstance(part, nn.Module) or part is model or any(layer is head for layer in part.modules()):
        return None
    call = {"input_ids": tokens_to_try(model, TRIED)[None], "use_cache": False}
    try:
        outputs = part(**call)
        apart = _after(model, part, outputs, outputs.last_hidden_state.flatten(0, 1))
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return None
    whole = model(**call).logits[0]
    return part if apart.shape == whole.shape and equal_but_for_rounding(apart, whole) else None


def _after(model: Any, part: Any, outputs: Any, hidden: Tensor, product: PaddedHead | None = None) -> Tensor:
    """Take hidden states [positions, width] the model's own way to logits, with all that it does after its head.

    The head's own product is another one where that is given.
    """
    answer = replace(outputs, last_hidden_state=hidden[None])
    with ExitStack() as answers:
        answers.enter_context(_answering(part, lambda *given, **named: answer))
        if product is not None:
            answers.enter_context(_answering(model.get_output_embeddings(), product))
        logits: Tensor = model(input_ids=hidden.new_zeros((1, len(hidden)), dtype=torch.long), use_cache=False).logits
    # A view whose way back is a view: an index would fill and copy a second array as large.
    return logits.squeeze(0)


@contextmanager
def _answering(part: Any, answer: Callable[..., Any]) -> Iterator[None]:
    """Let a module answer in another way for as long as the context is open."""
    part.forward = answer
    try:
        yield
    finally:
        del part.forward
