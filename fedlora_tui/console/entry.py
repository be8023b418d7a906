"""The front door of the console: from the handles of runs to how they were left, and what is said afterwards."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedlora_tui.console.look import colours_of
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.setup.offer import Adviser, Offer
from fedlora_tui.console.terminal import kept_terminal
from fedlora_tui.protocol.handle import Fork, ListRuns, RunHandle, Wheel
from fedlora_tui.protocol.state import RunState

ANSI_COLOURS = 16


@dataclass(frozen=True)
class ConsoleResult:
    """How the console was left and how the runs stood then, in the order of their handles.

    `left` is `over` (all had ended), `finish` or `stop` (they were ended from here), `detached` (they go on without),
    `resume` (the run in front has ended early and is to go on), `other` (`goes_to` says how another run is to be shown
    instead: attach, replay or resume, and its id), `abandoned` (left without waiting for a run that did
    not stop), or `refused` (one could not begin: `refusal` is the line that says why). `failure` is a line about the
    console itself, when it broke down.
    """

    states: tuple[RunState, ...]
    left: str
    refusal: str | None = None
    failure: str | None = None
    goes_to: tuple[str, str] | None = None


def run_console(
    handles: Sequence[RunHandle],
    options: ConsoleOptions,
    log_file: Path,
    wheel: Wheel | None = None,
    place: int = 0,
    fork: Fork | None = None,
    others: ListRuns | None = None,
) -> ConsoleResult:
    """Show a run, or those of a race, until the operator leaves; what libraries print goes to `log_file`.

    Call it from the main thread with a terminal. The terminal is given back as it was, whatever happens. With a
    `wheel` the runs go on where the console is left alone, breaks down, or loses its terminal. `place` is that of the
    run in front, `fork` starts further ones, `others` lists those that are there.
    """
    with terminal_for_textual(log_file):
        # Textual reads its settings when it is imported, and draws on the descriptors that it finds then.
        from fedlora_tui.console.alt_keys import read_alt_keys
        from fedlora_tui.console.app import ConsoleApp

        read_alt_keys()
        app = ConsoleApp(handles, options, wheel=wheel, fork=fork, others=others)
        app.runs.place = place
        if wheel is not None:
            signal.signal(signal.SIGHUP, lambda number, frame: app.call_later(app.hang_up))
        sys.__stderr__.write("\x1b[22;0t")  # type: ignore[union-attr]
        try:
            left = app.run() or ("abandoned" if wheel is None else "detached")
        finally:
            sys.__stderr__.write("\x1b[23;0t")  # type: ignore[union-attr]
    app.runs.poll()
    failure = None if app._exception is None else f"the console failed ({app._exception!r})"
    return ConsoleResult(app.runs.states, left, app.runs.refusal, failure, app.goes_to)


def run_setup(offer: Offer, adviser: Adviser, options: ConsoleOptions, log_file: Path) -> tuple[str, str | None]:
    """Show the setup screen until it is left; how it was (written, left, interrupted), and why it broke down if so."""
    with terminal_for_textual(log_file):
        from fedlora_tui.console.alt_keys import read_alt_keys
        from fedlora_tui.console.setup.app import INTERRUPTED, SetupApp

        read_alt_keys()
        app = SetupApp(offer, adviser, options)
        left = app.run() or INTERRUPTED
    return left, None if app._exception is None else f"the setup screen failed ({app._exception!r})"


@contextmanager
def terminal_for_textual(log_file: Path) -> Iterator[None]:
    """Keep the terminal for Textual, and let it see that terminal's own colours and size."""
    if colours_of(os.environ) == ANSI_COLOURS:
        os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", "standard")
    # Where these are exported they are believed before the terminal, and no change of its size would be seen.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    with kept_terminal(log_file):
        yield
