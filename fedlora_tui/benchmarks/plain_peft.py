"""One organization trained by PEFT's own LoRA, torch's AdamW and transformers' loss: what the engine is held against.

The same base, rows, order of batches and formats as the engine's, in eval mode, in torch's fastest AdamW, and nothing
done that a step does not need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlora_tui.lora.adapter import Adapter, TargetModule
from fedlora_tui.lora.export import PREFIX
from fedlora_tui.lora.rows import Row, padded, sent, targets
from fedlora_tui.lora.stack import BETAS, EPSILON


@dataclass(frozen=True)
class Steps:
    """What training went through: each step's mean loss in nats a token, and the target tokens it is a mean over."""

    losses: tuple[float, ...]
    tokens: tuple[int, ...]

    @property
    def loss(self) -> float:
        """Mean over all steps, weighted by tokens."""
        return sum(loss * count for loss, count in zip(self.losses, self.tokens, strict=True)) / sum(self.tokens)


def lora_settings(start: Adapter, modules: Sequence[TargetModule]) -> dict[str, Any]:
    """Give what PEFT's LoraConfig is made with, as values that JSON can carry."""
    return {
        "r": start.rank,
        "lora_alpha": start.alpha,
        "target_modules": list(start.factors),
        "rank_pattern": start.ranks,
        "alpha_pattern": dict(start.alphas),
        "fan_in_fan_out": any(module.transposed for module in modules),
        "task_type": "CAUSAL_LM",
    }


def wrapped(model: Any, settings: Mapping[str, Any]) -> Any:
    """Put PEFT's adapter into a model, in place; the base's weights take no gradient."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(**settings)).eval()


def set_adapter(model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Let the adapter's weights be these, by their names as an `Adapter` gives them."""
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[PREFIX + name.replace(".weight", ".default.weight")].copy_(tensor)


def train(model: Any, batches: Sequence[Sequence[Row]], rate: float, filler: int) -> Steps:
    """Train the adapter that is in the model, a step a batch, under an optimizer that starts anew."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, betas=BETAS, eps=EPSILON, weight_decay=0.0, fused=True)
    losses = []
    for batch in batches:
        inputs = padded(batch, filler, trained[0].device)
        labels = sent(inputs.labels, trained[0].device)
        # With positions that begin anew and no cache, transformers keeps the documents of a row apart.
        found = model(input_ids=inputs.tokens, labels=labels, position_ids=inputs.positions, use_cache=False).loss
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(found.detach())
    return Steps(tuple(float(loss) for loss in losses), tuple(targets(batch) for batch in batches))


def adapter_of(model: Any) -> dict[str, Tensor]:
    """Give the adapter's weights as they are now, by their names as an `Adapter` gives them."""
    return {
        name.removeprefix(PREFIX).replace(".default.weight", ".weight"): parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
