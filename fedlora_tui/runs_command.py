"""`fedlora-tui runs`: a table of the runs in a folder, or a line of JSON for each."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fedlora_tui.console.drawing import numbers
from fedlora_tui.engine.listing import list_runs
from fedlora_tui.protocol.handle import ListedRun

HEAD = ("run", "state", "round", "hold-out", "gain", "train", "started", "last", "parent")
LESS = ("last", "parent", "train", "started", "gain")
"""The columns that go first where the terminal is narrow."""

RIGHT = ("round", "hold-out", "gain", "train")


def print_runs(runs: Path, as_json: bool) -> None:
    """Print the runs of a folder, the newest first."""
    found = list_runs(runs)
    if as_json:
        for one in found:
            print(json.dumps(asdict(one), ensure_ascii=False), flush=True)
    elif found:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
        print(table(found, width), end="", flush=True)
    else:
        print(f"{runs}: no run here yet; fedlora-tui starts one", file=sys.stderr, flush=True)


def table(found: Sequence[ListedRun], width: int) -> str:
    """Lay runs out as a table of at most so many columns, leaving out what matters least."""
    shown = list(HEAD)
    rows = [dict(zip(HEAD, _cells(one), strict=True)) for one in found]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in HEAD}
    for name in LESS:
        if sum(widths[one] + 2 for one in shown) - 2 <= width:
            break
        shown.remove(name)
    lines = [dict(zip(HEAD, HEAD, strict=True)), *rows]
    return "".join(
        "  ".join(
            row[name].rjust(widths[name]) if name in RIGHT else row[name].ljust(widths[name]) for name in shown
        ).rstrip()[:width]
        + "\n"
        for row in lines
    )


def _cells(one: ListedRun) -> tuple[str, ...]:
    known = one.base_loss is not None and one.eval_loss is not None
    gain = one.base_loss - one.eval_loss if known else None  # type: ignore[operator]
    return (
        one.id,
        one.state,
        numbers.of(one.round, one.rounds),
        numbers.loss(one.eval_loss),
        numbers.signed(gain),
        numbers.loss(one.train_loss),
        _when(one.started),
        _when(one.last),
        f"{one.parent} {one.parent_round}" if one.parent else "",
    )


def _when(t: float | None) -> str:
    return "" if t is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(t))
