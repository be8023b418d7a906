"""What a process of its own is given to train, as files: configuration, base, start, plan, rows. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from fedlora_tui.benchmarks.plain_peft import lora_settings
from fedlora_tui.config import Config, to_toml
from fedlora_tui.lora.adapter import Adapter
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.cohort import LocalTraining
from fedlora_tui.lora.rows import Row, Rows

CONFIG, JOB, START = "config.toml", "job.json", "start.safetensors"

RESULT = "ray.json"
"""What the rival on Ray writes into the folder: seconds and losses of each round."""


@dataclass(frozen=True)
class Job:
    """Organizations to train with plain transformers and PEFT: `origin` and `gguf` say where the base is loaded from.

    `filler` is the token of padding, `cohort` how many organizations the engine takes in a pass.
    """

    origin: str
    gguf: str | None
    dtype: str
    device: str
    filler: int
    lora: Mapping[str, Any]
    plan: LocalTraining
    cohort: int
    rows: Sequence[Rows]
    start: Mapping[str, Tensor]


def write_job(
    folder: Path,
    config: Config,
    base: BaseModel,
    start: Adapter,
    plan: LocalTraining,
    cohort: int,
    rows: Sequence[Rows],
) -> None:
    """Write a job into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(to_toml(config), encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in start.tensors().items()}, folder / START)
    told = {
        "origin": base.origin,
        "gguf": base.gguf,
        "dtype": str(base.dtype).removeprefix("torch."),
        "device": str(base.device),
        "filler": base.end_of_text,
        "lora": lora_settings(start, base.targets),
        "plan": asdict(plan),
        "cohort": cohort,
        "rows": {own.organization: [[row.tokens, row.first_target, row.starts] for row in own.train] for own in rows},
    }
    (folder / JOB).write_text(json.dumps(told), encoding="utf-8")


def read_job(folder: Path) -> Job:
    """Read a job back."""
    told = json.loads((folder / JOB).read_text(encoding="utf-8"))
    rows = [
        Rows(name, tuple(Row(tuple(tokens), first, tuple(starts)) for tokens, first, starts in own), ())
        for name, own in told.pop("rows").items()
    ]
    plan = LocalTraining(**told.pop("plan"))
    return Job(**told, plan=plan, rows=rows, start=load_file(folder / START))
