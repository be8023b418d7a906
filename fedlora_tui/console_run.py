"""The face with a terminal: the console on runs of another process, and what is said after leaving."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from fedlora_tui.attached import Link, attach
from fedlora_tui.config import Config
from fedlora_tui.console.drawing.glyphs import glyphs_for
from fedlora_tui.console.entry import run_console
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.terminal import need_terminal
from fedlora_tui.engine.ending import LAST_LINE_SECONDS, LAST_STEP_SECONDS
from fedlora_tui.engine.past import TERMINATED
from fedlora_tui.engine.process import start_engine
from fedlora_tui.engine.race import Entry
from fedlora_tui.engine.run import Manner
from fedlora_tui.errors import UserError
from fedlora_tui.farewell import farewells
from fedlora_tui.held_signals import HungUp, end_on_termination, held_back, leave_on_hang_up
from fedlora_tui.other_processes import ForkBeside, RunsBeside, go_to, resume_here
from fedlora_tui.protocol.commands import Stop
from fedlora_tui.protocol.state import fold

MOST_READERS = 4
"""More bring texts sooner than one process takes them up."""

CONSOLE_LOG = "console.log"
DEFAULTS = "defaults"
"""What the settings are called where no file was read."""


def run_with_console(given: Sequence[Entry], ascii_only: bool) -> int:
    """Show a run, or a race of several, until the operator leaves; give the exit status.

    The runs go on in a process of their own, whatever becomes of the console. Raises UserError where there is no
    terminal.
    """
    _need_terminal()
    labels, runs = [entry.label for entry in given], runs_of(given[0])
    options, continues = _options(given[0].config, ascii_only), [entry.continues for entry in given]
    with held_back() as release:
        engine = start_engine(with_readers(given), Manner(tells_past=True))
        link = Link(engine.connection, steers=True, labels=labels, ending=engine.ending, home=runs)
        return _show(link, options, engine.terminate, runs, continues, release)


def attach_console(folder: Path, config: Config, ascii_only: bool, readonly: bool) -> int:
    """Show a run that goes on in another process until the operator leaves; give the exit status.

    Raises UserError where there is no terminal, or no such process.
    """
    _need_terminal()
    link = attach(folder, steers=not readonly)
    options = replace(_options(config, ascii_only), run=folder.name)
    return _show(link, options, None, folder.parent)


def runs_of(entry: Entry) -> Path:
    """Give the folder in which a run's own stands, or will stand."""
    return Path(entry.config.runs.dir) if entry.continues is None else entry.continues.parent


def _need_terminal() -> None:
    need_terminal("the console needs one", "fedlora-tui run does the same run without")


def _show(
    link: Link,
    options: ConsoleOptions,
    terminate: Callable[..., None] | None,
    runs: Path,
    continues: Sequence[Path | None] = (),
    ready: Callable[[], None] = lambda: None,
) -> int:
    """Put the console on runs of another process; give the exit status and say how they were left.

    `terminate` ends their process, None where this one did not start it: whatever ends this one, they go on. Their
    folders stand in `runs`; `continues` are those of runs that go on. `ready` lets signals come that were held back.
    Where the operator goes on with a run that has ended, this process becomes another.
    """
    terminated = end_on_termination()
    leave_on_hang_up()
    options = replace(options, runs_folder=str(runs))
    with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as folder:
        log = Path(folder) / CONSOLE_LOG
        try:
            ready()
            result = run_console(link.runs, options, log, link, link.place, ForkBeside(runs), RunsBeside(runs))
        except KeyboardInterrupt:
            # Before the console stood, or once more while it gave the terminal back.
            return _interrupted(link, terminate, terminated)
        except HungUp:
            link.close()
            return 0
        if result.failure is not None:
            kept = _kept(log)
            result = replace(result, failure=f"{result.failure}{kept and f': see {kept}'}")
    if terminated and terminate is not None and not all(run.over for run in link.runs):
        _end(link, terminate)
    elif result.left == "abandoned" and terminate is not None:
        _end_at_once(terminate)
    # What was told since the last look: a process may have ended before its console had given the terminal back.
    newest = (fold(state, run.drain()) for state, run in zip(result.states, link.runs, strict=True))
    result = replace(result, states=tuple(newest))
    labels = [run.label for run in link.runs]
    link.close()
    if result.left == "resume" and not terminated and (started := result.states[0].started) is not None:
        resume_here(runs / started.run, link.process, options.ascii)
    if result.refusal is not None:
        raise UserError(result.refusal)
    with contextlib.suppress(OSError):  # a terminal that has hung up takes no words
        if result.failure is not None:
            sys.stderr.write(f"fedlora-tui: {result.failure}\n")
        glyphs = glyphs_for(os.environ, sys.stderr.encoding, options.ascii)
        folders = [run.folder or own for run, own in zip_longest(link.runs, continues)]
        sys.stderr.write(farewells(list(zip(labels, result.states, strict=True)), glyphs, folders))
        sys.stderr.flush()
    if result.goes_to is not None and not terminated and result.failure is None:
        how, run = result.goes_to
        go_to(how, runs / run, options.ascii)
    if terminated:
        return 128 + signal.SIGTERM
    return 1 if result.failure is not None or any(state.phase == "failed" for state in result.states) else 0


def _interrupted(link: Link, terminate: Callable[..., None] | None, terminated: Sequence[int]) -> int:
    """Leave no run behind that nobody has seen: end those that this process started; give the exit status."""
    if terminate is not None:
        _end(link, terminate)
        lists = "; fedlora-tui runs lists the runs" if any(run.folder is not None for run in link.runs) else ""
        how = "terminated" if terminated else "interrupted"
        with contextlib.suppress(OSError):
            sys.stderr.write(f"fedlora-tui: {how}: what was started is ended{lists}\n")
    link.close()
    return 128 + (signal.SIGTERM if terminated else signal.SIGINT)


def _end(link: Link, terminate: Callable[..., None]) -> None:
    """Let the runs end as a termination of `fedlora-tui run` would, and wait for it.

    Their process sees to the end of what it writes and of steps that take long; nothing here waits for that.
    """
    try:
        if link.may_steer:
            link.ask(0, Stop(TERMINATED))
            _wait_for_end(link, LAST_STEP_SECONDS)
        if not all(run.over for run in link.runs):
            terminate()
            _wait_for_end(link, LAST_STEP_SECONDS + LAST_LINE_SECONDS)
    except KeyboardInterrupt:
        _end_at_once(terminate)


def _end_at_once(terminate: Callable[..., None]) -> None:
    """Let the runs end without waiting for a step: their process is told twice, and two of one kind may come as one."""
    terminate()
    terminate(signal.SIGTERM)


def _wait_for_end(link: Link, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not all(run.over for run in link.runs):
        time.sleep(0.05)


def _kept(log: Path) -> str:
    """Keep what the console's libraries printed before it broke down; give where, empty where that is nowhere."""
    try:
        descriptor, path = tempfile.mkstemp(prefix="fedlora-tui-console-", suffix=".log")
        os.close(descriptor)
        shutil.copyfile(log, path)
    except OSError:
        return ""
    return path


def with_readers(given: Sequence[Entry]) -> Sequence[Entry]:
    """Let processes read texts ahead, unless the configuration says how many: what this one reads, keys wait for.

    The runs of a race would each have their own, for the same texts.
    """
    (first, *others) = given
    if others or first.config.data.readers != "auto":
        return given
    data = replace(first.config.data, readers=min(MOST_READERS, os.cpu_count() or 1))
    return [replace(first, config=replace(first.config, data=data))]


def _options(config: Config, ascii_only: bool) -> ConsoleOptions:
    console = config.console
    return ConsoleOptions(
        model=config.model.base,
        configuration=Path(config.file).name or DEFAULTS,
        refresh_hz=None if isinstance(console.refresh_hz, str) else console.refresh_hz,
        theme=console.theme,
        bell=console.bell,
        ascii=ascii_only,
        prompts=console.prompts,
        keys=console.keys,
        spares=True,
    )
