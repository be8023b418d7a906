"""What a benchmark gives: rows of numbers, the ratios that scripts rely on, and the machine it ran on."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedlora_tui import __version__

Cell = str | int | float | None


@dataclass(frozen=True)
class Report:
    """One benchmark's result; every row has a name.

    `ratios` are what the contract names; `notes` say in words what a table cannot. `headings` name the columns that a
    table shows (without any: all, by their own names), `bars` what is drawn below it: a title, then labels and values.
    """

    bench: str
    rows: Sequence[Mapping[str, Cell]]
    ratios: Mapping[str, Any]
    notes: Sequence[str] = ()
    machine: Mapping[str, Cell] = field(default_factory=lambda: machine())
    headings: Mapping[str, str] = field(default_factory=dict)
    bars: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Give the report as one JSON object on one line; numbers that are not finite are null."""
        told = {"bench": self.bench, "machine": self.machine, "rows": self.rows, "ratios": self.ratios}
        return json.dumps(_finite({**told, "notes": self.notes}), allow_nan=False)


def machine() -> dict[str, Cell]:
    """Tell on what a benchmark ran."""
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "torch": str(torch.__version__),
        "fedlora_tui": __version__,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
