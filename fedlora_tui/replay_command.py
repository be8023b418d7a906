"""`fedlora-tui replay`: the console on a journal, or on the one that comes along, with no model and no run."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import tempfile
from pathlib import Path

from fedlora_tui.console.entry import run_console
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.player import Replay
from fedlora_tui.console.terminal import need_terminal
from fedlora_tui.console_run import CONSOLE_LOG
from fedlora_tui.engine import journal
from fedlora_tui.errors import UserError
from fedlora_tui.held_signals import end_on_termination
from fedlora_tui.other_processes import RunsBeside, go_to
from fedlora_tui.protocol.events import Record, RunStarted

DEMO = "demo"
"""The name of the recording that comes along."""


def demo_folder() -> Path:
    """Give the folder of the recording that comes along."""
    return Path(__file__).parent / "assets" / DEMO


def run_of(named: str | None) -> str | None:
    """Give the run that was named, by its id, its folder or its journal."""
    return str(Path(named).parent) if named is not None and Path(named).name == journal.NAME else named


def replay_console(folder: Path, runs: Path, speed: float, ascii_only: bool) -> int:
    """Show what the journal of a run's folder holds until the operator leaves; give the exit status.

    From there the operator may go to one of the runs in `runs`, and this process becomes another.

    Raises UserError where there is no terminal, or no journal that can be replayed.
    """
    records = recorded(folder)
    need_terminal("a replay needs one", f"the journal itself is {folder / journal.NAME}")
    options = _options(records, folder, ascii_only)
    # Going through hundreds of thousands of records again and again would hold keys up.
    gc.freeze()
    terminated = end_on_termination()
    with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as scratch:
        log = Path(scratch) / CONSOLE_LOG
        result = run_console([Replay(records, speed)], options, log, others=RunsBeside(runs))
    if result.failure is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"fedlora-tui: {result.failure}\n")
    if result.goes_to is not None and not terminated and result.failure is None:
        how, run = result.goes_to
        go_to(how, runs / run, ascii_only)
    return 128 + signal.SIGTERM if terminated else int(result.failure is not None)


def recorded(folder: Path) -> list[Record]:
    """Read what a journal holds by now. Raises UserError where that is nothing, or nothing that can be read."""
    path, records = folder / journal.NAME, list[Record]()
    try:
        records.extend(journal.read(folder))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise UserError(f"{path}: not a journal that this version replays: {error}") from None
    if not records:
        raise UserError(f"{path}: holds no event yet; fedlora-tui replay {DEMO} shows the one that comes along")
    return records


def _options(records: list[Record], folder: Path, ascii_only: bool) -> ConsoleOptions:
    started = next((record.event for record in records if isinstance(record.event, RunStarted)), None)
    console = dict(started.config.get("console", {})) if started is not None else {}
    return ConsoleOptions(
        run=started.run if started is not None else folder.name,
        runs_folder=str(folder.parent),
        model=started.model if started is not None else "",
        theme="light" if console.get("theme") == "light" else "dark",
        bell=False,
        ascii=ascii_only,
        keys={str(name): str(keys) for name, keys in dict(console.get("keys", {})).items()},
    )
