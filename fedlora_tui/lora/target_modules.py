"""Which layers of a base carry an adapter: by its architecture, by names that the user gives, or every linear one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn
from transformers.pytorch_utils import Conv1D

from fedlora_tui.config import LoraConfig
from fedlora_tui.errors import UserError
from fedlora_tui.lora.adapter import TargetModule

T = TypeVar("T")

QUERY_AND_VALUE = ("q_proj", "v_proj")
ATTENTION = {
    "gpt2": ("c_attn",),
    "llama": QUERY_AND_VALUE,
    "mistral": QUERY_AND_VALUE,
    "qwen2": QUERY_AND_VALUE,
    "qwen3": QUERY_AND_VALUE,
    "phi": QUERY_AND_VALUE,
    "phi3": ("qkv_proj",),
    "gpt_neox": ("query_key_value",),
    "gemma": QUERY_AND_VALUE,
    "gemma2": QUERY_AND_VALUE,
    "gemma3_text": QUERY_AND_VALUE,
    "smollm3": QUERY_AND_VALUE,
    "olmo2": QUERY_AND_VALUE,
    "granite": QUERY_AND_VALUE,
}
"""What "auto" takes, by architecture: the attention's query and value (Hu et al. 2021, section 4.2), or the one layer
that holds them both. For an architecture that is not here it asks PEFT's own table."""


def find_targets(model: Any, lora: LoraConfig) -> tuple[TargetModule, ...]:
    """Give the target modules in the model's own order, each with the rank and alpha that a pattern gives it.

    A name matches a whole module path or its end after a dot, as in PEFT; "all-linear" is every linear layer but the
    output head, as in PEFT. Raises UserError where a name or a pattern matches nothing.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear | Conv1D)}
    matches = _wanted(model, layers, lora.target_modules)
    targets = tuple(_target(name, layer) for name, layer in layers.items() if matches(name))
    if not targets:
        raise UserError(
            f"lora.target_modules = {lora.target_modules!r}: no such layer in {_architecture(model)}; "
            f"it has {_endings(layers)}"
        )
    _refuse_a_tied_head(model, layers, targets)
    ranks = _by_pattern("lora.rank_pattern", lora.rank_pattern, targets)
    alphas = _by_pattern("lora.alpha_pattern", lora.alpha_pattern, targets)
    return tuple(replace(t, rank=ranks.get(t.name), alpha=alphas.get(t.name)) for t in targets)


def _wanted(model: Any, layers: Mapping[str, Any], wanted: str | tuple[str, ...]) -> Callable[[str], object]:
    if wanted == "all-linear":
        head = model.get_output_embeddings()
        return lambda name: layers[name] is not head
    if wanted == "auto":
        architecture = _architecture(model)
        names = ATTENTION.get(architecture) or _asked_of_peft(architecture)
        if names is None:
            raise UserError(
                f'lora.target_modules = "auto": architecture {architecture!r} is not known; '
                f'take "all-linear", or name layers, such as {_endings(layers)}'
            )
        return re.compile(names).fullmatch if isinstance(names, str) else lambda name: _ends_with(name, names)
    for ending in wanted:
        if not any(_ends_with(name, (ending,)) for name in layers):
            raise UserError(
                f'lora.target_modules: "{ending}": no such layer in {_architecture(model)}{_nearest(ending, layers)}'
            )
    return lambda name: _ends_with(name, wanted)


def _asked_of_peft(architecture: str) -> Any:
    # Importing peft imports bitsandbytes where it is installed, which takes seconds: only who needs it waits for it.
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    return TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(architecture)


def _ends_with(module: str, endings: Iterable[str]) -> bool:
    return any(module == ending or module.endswith(f".{ending}") for ending in endings)


def _refuse_a_tied_head(model: Any, layers: Mapping[str, Any], targets: Iterable[TargetModule]) -> None:
    """An adapter on a head whose weight is the input embedding's too could not be merged into the head alone."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    for target in targets:
        if layers[target.name] is head and head.weight is embedding.weight:
            raise UserError(
                f'lora.target_modules: "{target.name}" shares its weight with the input embedding; leave it out'
            )


def _by_pattern(key: str, patterns: Mapping[str, T], targets: Iterable[TargetModule]) -> dict[str, T]:
    """Give what a pattern says of each module by PEFT's own rule: the first pattern that is the end of its name."""
    if not patterns:
        return {}
    from peft.utils.other import get_pattern_key

    names = [target.name for target in targets]
    try:
        for pattern in patterns:
            if not any(get_pattern_key([pattern], name) == pattern for name in names):
                raise UserError(f'{key}: no target module matches "{pattern}"{_nearest(pattern, names)}')
        found = {name: patterns.get(get_pattern_key(list(patterns), name)) for name in names}
    except re.error as error:
        raise UserError(f"{key}: {list(patterns)} is not made of names or regular expressions: {error}") from None
    return {name: value for name, value in found.items() if value is not None}


def _nearest(word: str, modules: Iterable[str]) -> str:
    """Name what a word that matches nothing may have meant: the ends of the modules' names, shorter ones first."""
    parts = [name.split(".") for name in modules]
    ends = dict.fromkeys(".".join(own[-length:]) for length in (1, 2, 3) for own in parts if len(own) >= length)
    close = difflib.get_close_matches(word, [end for end in ends if not end[0].isdigit()], 1, 0.5)
    return f"; nearest is {close[0]}" if close else f"; there are {_endings(modules)}"


def _endings(layers: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name.rsplit(".", 1)[-1] for name in layers))


def _architecture(model: Any) -> str:
    return str(getattr(model.config, "model_type", ""))


def _target(name: str, layer: Any) -> TargetModule:
    if isinstance(layer, Conv1D):
        in_features, out_features = layer.weight.shape
        return TargetModule(name, in_features, out_features, transposed=True)
    # A layer that bitsandbytes packed is a Linear too; its weight's shape says nothing, its features do.
    return TargetModule(name, layer.in_features, layer.out_features, transposed=False)
