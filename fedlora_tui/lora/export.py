"""An adapter taken home: PEFT's own folder, or a whole model with the adapter merged in, each with a model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel, whole

PREFIX = "base_model.model."
"""What PEFT writes before a module's name."""

CARD, MADE_BY = "README.md", "Made with fedlora-tui."
"""The model card's file, and the words by which an earlier export is known."""

ADAPTER_FILES = CARD, "adapter_config.json", "adapter_model.safetensors"
MERGED_FILES = (
    *("config.json", "generation_config.json", "model.safetensors", "model-*-of-*.safetensors"),
    *("model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json"),
    *("vocab.txt", "merges.txt", "spiece.model", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
)

UNPROTECTED = (
    "Written with privacy: none. Whoever holds these weights can probe them for the text they were trained on."
)


@dataclass(frozen=True)
class Origin:
    """Where an adapter comes from, for its model card. Losses are hold-out means in nats a token.

    `privacy` is what may be said of its protection, in Markdown.
    """

    run: str
    round: int
    rounds: int
    aggregation: str
    organizations: tuple[str, ...]
    base: str
    base_loss: float | None
    eval_loss: float | None
    train_loss: float | None
    settings: Mapping[str, Any]
    privacy: str = UNPROTECTED


def is_exported(name: str) -> bool:
    """Tell whether a file is called as one of an export of either kind; a tokenizer may have further ones."""
    return any(fnmatchcase(name, pattern) for pattern in (*ADAPTER_FILES, *MERGED_FILES))


def write_adapter(folder: Path, adapter: Adapter, base: BaseModel, origin: Origin) -> int:
    """Write adapter_config.json, adapter_model.safetensors and README.md; give the bytes written."""
    from peft import LoraConfig

    folder.mkdir(parents=True, exist_ok=True)
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type]
        target_modules=list(adapter.factors),
        rank_pattern=adapter.ranks,
        alpha_pattern=dict(adapter.alphas),
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=any(target.transposed for target in base.targets),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base.origin,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    tensors = {PREFIX + name: tensor.contiguous() for name, tensor in adapter.tensors().items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / CARD).write_text(_card(origin, _use_adapter(base), adapter, merged=False), encoding="utf-8")
    return _size(folder)


def write_merged(folder: Path, adapter: Adapter, base: BaseModel, origin: Origin) -> int:
    """Write a whole model, each target weight plus its scale * B A (added in float32), with its tokenizer.

    A quantized base is read anew for it: the product is added to the weights as they were before they were packed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    packed, base = base, whole(base)
    merged = dict(base.model.state_dict())
    for target in base.targets:
        key = f"{target.name}.weight"
        update = product(adapter, target.name)
        weight = merged[key]
        update = (update.T if target.transposed else update).to(weight.device)
        merged[key] = (weight.float() + update).to(weight.dtype)
    base.model.save_pretrained(str(folder), state_dict=merged)
    base.tokenizer.save_pretrained(str(folder))
    (folder / CARD).write_text(_card(origin, _use_merged(packed), adapter, merged=True), encoding="utf-8")
    return _size(folder)


def product(adapter: Adapter, module: str) -> Tensor:
    """Give one module's whole update, scale * B A, [out, in] in float32."""
    factors = adapter.factors[module]
    return (adapter.scale_of(module) * (factors.b.double() @ factors.a.double())).to(torch.float32)


def _size(folder: Path) -> int:
    """Give the bytes of a folder's files, which whoever reads the card may read, too: safetensors' own mode is 0600."""
    files = [file for file in folder.iterdir() if file.is_file()]
    for file in files:
        file.chmod((folder / CARD).stat().st_mode)
    return sum(file.stat().st_size for file in files)


def _use_adapter(base: BaseModel) -> str:
    gguf = f', gguf_file="{base.gguf}"' if base.gguf else ""
    # Stored weights may be shorter than those it was trained on, and transformers would compute in their format.
    dtype = str(base.dtype).removeprefix("torch.")
    short = f"Trained over a base whose weights were quantized ({base.quantization}, bitsandbytes).\n\n"
    return f"""{short if base.quantization != "none" else ""}```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{base.origin}"{gguf}, dtype="{dtype}")
tokenizer = AutoTokenizer.from_pretrained("{base.origin}"{gguf})
model = PeftModel.from_pretrained(base, "this folder")
```"""


def _use_merged(base: BaseModel) -> str:
    short = f"Trained over {base.quantization} weights, added to the whole ones: losses differ a little.\n\n"
    return f"""{short if base.quantization != "none" else ""}```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("this folder")
tokenizer = AutoTokenizer.from_pretrained("this folder")
```"""


def _card(origin: Origin, use: str, adapter: Adapter, merged: bool) -> str:
    settings = "\n".join(f"| {name} | {value} |" for name, value in origin.settings.items())
    size = _size_in_words(adapter)
    what = (
        f"`{origin.base}` with a LoRA adapter ({size}) merged into its weights,"
        if merged
        else (f"A LoRA adapter ({size}) for `{origin.base}`,")
    )
    return f"""---
base_model: {origin.base}
library_name: {"transformers" if merged else "peft"}
pipeline_tag: text-generation
tags: [lora, federated-learning]
---

# {origin.run}, round {origin.round} of {origin.rounds}

{what}
trained by {len(origin.organizations)} organizations in a federation ({origin.aggregation}). Each organization's text
stayed with it; only adapters were exchanged. {MADE_BY}

## Losses

Cross-entropy in nats a token, on the organizations' own hold-outs, mean weighted by tokens.

| | hold-out |
| --- | --- |
| base alone | {_loss(origin.base_loss)} |
| with {"the" if merged else "this"} adapter | {_loss(origin.eval_loss)} |

Train loss in the round: {_loss(origin.train_loss)}.

## Training

| setting | value |
| --- | --- |
| organizations | {", ".join(origin.organizations)} |
{settings}

## Use

{use}

## Privacy

{origin.privacy}
"""


def _size_in_words(adapter: Adapter) -> str:
    own = {name.rsplit(".", 1)[-1]: rank for name, rank in adapter.ranks.items()}
    others = f" ({', '.join(f'{name} {rank}' for name, rank in own.items())})" if own else ""
    return f"rank {adapter.rank}{others}, alpha {adapter.alpha:g}, {adapter.parameters:,} parameters"


def _loss(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
