"""`python -m fedlora_tui.benchmarks.memory_run FOLDER WAY`: one way alone in a process, and the memory that it took."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from fedlora_tui.benchmarks.job import CONFIG, read_job
from fedlora_tui.benchmarks.process import forget_high_water, high_water
from fedlora_tui.benchmarks.ways import WAYS, Work, plain_model
from fedlora_tui.config import load
from fedlora_tui.lora import base_model
from fedlora_tui.lora.adapter import from_tensors, own_alphas
from fedlora_tui.lora.lanes import lanes_on

STEPS = 2
"""Steps after which nothing more is kept: the second one finds the optimizer's state and what the first one left."""


def measured(folder: Path, way: str) -> dict[str, int]:
    """Train two steps of a job one way; give the most bytes held meanwhile, and how many of them training added.

    On a GPU both are those of torch's allocator there.
    """
    job, config = read_job(folder), load(folder / CONFIG)
    base = base_model.load(config.model, config.lora)
    start = from_tensors(job.start, config.lora.default_rank, config.lora.alpha, own_alphas(base.targets))
    plain = None if way == "engine" else plain_model(base, start, copied=False)
    beside = tuple(base_model.twin(base) for _ in range(1, lanes_on(base))) if way == "engine" else ()
    work = Work(base, start, job.rows, replace(job.plan, local_steps=STEPS), job.cohort, plain, beside)
    if base.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(base.device)
        before = torch.cuda.memory_allocated(base.device)
        WAYS[way](work)
        peak = torch.cuda.max_memory_allocated(base.device)
    else:
        forget_high_water()
        before = high_water(os.getpid())
        WAYS[way](work)
        peak = high_water(os.getpid())
    return {"peak": peak, "added": peak - before}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured(Path(sys.argv[1]), sys.argv[2])) + "\n")
