"""How large a base is and what it computes, by its configuration alone: its layers' shapes, and no weight is read."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from fedlora_tui.config import LoraConfig, ModelConfig
from fedlora_tui.errors import UserError, one_line
from fedlora_tui.lora.base_model import LOCAL, Whereabouts, where_is
from fedlora_tui.lora.target_modules import find_targets

Shape = tuple[int, int]
"""What goes into a layer and what comes out, numbers a token."""


@dataclass(frozen=True)
class BaseSize:
    """A base in numbers.

    `layers` are the shapes of its linear layers without the head, `adapted` those among them that carry adapters,
    `blocks` how many times its block is repeated, `width` the numbers that a token has between them, `attention` those
    of all heads together, `vocabulary` the tokens it chooses among.
    """

    parameters: int
    layers: tuple[Shape, ...]
    adapted: tuple[Shape, ...]
    blocks: int
    width: int
    attention: int
    vocabulary: int

    def adapter_parameters(self, rank: int) -> int:
        """Give the numbers of one adapter: A is [rank, in], B is [out, rank], for every target module."""
        return sum(rank * (into + out) for into, out in self.adapted)

    def training_operations(self, rank: int, length: int) -> int:
        """Give the operations of training a token of a row of this length, in matrix products.

        They are those of `benchmarks/products.py`, of which a layer before the first adapter needs a little less.
        """
        layers = 4 * sum(into * out for into, out in self.layers)
        return layers + 6 * self.adapter_parameters(rank) + 4 * self._head + 6 * self._attended(length)

    def measuring_operations(self, rank: int, length: int) -> int:
        """Give the operations of measuring a token of a row of this length: the way forward alone."""
        layers = 2 * sum(into * out for into, out in self.layers)
        return layers + 2 * self.adapter_parameters(rank) + 2 * self._head + 2 * self._attended(length)

    def kept(self) -> int:
        """Estimate the numbers that a token leaves in memory for the way back: what each layer takes in and gives.

        Frozen layers need nothing of it for their weights; norms, attention and activations between them do.
        """
        return sum(into + out for into, out in self.layers)

    @property
    def _head(self) -> int:
        return self.width * self.vocabulary

    def _attended(self, length: int) -> int:
        """A product with what a token attends to, itself included: half a row in the mean; one of two."""
        return self.blocks * self.attention * (length + 1)


def base_size(model: ModelConfig, lora: LoraConfig, where: Whereabouts | None = None) -> BaseSize | None:
    """Lay a base out without its weights; None where it is not on this machine. Raises UserError."""
    where = where or where_is(model.base)
    if where.folder is None:
        return None
    files = {"gguf_file": where.gguf} if where.gguf else {}
    try:
        config = AutoConfig.from_pretrained(str(where.folder), **LOCAL, **files)
        with torch.device("meta"):
            laid_out: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except Exception as error:
        logging.getLogger(__name__).exception("laying out %s", model.base)
        raise UserError(f'model.base = "{model.base}": cannot be laid out: {one_line(error)}') from None
    head = laid_out.get_output_embeddings()
    own = config.get_text_config()
    heads = int(own.num_attention_heads)
    width = int(own.hidden_size)
    return BaseSize(
        parameters=int(laid_out.num_parameters()),
        layers=tuple(
            _shape(layer) for layer in laid_out.modules() if isinstance(layer, nn.Linear | Conv1D) and layer is not head
        ),
        adapted=tuple((target.in_features, target.out_features) for target in find_targets(laid_out, lora)),
        blocks=int(own.num_hidden_layers),
        width=width,
        attention=heads * int(getattr(own, "head_dim", None) or width // heads),
        vocabulary=int(head.weight.shape[0]),
    )


def _shape(layer: nn.Linear | Conv1D) -> Shape:
    if isinstance(layer, Conv1D):
        return int(layer.weight.shape[0]), int(layer.weight.shape[1])
    return int(layer.in_features), int(layer.out_features)
