"""Train LoRA alone on each of some synthetic organizations, and measure every one of them with every adapter.

    python scripts/gain_matrix.py --organizations hospital-ward,hospital-ward-2,bank-disputes --steps 64

The table says how many nats a token each adapter (a row) takes off the base's loss on each organization's hold-out (a
column). What helps one organization clearly more than another trade stands out on the diagonal.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from fedlora_tui.config import Config
from fedlora_tui.lora import base_model
from fedlora_tui.lora.adapter import initial
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.cohort import LocalTraining, measure, train_cohort
from fedlora_tui.lora.rows import Rows, Shape, tokenize
from fedlora_tui.organizations.source import open_source
from fedlora_tui.organizations.synthetic import trade_of
from fedlora_tui.organizations.text import split

SOME = "hospital-ward,hospital-ward-2,bank-disputes,bank-disputes-2,power-grid,law-firm,foundry,hotel"


def main() -> None:
    """Train, measure, print the table and save it where asked."""
    asked = arguments()
    torch.set_num_threads(asked.threads)
    names = asked.organizations.split(",")
    config = Config()
    base = base_model.load(config.model, config.lora)
    rows = [read(base, name, asked.seed, asked.holdout_tokens) for name in names]
    began = time.perf_counter()
    plan = LocalTraining(
        round=1,
        seed=asked.seed,
        local_steps=asked.steps,
        local_epochs=0,
        batch_size=asked.batch_size,
        learning_rate=asked.learning_rate,
    )
    start = initial(base.targets, config.lora.rank, config.lora.alpha, asked.seed)
    trained = train_cohort(base, [start] * len(names), rows, [plan] * len(names))
    alone = [measure(base, None, own).loss for own in rows]
    gains = [
        [loss - measure(base, result.adapter, own).loss for loss, own in zip(alone, rows, strict=True)]
        for result in trained
    ]
    print(table(names, alone, gains))
    print(f"\n{summary(names, gains)}; {time.perf_counter() - began:.0f} s of training and measuring")
    if asked.out:
        found = {"organizations": names, "base": alone, "gains": gains, "asked": {**vars(asked), "out": str(asked.out)}}
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--organizations", default=SOME, help="names with commas between them")
    parser.add_argument("--steps", type=int, default=64, help="optimizer steps of each")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--holdout-tokens", type=int, default=2048, help="most target tokens measured of each")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a .json file for the numbers")
    return parser.parse_args()


def read(base: BaseModel, name: str, seed: int, holdout_tokens: int) -> Rows:
    """Give one organization's rows, split as a run splits them."""
    data, model = Config().data, Config().model
    text = split(name, open_source(data, seed).documents(name), data.holdout, seed)
    return tokenize(base.tokenizer, name, text.train, text.holdout, Shape(model.max_length, holdout_tokens))


def table(names: list[str], alone: list[float], gains: list[list[float]]) -> str:
    """Lay the matrix out in Markdown: a row for the base's loss, then one for each adapter."""
    lines = [
        ["trained on", *names],
        ["---", *["---:"] * len(names)],
        ["(loss of the base)", *map("{:.2f}".format, alone)],
    ]
    lines += [[name, *map("{:.2f}".format, own)] for name, own in zip(names, gains, strict=True)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def summary(names: list[str], gains: list[list[float]]) -> str:
    """Tell the mean gains at home, in the same trade, and in other trades."""
    kinds: dict[str, list[float]] = {"its own": [], "another of the trade": [], "another trade": []}
    for row, trained_on in enumerate(names):
        for column, measured_on in enumerate(names):
            related = trade_of(trained_on) is trade_of(measured_on)
            kind = "its own" if row == column else "another of the trade" if related else "another trade"
            kinds[kind].append(gains[row][column])
    told = [f"{kind} {sum(values) / len(values):.2f}" for kind, values in kinds.items() if values]
    return f"mean gain in nats a token: {', '.join(told)}"


if __name__ == "__main__":
    main()
