"""The command line's side of benchmarks: which there are, what each takes, and how a report is printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from fedlora_tui.benchmarks.ending import ended_by_signals
from fedlora_tui.benchmarks.report import Cell, Report
from fedlora_tui.config import Config
from fedlora_tui.console.drawing.bars import share_bar
from fedlora_tui.console.drawing.glyphs import Glyphs, glyphs_for
from fedlora_tui.engine.run import log_to_files_alone
from fedlora_tui.errors import UserError

BAR_WIDTH = 40
PAGE_WIDTH = 160


@dataclass(frozen=True)
class Asked:
    """What the command line asked of a benchmark."""

    config: Config
    seeds: int = 3
    rates: tuple[float, ...] = ()
    partitions: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = (1, 4)
    repeats: int = 3
    short_rounds: int = 10
    short_length: int = 64
    organizations: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()
    cohorts: tuple[int, ...] = ()


def run_bench(name: str, asked: Asked, as_json: bool) -> int:
    """Run a benchmark and print it on stdout, its progress on stderr. Raises UserError for an unknown name."""
    if name not in BENCHES:
        raise UserError(f"bench {name}: no such benchmark; known are {', '.join(BENCHES)}")
    log_to_files_alone()
    narration = Console(stderr=True)
    with ended_by_signals(), narration.status(f"bench {name}", spinner="line") as status:

        def say(text: str) -> None:
            status.update(text)
            if not narration.is_terminal:
                narration.print(text, highlight=False)

        report = BENCHES[name](asked, say)
    if as_json:
        sys.stdout.write(report.to_json() + "\n")
        sys.stdout.flush()
    else:
        # A table in a file, or in a pipe, has no terminal whose width it would have to keep to.
        print_report(Console(width=None if sys.stdout.isatty() else PAGE_WIDTH), report)
    return 0


def print_report(console: Console, report: Report) -> None:
    """Print a report as an aligned table, its ratios and its notes."""
    headings = report.headings or {column: column.replace("_", " ") for column in report.rows[0]}
    columns = [column for column in headings if any(row[column] is not None for row in report.rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        words = all(isinstance(row[column], str) for row in report.rows)
        table.add_column(headings[column], justify="left" if words else "right", no_wrap=words)
    for row in report.rows:
        table.add_row(*(shown(row[column]) for column in columns))
    console.print(table)
    console.print()
    for title, bars in report.bars.items():
        console.print(title, style="bold", highlight=False)
        for line in drawn(bars, BAR_WIDTH, glyphs_for(os.environ, console.encoding)):
            console.print(line, highlight=False)
        console.print()
    for name, value in report.ratios.items():
        console.print(f"{name}: {_ratio(value)}", highlight=False)
    for note in report.notes:
        console.print(note, style="dim", highlight=False)
    facts = ", ".join(f"{name} {value}" for name, value in report.machine.items() if value is not None)
    console.print(f"on: {facts}", style="dim", highlight=False)


def drawn(bars: Sequence[tuple[str, float]], width: int, glyphs: Glyphs) -> list[str]:
    """Draw one bar a line, `width` cells for the largest value, the label before it and the value behind it."""
    most = max((value for _, value in bars), default=0.0)
    left = max((len(label) for label, _ in bars), default=0)
    lines = []
    for label, value in bars:
        filled, rest = share_bar(value / most if most else 0.0, width, glyphs)
        lines.append(f"{label:>{left}} {filled}{' ' * len(rest)} {shown(value)}")
    return lines


def shown(cell: Cell) -> str:
    """Give a cell in words, numbers in as many digits as they are read with."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
    return str(cell)


def _ratio(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_ratio(each)}" for name, each in value.items())
    return shown(value) if isinstance(value, str | int | float) or value is None else str(value)


def _quality(asked: Asked, say: Callable[[str], None]) -> Report:
    if asked.methods:
        from fedlora_tui.benchmarks.methods import Methods

        return Methods(asked.config, asked.methods, asked.seeds, asked.partitions, asked.rates, say).report()

    from fedlora_tui.benchmarks.quality import Quality

    return Quality(asked.config, asked.seeds, asked.partitions, asked.rates, say).report()


def _robust(asked: Asked, say: Callable[[str], None]) -> Report:
    from fedlora_tui.benchmarks.robust import Robust

    return Robust(asked.config, asked.seeds, say).report()


def _speed(asked: Asked, say: Callable[[str], None]) -> Report:
    from fedlora_tui.benchmarks.speed import Speed

    return Speed(asked.config, asked.batch_sizes, asked.repeats, asked.short_rounds, say, asked.short_length).report()


def _rounds(asked: Asked, say: Callable[[str], None]) -> Report:
    from fedlora_tui.benchmarks.rounds import Costs

    return Costs(asked.config, asked.organizations, asked.ranks, asked.cohorts, say).report()


def _secure(asked: Asked, say: Callable[[str], None]) -> Report:
    from fedlora_tui.benchmarks.secure import Secure

    return Secure(asked.config, asked.organizations, say).report()


def _console(asked: Asked, say: Callable[[str], None]) -> Report:
    try:
        from fedlora_tui.benchmarks.console import ConsoleBench
    except ModuleNotFoundError as missing:
        raise UserError(f"bench console needs pseudo-terminals, which this system lacks ({missing.name})") from None
    return ConsoleBench(asked.config, asked.organizations, asked.repeats, say).report()


def _streaming(asked: Asked, say: Callable[[str], None]) -> Report:
    from fedlora_tui.benchmarks.streaming import Streaming

    return Streaming(asked.organizations, say).report()


def _deployed(asked: Asked, say: Callable[[str], None]) -> Report:
    from fedlora_tui.benchmarks.deployed import Deployed

    return Deployed(asked.config, asked.organizations, say).report()


BENCHES: dict[str, Callable[[Asked, Callable[[str], None]], Report]] = {
    "quality": _quality,
    "robust": _robust,
    "speed": _speed,
    "rounds": _rounds,
    "console": _console,
    "secure": _secure,
    "streaming": _streaming,
    "deployed": _deployed,
}
