#!/usr/bin/env python3
"""Where a round's time goes beside its steps: ms of each phase, read off the engine's own functions.

    python scripts/round_phases.py           GPT-2 small's shape with random weights, 16 organizations, 8 steps, batches
                                             of 4 rows of 128 tokens, bfloat16 on a GPU; as bench speed's short run is
    python scripts/round_phases.py --small   one step of one short row in float32 on processors: all but the steps
                                             costs there what it costs beside a GPU, on slower processors
    --rounds N, --json

A phase is a function that is timed from outside, so that an earlier version can be measured by the same script
(PYTHONPATH names it). What stands further in is part of what stands above it; what several lanes of processors do at
once counts once. Medians of the rounds from the third on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from fedlora_tui.benchmarks.between import round_costs
from fedlora_tui.benchmarks.short_run import written_out
from fedlora_tui.benchmarks.whole_run import records_of
from fedlora_tui.config import Setting, load
from fedlora_tui.lora.base_model import EMBEDDED
from fedlora_tui.protocol.events import RoundFinished

PHASES = (
    ("train messages", "fedlora_tui.federation.server_app:Server.train"),
    ("  what is sent", "fedlora_tui.federation.server_app:Server._lacking"),
    ("  train_together", "fedlora_tui.federation.client_app:train_together"),
    ("    decoding what came", "fedlora_tui.federation.client_app:_received"),
    ("    train_cohort", "fedlora_tui.federation.client_app:train_cohort"),
    ("      drawing batches", "fedlora_tui.lora.cohort:_Member.__init__"),
    ("      stacking", "fedlora_tui.lora.stack:Stack.__init__"),
    ("      laying out a pass", "fedlora_tui.lora.cohort:laid_out"),
    ("      launching a pass", "fedlora_tui.lora.cohort:_captured_pass"),
    ("      a pass, not captured", "fedlora_tui.lora.cohort:_pass"),
    ("      AdamW's step", "fedlora_tui.lora.stack:CohortAdamW.update"),
    ("      waiting, and telling", "fedlora_tui.lora.readback:Readback._read"),
    ("      fetching", "fedlora_tui.lora.stack:Stack.here"),
    ("      an adapter each", "fedlora_tui.lora.stack:Stack.of"),
    ("        telling steps", "fedlora_tui.engine.watching:Watching.steps"),
    ("    encoding replies", "fedlora_tui.federation.client_app:train_reply"),
    ("  checking replies", "fedlora_tui.federation.server_app:read_train_reply"),
    ("aggregation", "fedlora_tui.engine.rounds:RoundLoop._aggregate"),
    ("  drift", "fedlora_tui.engine.aggregating:losses"),
    ("  norms and cosines", "fedlora_tui.engine.aggregating:updates"),
    ("  the method's", "fedlora_tui.aggregation.fedit:METHOD.aggregate"),
    ("  the server's step", "fedlora_tui.engine.aggregating:advance"),
    ("evaluation", "fedlora_tui.engine.rounds:RoundLoop._evaluate"),
    ("  measure_cohort", "fedlora_tui.federation.client_app:measure_cohort"),
    ("checkpoint", "fedlora_tui.engine.rounds:RoundLoop._save"),
    ("  the journal's sync", "fedlora_tui.engine.stream:Stream.sync"),
    ("  writing", "fedlora_tui.engine.checkpoint:write"),
    ("  thinning out", "fedlora_tui.engine.keeping:Keeping.wrote"),
    ("all events", "fedlora_tui.engine.stream:Stream.emit"),
)


def located(place: str) -> tuple[Any, str]:
    """Give what holds a function, and the function's name in it."""
    module, _, path = place.partition(":")
    *holders, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for holder in holders:
        owner = getattr(owner, holder, None)
    return owner, name


class Clock:
    """Adds up what phases take, round by round; a phase inside itself counts once."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.rounds: list[dict[str, float]] = []
        self._inside: set[str] = set()

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give a function that does the same and is timed."""

        def around(*given: Any, **named: Any) -> Any:
            if phase in self._inside:
                return function(*given, **named)
            self._inside.add(phase)
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self.spent[phase] += time.perf_counter() - began
                self._inside.discard(phase)

        return around

    def watch(self) -> None:
        """Time every phase that this version of the engine has, and whole rounds."""
        for phase, place in PHASES:
            owner, name = located(place)
            if hasattr(owner, name):
                # `METHOD` is frozen; a class takes its attributes as ever.
                put = setattr if isinstance(owner, type) else object.__setattr__
                put(owner, name, self.timed(phase, getattr(owner, name)))
        loop: Any = importlib.import_module("fedlora_tui.engine.rounds").RoundLoop
        one_round = loop._one_round

        def around(own: Any, round: int) -> Any:
            self.spent.clear()
            began = time.perf_counter()
            done = one_round(own, round)
            self.rounds.append({"round": time.perf_counter() - began, **self.spent})
            return done

        loop._one_round = around


def short_run(small: bool, rounds: int, folder: Path) -> Any:
    """Give the configuration of a run as `bench speed` compares it with Ray's; the base and the texts are written."""
    torch.manual_seed(7)
    dropout = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
    shape: dict[str, Any] = {"vocab_size": 4096} if small else {}
    model = folder / "model"
    GPT2LMHeadModel(GPT2Config(**shape, **dropout, bos_token_id=0, eos_token_id=0)).save_pretrained(model)
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(model)
    named = {
        "model.base": model,
        "model.device": "cpu" if small else "cuda",
        "model.dtype": "float32" if small else "bfloat16",
        "model.max_length": 16 if small else 128,
        "federation.organizations": 16,
        "federation.local_steps": 1 if small else 8,
        "federation.batch_size": 1 if small else 4,
        "federation.rounds": rounds,
    }
    config = load(None, [Setting(key, str(value), f"--set {key}") for key, value in named.items()])
    texts = folder / "organizations"
    texts.mkdir()
    return written_out(config, texts)


def main() -> int:
    """Run, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    clock = Clock()
    clock.watch()
    with tempfile.TemporaryDirectory() as folder:
        config = short_run(asked.small, asked.rounds, Path(folder))
        records = records_of(config)
    own = clock.rounds[2:] or clock.rounds
    medians = {
        phase: statistics.median(each.get(phase, 0.0) for each in own) * 1e3 for phase in ["round", *dict(PHASES)]
    }
    told = [record.event.seconds for record in records if isinstance(record.event, RoundFinished)]
    medians["round, as told"] = statistics.median(told[2:] or told) * 1e3
    if not asked.small:
        costs = round_costs(records)
        medians["steps, by their events"] = statistics.median(cost.training for cost in costs[2:] or costs) * 1e3
    if asked.json:
        print(json.dumps(medians))
        return 0
    for phase, spent in medians.items():
        print(f"{phase:<28} {spent:9.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
