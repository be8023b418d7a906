"""The face with a terminal: a run and its console in one process, and what is said after leaving."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from fedlora_tui.config import Config
from fedlora_tui.console.drawing.glyphs import glyphs_for
from fedlora_tui.console.entry import run_console
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.terminal import has_terminal
from fedlora_tui.engine.race import Entry, Race
from fedlora_tui.engine.run import LOG, Manner, log_to_files_alone
from fedlora_tui.errors import UserError
from fedlora_tui.farewell import farewells

MOST_READERS = 4
"""More bring texts sooner than one process takes them up."""

DEFAULTS = "defaults"
"""What the settings are called where no file was read."""


def run_with_console(given: Sequence[Entry], ascii_only: bool) -> int:
    """Show a run, or a race of several, until the operator leaves; give the exit status.

    Raises UserError where there is no terminal.
    """
    if not has_terminal():
        raise UserError("no terminal here: the console needs one; fedlora-tui run does the same run without")
    log_to_files_alone()
    terminated = _end_on_termination()
    with tempfile.TemporaryDirectory(prefix="fedlora-tui-") as waiting_room:
        early = Path(waiting_room) / LOG
        race = Race(
            with_readers(given), Manner(on_folder=lambda folder: _move_output(early, folder / LOG), tells_past=True)
        )
        result = run_console(race.racers, _options(given[0].config, ascii_only), early)
        if result.refusal is not None:
            raise UserError(result.refusal)
        if result.left == "abandoned":
            race.abandon("left by the operator")
        race.close()
        if result.failure is not None:
            sys.stderr.write(f"fedlora-tui: {result.failure}\n")
        glyphs = glyphs_for(os.environ, sys.stderr.encoding, ascii_only)
        sys.stderr.write(
            farewells(list(zip((racer.label for racer in race.racers), result.states, strict=True)), glyphs)
        )
        sys.stderr.flush()
    if terminated:
        status = 128 + signal.SIGTERM
    else:
        status = 1 if result.failure is not None or any(state.phase == "failed" for state in result.states) else 0
    if not race.over:
        # A worker inside a native call cannot be joined, and the interpreter would crash under it.
        os._exit(status)
    return status


def with_readers(given: Sequence[Entry]) -> Sequence[Entry]:
    """Let processes read texts ahead, unless the configuration says how many: what this one reads, keys wait for.

    The runs of a race would each have their own, for the same texts.
    """
    (first, *others) = given
    if others or first.config.data.readers != "auto":
        return given
    data = replace(first.config.data, readers=min(MOST_READERS, os.cpu_count() or 1))
    return [replace(first, config=replace(first.config, data=data))]


def _end_on_termination() -> list[int]:
    """Let a termination signal leave the console as an interrupt does, the terminal restored, and be noted."""
    noted: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        # asyncio knows how to end its loop on an interrupt, and Textual to give the terminal back after it.
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, terminate)
    return noted


def _options(config: Config, ascii_only: bool) -> ConsoleOptions:
    console = config.console
    return ConsoleOptions(
        model=config.model.base,
        configuration=Path(config.file).name or DEFAULTS,
        refresh_hz=None if isinstance(console.refresh_hz, str) else console.refresh_hz,
        theme=console.theme,
        bell=console.bell,
        ascii=ascii_only,
    )


def _move_output(early: Path, log: Path) -> None:
    """Send what libraries print to the run's own log as soon as there is one, with what they printed before."""
    with log.open("ab") as whole:
        if early.exists():
            with early.open("rb") as before:
                shutil.copyfileobj(before, whole)
        whole.flush()
        for descriptor in (1, 2):
            os.dup2(whole.fileno(), descriptor)
