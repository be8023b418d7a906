"""The frozen base: embedded, a hub id, a folder or a .gguf file -> a model, its tokenizer, its target modules."""

from __future__ import annotations

import copy
import importlib.util
import io
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from fedlora_tui.config import LoraConfig, ModelConfig
from fedlora_tui.errors import UserError, one_line
from fedlora_tui.lora.accelerated import fuse_activations, used
from fedlora_tui.lora.adapter import TargetModule
from fedlora_tui.lora.captured import Captures
from fedlora_tui.lora.head import Head
from fedlora_tui.lora.injection import recomputable
from fedlora_tui.lora.isolation import isolates, trial
from fedlora_tui.lora.target_modules import find_targets
from fedlora_tui.place import look

EMBEDDED = Path(__file__).parent.parent / "assets" / "embedded"
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
"""What architectures call the longest row that they take; those with none of these take any."""

QUANTIZED_ON = ("cpu", "cuda")
LOCAL: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""How transformers reads a folder: nothing is fetched, and no code in it is run or asked about."""

DOWNLOADED = ("*.json", "*.safetensors", "*.txt", "*.model")

Progress = Callable[[float, float], None]
"""Told of a download: bytes so far, bytes in all."""


@dataclass(frozen=True)
class BaseModel:
    """One frozen causal language model, shared by all organizations.

    `name` is what the user asked for, `origin` what plain transformers can load it from, `gguf` the file's name inside
    `origin` where the base is a .gguf. The model is in eval mode and none of its parameters takes a gradient.
    `recomputed` says that training computes each layer twice instead of keeping what it computed. Passes that train are
    captured apart from those that measure, whose shapes are many: none takes another's place.
    """

    model: Any
    tokenizer: Any
    name: str
    origin: str
    gguf: str | None
    device: torch.device
    dtype: torch.dtype
    targets: tuple[TargetModule, ...]
    quantization: str = "none"
    recomputed: bool = False
    isolates: bool = False
    head: Head = field(init=False)
    captures: Captures = field(init=False, repr=False, compare=False)
    measuring: Captures = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find the head by trying, before any adapter is inside the model."""
        inside = f"{self.model.base_model_prefix}."
        adapted = not all(target.name.startswith(inside) for target in self.targets)
        object.__setattr__(self, "head", Head(self.model, adapted))
        object.__setattr__(self, "captures", Captures(self.device))
        object.__setattr__(self, "measuring", Captures(self.device))

    @property
    def parameters(self) -> int:
        """How many numbers the base has, shared ones counted once, and packed ones as they were before."""
        return int(self.model.num_parameters())

    @property
    def rows_apart(self) -> bool:
        """Whether what a row gives is the same whatever other rows go through the base with it.

        On a GPU 8-bit layers choose the columns that they compute in whole numbers by looking at all rows at once.
        """
        return self.quantization != "8bit" or self.device.type == "cpu"

    @property
    def vocabulary(self) -> int:
        """How many tokens the model chooses among."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def end_of_text(self) -> int:
        """The token that ends every document."""
        return int(self.tokenizer.eos_token_id)


def load(model: ModelConfig, lora: LoraConfig, progress: Progress = lambda done, total: None) -> BaseModel:
    """Load and freeze the base. Raises UserError where there is no such model or device."""
    device = find_device(model.device)
    dtype = find_dtype(model.dtype, device)
    origin, gguf = _locate(model.base, progress)
    packed = _packing(model, device, dtype, gguf)
    loaded, tokenizer = _read(model.base, origin, gguf, dtype, packed)
    _check_end(model, tokenizer)
    _check_vocabulary(model, loaded, tokenizer)
    _check_length(model, loaded.config)
    if model.gradient_checkpointing and not recomputable(loaded):
        raise UserError(
            f"model.gradient_checkpointing = true: the layers of {model.base} cannot be computed twice; set it to false"
        )
    freeze(loaded)
    if not packed:
        loaded.to(device)
    if used("gelu", device):
        fuse_activations(loaded)
    _check_computes(model, loaded)
    targets = find_targets(loaded, lora)
    return BaseModel(
        *(loaded, tokenizer, model.base, origin, gguf, device, dtype, targets),
        quantization=model.quantization,
        recomputed=model.gradient_checkpointing,
        isolates=isolates(loaded),
    )


def load_tokenizer(model: ModelConfig, progress: Progress = lambda done, total: None) -> Any:
    """Load the base's tokenizer and not its weights. Raises UserError where what a run asks of both does not hold."""
    origin, gguf = _locate(model.base, progress)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        files = {"gguf_file": gguf} if gguf else {}
        config = AutoConfig.from_pretrained(origin, **LOCAL, **files)
        tokenizer = AutoTokenizer.from_pretrained(origin, **LOCAL, **files)
    except Exception as error:
        logging.getLogger(__name__).exception("loading the tokenizer of %s", model.base)
        _refuse_code(model.base, error)
        raise UserError(f'model.base = "{model.base}": its tokenizer cannot be loaded: {one_line(error)}') from None
    _check_end(model, tokenizer)
    _check_length(model, config)
    return tokenizer


def own_tokenizer(base: BaseModel) -> Any:
    """Read the tokenizer of a base that is loaded once more: one of them does not serve two threads at a time."""
    return AutoTokenizer.from_pretrained(base.origin, **LOCAL, **({"gguf_file": base.gguf} if base.gguf else {}))


def _check_length(model: ModelConfig, config: Any) -> None:
    longest = longest_row(config)
    if longest is not None and model.max_length > longest:
        raise UserError(f"model.max_length = {model.max_length}: {model.base} takes {longest} tokens at most; lower it")


def _check_end(model: ModelConfig, tokenizer: Any) -> None:
    if tokenizer.eos_token_id is None:
        raise UserError(f"model.base = {model.base!r}: its tokenizer has no end-of-text token; choose another base")


def _check_vocabulary(model: ModelConfig, loaded: Any, tokenizer: Any) -> None:
    highest = max(max(tokenizer.get_vocab().values(), default=0), tokenizer.eos_token_id)
    known = int(loaded.get_input_embeddings().weight.shape[0])
    if highest >= known:
        raise UserError(
            f'model.base = "{model.base}": its tokenizer gives tokens up to {highest}, the model knows {known}; '
            "they are not of one model: put the right tokenizer beside it"
        )


def _check_computes(model: ModelConfig, loaded: Any) -> None:
    finite, causal = trial(loaded)
    if not finite:
        raise UserError(
            f'model.base = "{model.base}": it computes numbers that are not finite; its weights are broken, or too '
            'large for this format: try model.dtype = "float32"'
        )
    if not causal:
        raise UserError(
            f'model.base = "{model.base}": it looks at tokens that come later, so it would see what it is to predict; '
            "choose a causal language model"
        )


def _refuse_code(base: str, error: Exception) -> None:
    """Raise UserError where what failed is that a model's own code was not run."""
    if "trust_remote_code" in str(error):
        raise UserError(
            f'model.base = "{base}": it brings code of its own, which is never run here; choose one of an '
            "architecture that transformers has"
        ) from None


def freeze(model: Any) -> None:
    """Put a model in eval mode, without gradients for its own weights."""
    model.eval().requires_grad_(False)
    for layer in model.modules():
        if type(layer).__module__.startswith("bitsandbytes."):
            # These drop nothing in training. Out of it, on processors, bitsandbytes turns a 4-bit layer in place into a
            # form that has no right gradient, and rounds an 8-bit layer's inputs with an eye on all rows.
            layer.training = True


def whole(base: BaseModel) -> BaseModel:
    """Give a base whose weights are whole numbers of its format: the same, or where it is quantized read anew."""
    if base.quantization == "none":
        return base
    loaded, tokenizer = _read(base.name, base.origin, base.gguf, base.dtype, {})
    freeze(loaded)
    targets = find_targets(loaded, LoraConfig(target_modules=tuple(target.name for target in base.targets)))
    device = torch.device("cpu")
    return replace(base, model=loaded, tokenizer=tokenizer, targets=targets, device=device, quantization="none")


def replica(base: BaseModel, device: torch.device) -> BaseModel:
    """Give the same base on another device; its weights are copied there straight away."""
    held = [*base.model.parameters(), *base.model.buffers()]
    there = {id(own): own.detach().to(device, copy=True) for own in held}
    for own in base.model.parameters():
        there[id(own)] = nn.Parameter(there[id(own)], requires_grad=False)
    return replace(base, model=copy.deepcopy(base.model, there), device=device)


def twin(base: BaseModel) -> BaseModel:
    """Give the same base once more on the same device: modules of its own, which adapters can be put into, over the
    very same weights.
    """
    shared = {id(own): own for own in (*base.model.parameters(), *base.model.buffers())}
    return replace(base, model=copy.deepcopy(base.model, shared))


def further_devices(model: ModelConfig) -> tuple[torch.device, ...]:
    """Give the GPUs that work beside the first one: all that torch sees, unless one was named.

    Quantized weights have a form of their own on each device and are not copied: there the first works alone.
    """
    if model.device not in ("auto", "cuda") or model.quantization != "none":
        return ()
    return tuple(torch.device("cuda", index) for index in range(1, torch.cuda.device_count()))


def find_device(name: str) -> torch.device:
    """Give the device by name; auto takes a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f'model.device = "{name}": allowed is "auto", "cpu", "cuda", "cuda:0" or "mps"') from None
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= here.get(device.type, 0):
        found = ", ".join(kind for kind, count in here.items() if count)
        raise UserError(f'model.device = "{name}": this machine has no such device; it has {found}')
    return device


def find_dtype(name: str, device: torch.device) -> torch.dtype:
    """Give the base's number format on a device of this machine."""
    return choose_dtype(name, device.type, lambda: _computes_bfloat16(device))


def choose_dtype(name: str, kind: str, computes_bfloat16: Callable[[], bool]) -> torch.dtype:
    """Give a number format by its name; auto is bfloat16 on a GPU that computes in it, and float32 elsewhere."""
    if name == "auto":
        return torch.bfloat16 if kind == "cuda" and computes_bfloat16() else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def _computes_bfloat16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def longest_row(config: Any) -> int | None:
    """Give how many tokens a row may have for a model of this configuration, None where there is no bound."""
    text = config.get_text_config()
    found = (getattr(text, name, None) for name in POSITIONS)
    return next((int(value) for value in found if value is not None), None)


def _packing(model: ModelConfig, device: torch.device, dtype: torch.dtype, gguf: str | None) -> dict[str, Any]:
    """Give what transformers is told of quantization, nothing where there is none. Raises UserError."""
    if model.quantization == "none":
        return {}
    where = f'model.quantization = "{model.quantization}"'
    if gguf:
        raise UserError(f'{where}: a .gguf is read into whole weights; set "none", or name a folder or a hub id')
    if device.type not in QUANTIZED_ON:
        raise UserError(f'{where}: not on {device.type}; set "none", or model.device to "cuda" or "cpu"')
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(f'{where} needs one more package: pip install "fedlora-tui[quantized]"')
    # 4 bits as in QLoRA (Dettmers et al. 2023, https://arxiv.org/abs/2305.14314): NF4, its constants quantized too.
    settings: dict[str, dict[str, Any]] = {
        "8bit": {"load_in_8bit": True},
        "4bit": {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": dtype,
        },
    }
    return {
        "quantization_config": BitsAndBytesConfig(**settings[model.quantization]),  # type: ignore[no-untyped-call]
        "device_map": {"": str(device)},
    }


def bytes_on(index: int) -> int | None:
    """Give the bytes that torch's allocator holds on a GPU, None where torch has not been there."""
    return int(torch.cuda.memory_reserved(index)) if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Whereabouts:
    """Where a base lies: its folder, None where the hub would have to be asked, and a .gguf file's name in it."""

    folder: Path | None
    gguf: str | None = None
    from_hub: bool = False


def _locate(base: str, progress: Progress) -> tuple[str, str | None]:
    """Turn what the user wrote into a folder and, for a .gguf, the file's name in it; a hub id is downloaded."""
    found = where_is(base)
    return (_downloaded(base, progress) if found.folder is None else str(found.folder)), found.gguf


def where_is(base: str) -> Whereabouts:
    """Look for a base on this machine. Raises UserError where what the user wrote can be none."""
    if base == "embedded":
        return Whereabouts(EMBEDDED)
    place = look(base, f'model.base = "{one_line(base)}": cannot look there', "name a folder or a .gguf file")
    path = place.path
    if path.suffix == ".gguf":
        if not place.is_file:
            raise UserError(f'model.base = "{base}": no such file; name a .gguf file that is here')
        return Whereabouts(path.parent.resolve(), path.name)
    if place.is_folder:
        if not (path / "config.json").is_file():
            raise UserError(
                f'model.base = "{base}": the folder has no config.json; name a folder that transformers saved'
            )
        return Whereabouts(path.resolve())
    if base.startswith(("/", "./", "../", "~")) or base.count("/") > 1 or not base:
        raise UserError(f'model.base = "{base}": no such folder; name a folder, a .gguf file, a hub id, or "embedded"')
    return Whereabouts(_in_cache(base), from_hub=True)


def _in_cache(base: str) -> Path | None:
    """Find a hub id in the hub's cache; None where it has to be downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    where = f'model.base = "{base}"'
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        cached = Path(snapshot_download(base, allow_patterns=list(DOWNLOADED), local_files_only=True))
        # Reading a configuration or a tokenizer alone leaves a snapshot without weights.
        if any(cached.glob("*.safetensors")):
            return cached
    except HFValidationError:
        raise UserError(
            f'{where}: no such model; name a folder, a .gguf file, a hub id like "gpt2", or "embedded"'
        ) from None
    except LocalEntryNotFoundError:
        pass
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise UserError(
            f"{where}: no such model here (not in the hub's cache, and HF_HUB_OFFLINE is set); name a folder"
        )
    return None


def _downloaded(base: str, progress: Progress) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    where = f'model.base = "{base}"'
    try:
        return str(snapshot_download(base, allow_patterns=list(DOWNLOADED), tqdm_class=_reporting(progress)))
    except GatedRepoError:
        raise UserError(f"{where}: the hub wants you to accept its terms and log in (hf auth login)") from None
    except RepositoryNotFoundError:
        raise UserError(f"{where}: no such model on the hub, or it is private; check the name or log in") from None
    except (LocalEntryNotFoundError, OSError) as error:
        # What huggingface_hub raises where it gets no answer, or one that is no hub's, is among these.
        logging.getLogger(__name__).warning("download of %s: %s", base, error)
        raise UserError(
            f"{where}: not here, and the hub cannot be reached; connect, or name a folder or a .gguf file"
        ) from None
    except (ValueError, RuntimeError) as error:
        logging.getLogger(__name__).exception("download of %s", base)
        raise UserError(f"{where}: cannot be downloaded: {one_line(error)}") from None


def _reporting(progress: Progress) -> type:
    """Make a tqdm class that draws nothing and reports the bytes of the download's bar that has come farthest.

    The hub's client counts the same bytes in two bars, as received and as written.
    """
    from tqdm.auto import tqdm

    farthest = {"done": 0.0}

    class Reporting(tqdm):  # type: ignore[misc]
        """A bar that reports instead of drawing."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            self._in_bytes = kwargs.get("unit") == "B"
            # A disabled bar would not count, so it draws into nothing.
            kwargs |= {"disable": False, "file": io.StringIO()}
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            updated = bool(super().update(n))
            if self._in_bytes and self.n >= farthest["done"]:
                farthest["done"] = float(self.n)
                progress(farthest["done"], max(float(self.total or 0), farthest["done"]))
            return updated

    return Reporting


def _read(name: str, origin: str, gguf: str | None, dtype: torch.dtype, packed: Mapping[str, Any]) -> tuple[Any, Any]:
    files = {"gguf_file": gguf} if gguf else {}
    how = {**files, **packed, "dtype": dtype}
    # Its warnings speak of padding that no loss sees.
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        read: Any = AutoModelForCausalLM.from_pretrained(origin, output_loading_info=True, **LOCAL, **how)
        tokenizer = AutoTokenizer.from_pretrained(origin, **LOCAL, **files)
    except ImportError as error:
        if gguf:
            raise UserError(
                f'model.base = "{name}": reading .gguf needs one more package: pip install "fedlora-tui[gguf]"'
            ) from None
        raise UserError(f'model.base = "{name}": {one_line(error)}') from None
    except Exception as error:
        logging.getLogger(__name__).exception("loading %s", name)
        _refuse_code(name, error)
        raise UserError(
            f'model.base = "{name}": cannot be loaded as a causal language model: {one_line(error)}'
        ) from None
    model, found = read
    _check_whole(name, found)
    if gguf:
        _mark_as_plain(model)
    return model, tokenizer


def _check_whole(name: str, found: Mapping[str, Any]) -> None:
    """Refuse a model of which weights are not in its files: transformers fills them with random numbers."""
    lacking = sorted([*found["missing_keys"], *(str(each) for each in found["mismatched_keys"])])
    if lacking:
        raise UserError(
            f'model.base = "{name}": {len(lacking)} of its weights are not in its files, or of another shape '
            f"({one_line(lacking[0])}); get the files anew"
        )


def _mark_as_plain(model: Any) -> None:
    """Take off the marks of a quantized model: a .gguf is read into plain weights, which would not save with them."""
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
