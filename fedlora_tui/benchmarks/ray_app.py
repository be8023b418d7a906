"""The rival on Flower's own Ray engine: a ServerApp and a ClientApp in the style of Flower's flowertune example.

Each client loads the base and PEFT's adapter for every message, sets the weights that came, trains its own rows with
AdamW and replies with the adapter's arrays; FedAvg averages them by the number of examples. It runs in a process of its
own (`run`), for Ray can be started in no process that shows a console. The workers import this module, too.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import fedlora_tui.federation  # noqa: F401  (it turns Flower's telemetry off)
from fedlora_tui.benchmarks import plain_peft
from fedlora_tui.benchmarks.job import RESULT, START, Job, read_job
from fedlora_tui.lora.base_model import LOCAL
from fedlora_tui.lora.rows import batches

FIRST_ROUND_SECONDS = 300.0
"""After which Ray is thought to hang: its processes wait for ever where one of them gave up at the start."""

_first_round_over = threading.Event()


@cache
def job_in(folder: str) -> Job:
    """Read a job once a process, as an app's data set is read from its cache."""
    return read_job(Path(folder))


@cache
def base_kept(folder: str) -> Any:
    """Load the base with its adapter once a process, more than the example does."""
    return loaded(job_in(folder))


def loaded(job: Job) -> Any:
    """Load the base and put an adapter into it."""
    files = {"gguf_file": job.gguf} if job.gguf else {}
    dtype = getattr(torch, job.dtype)
    base: Any = AutoModelForCausalLM.from_pretrained(job.origin, dtype=dtype, **LOCAL, **files)
    return plain_peft.wrapped(base.to(job.device), job.lora)


def client_app(folder: str, threads: int, keep: bool) -> ClientApp:
    """Make the app of one organization; `keep`: the base stays in the worker from message to message."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return trained(folder, threads, keep, message, int(context.node_config["partition-id"]))

    return app


def trained(folder: str, threads: int, keep: bool, message: Message, partition: int) -> Message:
    """Train an organization for a round, and reply with its adapter, its mean loss and its place."""
    torch.set_num_threads(threads)
    job = job_in(folder)
    own, plan = job.rows[partition], job.plan
    round = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
    model = base_kept(folder) if keep else loaded(job)
    plain_peft.set_adapter(model, message.content.array_records["arrays"].to_torch_state_dict())
    given = batches(own.train, plan.batch_size, plan.seed, own.organization, round, plan.local_steps, 0)
    steps = plain_peft.train(model, given, plan.learning_rate, job.filler)
    arrays = ArrayRecord({name: tensor.cpu() for name, tensor in plain_peft.adapter_of(model).items()})
    metrics = MetricRecord({"train-loss": steps.loss, "num-examples": own.train_tokens, "partition": partition})
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


class TimedFedAvg(FedAvg):
    """FedAvg that notes when each round began and ended, and what each organization's loss was."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.began: list[float] = []
        self.seconds: list[float] = []
        self.losses: list[dict[str, float]] = []

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Note the beginning, and make the messages."""
        self.began.append(time.perf_counter())
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average the replies, and note the end."""
        answers = list(replies)
        for answer in answers:
            if answer.has_error():
                raise RuntimeError(f"a client failed: {answer.error.reason}")
        found = super().aggregate_train(server_round, answers)
        _first_round_over.set()
        self.seconds.append(time.perf_counter() - self.began[-1])
        metrics = [answer.content.metric_records["metrics"] for answer in answers]
        self.losses.append({str(own["partition"]): float(own["train-loss"]) for own in metrics})  # type: ignore[arg-type]
        return found


def server_app(folder: str, rounds: int) -> ServerApp:
    """Make the app that averages for some rounds and writes down what they took."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        organizations = len(job_in(folder).rows)
        strategy = TimedFedAvg(
            fraction_train=1.0,
            fraction_evaluate=0.0,
            min_train_nodes=organizations,
            min_available_nodes=organizations,
        )
        start = ArrayRecord(load_file(Path(folder) / START))
        strategy.start(grid=grid, initial_arrays=start, num_rounds=rounds)
        told = {"seconds": strategy.seconds, "losses": strategy.losses}
        (Path(folder) / RESULT).write_text(json.dumps(told), encoding="utf-8")

    return app


def run() -> None:
    """Run the federation: FOLDER ROUNDS CPUS GPUS KEEP are the arguments; the result is a file in the folder."""
    folder, rounds, cpus, gpus, keep = sys.argv[1:]
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from flwr.simulation import run_simulation

    threading.Thread(target=_end_if_it_hangs, daemon=True).start()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    run_simulation(
        server_app(folder, int(rounds)),
        client_app(folder, int(cpus), keep == "keep"),
        num_supernodes=len(job_in(folder).rows),
        backend_config={
            "init_args": {"num_cpus": usable},
            "client_resources": {"num_cpus": int(cpus), "num_gpus": float(gpus)},
        },
    )


def _end_if_it_hangs() -> None:
    if not _first_round_over.wait(FIRST_ROUND_SECONDS):
        sys.stderr.write(f"no round was over after {FIRST_ROUND_SECONDS:.0f} s\n")
        sys.stderr.flush()
        os._exit(1)
