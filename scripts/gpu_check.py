#!/usr/bin/env python3
"""What each piece that a GPU does in another way is worth: ms a step with all of them, and less each one.

    python scripts/gpu_check.py           GPT-2 small's shape with random weights, 16 organizations, batches of 4 rows
                                          of 128 tokens, bfloat16; a table of the kernels of one step
    python scripts/gpu_check.py --tiny    the same over next to nothing on processors: whether all of it works
    python scripts/gpu_check.py --without graph head    only these, each left out

A piece that fails is told with its error, and the others go on. Nothing new begins after a minute.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import statistics
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from fedlora_tui.benchmarks.products import matrix_rate, needed, synchronize
from fedlora_tui.config import Setting, load
from fedlora_tui.engine.plan import plan_of
from fedlora_tui.engine.prepare import Prepared, prepare
from fedlora_tui.lora import base_model, fused_loss
from fedlora_tui.lora.accelerated import PIECES, WITHOUT
from fedlora_tui.lora.base_model import EMBEDDED, BaseModel
from fedlora_tui.lora.cohort import LocalTraining, train_cohort
from fedlora_tui.lora.rows import Rows, batches
from fedlora_tui.organizations.roster import call_roster

STEPS, LONG_STEPS, REPEATS = 8, 32, 5
LAST_START_SECONDS = 60.0
TOP = 25
TINY = {"n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 4099}


@dataclass(frozen=True)
class Job:
    """What every variant trains."""

    prepared: Prepared
    rows: list[Rows]
    plan: LocalTraining

    def seconds(self, base: BaseModel, steps: int = STEPS) -> tuple[float, float]:
        """Train once; give the seconds a step, and the mean loss."""
        count = len(self.rows)
        plans = [replace(self.plan, local_steps=steps)] * count
        synchronize(base.device)
        began = time.perf_counter()
        results = train_cohort(base, [self.prepared.adapter] * count, self.rows, plans)
        synchronize(base.device)
        seconds = (time.perf_counter() - began) / steps
        return seconds, statistics.fmean(result.loss for result in results)


def prepared_job(tiny: bool, folder: str) -> Job:
    """Write the base and read the organizations' texts."""
    dropout = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
    torch.manual_seed(7)
    shape: dict[str, Any] = TINY if tiny else {}
    GPT2LMHeadModel(GPT2Config(**shape, **dropout, bos_token_id=0, eos_token_id=0)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(folder)
    named = {
        "model.base": folder,
        "model.device": "cpu" if tiny else "cuda",
        "model.dtype": "bfloat16",
        "model.max_length": 32 if tiny else 128,
        "federation.organizations": 2 if tiny else 16,
        "federation.local_steps": STEPS,
        "federation.batch_size": 4,
    }
    config = load(None, [Setting(key, str(value), f"--set {key}") for key, value in named.items()])
    prepared = prepare(config, call_roster(config), lambda stage: None)
    rows = [prepared.texts.rows(name) for name in prepared.organizations]
    return Job(prepared, rows, plan_of(config, 1))


def loaded(job: Job, without: str) -> BaseModel:
    """Load the base anew with some pieces left out."""
    os.environ[WITHOUT] = without
    fused_loss.forget_failure()
    gc.collect()
    config = job.prepared.config
    return base_model.load(config.model, config.lora)


def in_effect(base: BaseModel) -> str:
    """Name the pieces that were used in fact."""
    activations = sum(type(each).__name__ == "NewGELUActivation" for each in base.model.modules())
    found = [f"{len(base.captures)} graphs"]
    found += ["padded head"] if base.head.product is not None else []
    found += ["fused gelu"] if not activations else []
    found += ["no fused loss: it failed"] if fused_loss.failure() else []
    return ", ".join(found)


def profiled(job: Job, base: BaseModel, table: bool) -> float | None:
    """Give the GPU's busy ms a step; print what takes it."""
    if base.device.type != "cuda":
        kinds, sort = [ProfilerActivity.CPU], "self_cpu_time_total"
    else:
        kinds, sort = [ProfilerActivity.CPU, ProfilerActivity.CUDA], "self_cuda_time_total"
    with profile(activities=kinds, record_shapes=table) as found:
        job.seconds(base)
    averages = found.key_averages()
    on_gpu = [event for event in averages if event.device_type == DeviceType.CUDA]
    if table:
        for event in sorted(on_gpu, key=lambda event: -event.self_device_time_total)[:TOP]:
            each = event.self_device_time_total
            print(f"  {each / 1e3 / STEPS:8.3f} ms a step {event.count / STEPS:7.1f} times  {event.key[:130]}")
        if not on_gpu:
            print(averages.table(sort_by=sort, row_limit=TOP, max_name_column_width=70))
    return sum(event.self_device_time_total for event in on_gpu) / 1e3 / STEPS if on_gpu else None


def copies(job: Job) -> None:
    """Print which shapes are copied in a pass that Python launches, for a graph does not tell."""
    base = loaded(job, "graph")
    job.seconds(base)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], record_shapes=True) as found:
        job.seconds(base)
    by_shape = found.key_averages(group_by_input_shape=True)
    copied = [event for event in by_shape if event.key in ("aten::copy_", "aten::cat", "aten::fill_", "aten::add_")]
    for event in sorted(copied, key=lambda event: -event.self_device_time_total)[:TOP]:
        each = event.self_device_time_total / 1e3 / STEPS
        print(f"  {each:8.3f} ms a step {event.count / STEPS:7.1f} times  {event.key} {event.input_shapes}")


def main() -> int:
    """Go through the variants; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--without", nargs="*", default=[*PIECES, ",".join(PIECES)])
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        job = prepared_job(asked.tiny, folder)
        base = job.prepared.base
        need, plan = needed(base, job.prepared.adapter), job.plan
        each = [batches(own.train, 4, plan.seed, own.organization, plan.round, STEPS, 0) for own in job.rows]
        operations = sum(need.of(batch) for own in each for batch in own) / STEPS
        rate = matrix_rate(base.device, base.dtype)
        print(
            f"{operations:.3e} operations a step, {rate:.3e} a second: 35% is {operations / rate / 0.35 * 1e3:.2f} ms"
        )
        print(f"prepared after {time.monotonic() - began:.1f} s", flush=True)
        failed = 0
        for without in ["", *asked.without]:
            if time.monotonic() - began > LAST_START_SECONDS:
                print(f"no time left: without {without}")
                continue
            try:
                told(job, without, operations / rate)
            except Exception:
                failed += 1
                print(f"without {without or 'nothing'}: FAILED\n{traceback.format_exc()}", flush=True)
        print(f"ended after {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


def told(job: Job, without: str, floor: float) -> None:
    """Measure one variant and print what it came to."""
    base = loaded(job, without)
    for _ in range(2):
        job.seconds(base)
    times = [job.seconds(base) for _ in range(REPEATS)]
    seconds = statistics.median(own for own, _ in times)
    name = f"without {without}" if without else "everything"
    said = f"{name:<40} {seconds * 1e3:8.2f} ms a step  {floor / seconds:6.1%} of the rate  loss {times[-1][1]:.6f}"
    print(f"{said}  ({in_effect(base)})", flush=True)
    busy = profiled(job, base, table=not without)
    if busy is not None:
        print(f"{'':<40} {busy:8.2f} ms of a step the GPU is busy, {busy / seconds / 1e3:.1%}", flush=True)
    if not without:
        longer = statistics.median(job.seconds(base, LONG_STEPS)[0] for _ in range(3))
        further = (longer * LONG_STEPS - seconds * STEPS) / (LONG_STEPS - STEPS)
        fixed = (seconds - further) * STEPS
        print(f"{'':<40} {further * 1e3:8.2f} ms each further step, {fixed * 1e3:.1f} ms a round beside the steps")
        if base.device.type == "cuda":
            print(f"{'':<40} {torch.cuda.max_memory_reserved(base.device) / 2**30:8.2f} GiB reserved at most")
            copies(job)


if __name__ == "__main__":
    sys.exit(main())
