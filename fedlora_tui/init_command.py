"""`fedlora-tui init`: a screen on which a run is put together, and the commented config.toml that comes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import tempfile
from functools import partial
from pathlib import Path

from fedlora_tui.advising import AdvisingProcess
from fedlora_tui.config import FederationConfig, LoraConfig, PrivacyConfig
from fedlora_tui.console.entry import run_setup
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.setup.offer import Chosen, Offer
from fedlora_tui.console.terminal import need_terminal
from fedlora_tui.console_run import CONSOLE_LOG
from fedlora_tui.errors import UserError
from fedlora_tui.held_signals import end_on_termination
from fedlora_tui.place import look
from fedlora_tui.setup_choice import comments, complaints, lines_of, text_of, usual_rounds
from fedlora_tui.whole_file import replace_file, written_aside

OUT = "config.toml"
LEFT_STATUS, INTERRUPTED_STATUS = 1, 130


def init(out: str, defaults: bool, ascii_only: bool) -> int:
    """Ask on a screen, or with `defaults` nobody, and write the configuration to `out`; give the exit status.

    That is 1 where the screen was left with nothing written. Raises UserError where there is no terminal, or where
    nothing can be written.
    """
    if defaults:
        try:
            write(out, None, False)
        except FileExistsError:
            raise UserError(f"{out}: is there already and is not overwritten; name another file with --out") from None
        return _say_written(out)
    need_terminal("init asks on one", "fedlora-tui init --defaults writes without asking")
    terminated = end_on_termination()
    with AdvisingProcess() as adviser, tempfile.TemporaryDirectory(prefix="fedlora-tui-") as scratch:
        left, failure = run_setup(offer(out), adviser, ConsoleOptions(ascii=ascii_only), Path(scratch) / CONSOLE_LOG)
    if failure is not None:
        _say(failure)
    elif left == "written":
        return _say_written(out)
    else:
        _say("nothing was written")
    if terminated:
        return 128 + signal.SIGTERM
    return INTERRUPTED_STATUS if left == "interrupted" else LEFT_STATUS


def offer(out: str) -> Offer:
    """Give all that the screen is handed."""
    return Offer(
        out=out,
        keys=comments(),
        organizations=FederationConfig.organizations,
        rank=LoraConfig().default_rank,
        method=FederationConfig.aggregation,
        epsilon=PrivacyConfig.target_epsilon,
        rounds=usual_rounds,
        complaints=complaints,
        lines=lines_of,
        write=partial(write, out),
    )


def write(out: str, chosen: Chosen | None, over: bool) -> None:
    """Write the file, whole or not at all; over one that is there only with `over`, else FileExistsError.

    Raises UserError where it cannot be written.
    """
    place = look(out, f"{out}: cannot look there", "name another file with --out")
    if place.is_folder:
        raise UserError(f"{out}: is a folder; name a file with --out")
    if os.path.lexists(place.path) and not over:
        raise FileExistsError(out)
    # A link stays one: what it leads to is written.
    path = place.path.resolve()
    text = text_of(chosen).encode()
    try:
        if over:
            replace_file(path, text, _mode_of(path))
        else:
            with written_aside(path, text) as aside:
                _put_in_place(aside, path)
    except FileExistsError:
        raise
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}; name another file with --out") from None


def _mode_of(path: Path) -> int | None:
    """Give who may do what with a file, None where there is none."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _put_in_place(aside: Path, path: Path) -> None:
    """Give a file its name unless one has it by now: a link never takes another file's place."""
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with path.open("x", encoding="utf-8") as file:
            file.write(aside.read_text(encoding="utf-8"))


def _say_written(out: str) -> int:
    usual = out == OUT
    _say(f"{out} is written; {'fedlora-tui' if usual else f'fedlora-tui -c {out}'} starts a run with it")
    return 0


def _say(words: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that has hung up takes no words
        print(f"fedlora-tui: {words}", file=sys.stderr, flush=True)
