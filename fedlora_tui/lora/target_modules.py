"""Which layers of a base carry an adapter: by its architecture, or by the names that the user gives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn
from transformers.pytorch_utils import Conv1D

from fedlora_tui.errors import UserError
from fedlora_tui.lora.adapter import TargetModule


def find_targets(model: Any, wanted: str | tuple[str, ...]) -> tuple[TargetModule, ...]:
    """Give the target modules in the model's own order; "auto" asks PEFT's table of architectures.

    A name matches a whole module path or its end after a dot, as in PEFT. Raises UserError where nothing matches.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear | Conv1D)}
    architecture = str(getattr(model.config, "model_type", ""))
    names: Any = wanted
    if wanted == "auto":
        names = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(architecture)
        if names is None:
            raise UserError(
                f'lora.target_modules = "auto": architecture {architecture!r} is not known; '
                f"name layers, such as {_endings(layers)}"
            )
    matches = re.compile(names).fullmatch if isinstance(names, str) else _by_ending(names)
    targets = tuple(_target(name, layer) for name, layer in layers.items() if matches(name))
    if not targets:
        raise UserError(f"lora.target_modules = {names!r}: no such layer in {architecture}; it has {_endings(layers)}")
    return targets


def _by_ending(names: Iterable[str]) -> Any:
    endings = tuple(names)
    return lambda module: any(module == ending or module.endswith(f".{ending}") for ending in endings)


def _endings(layers: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name.rsplit(".", 1)[-1] for name in layers))


def _target(name: str, layer: Any) -> TargetModule:
    if isinstance(layer, Conv1D):
        in_features, out_features = layer.weight.shape
        return TargetModule(name, in_features, out_features, transposed=True)
    return TargetModule(name, layer.in_features, layer.out_features, transposed=False)
