"""The front door of the console: from a run's handle to how it was left, and what is said afterwards."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import UNICODE, Glyphs
from fedlora_tui.console.look import colours_of
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.terminal import kept_terminal
from fedlora_tui.protocol.handle import RunHandle
from fedlora_tui.protocol.state import RunState

ANSI_COLOURS = 16


@dataclass(frozen=True)
class ConsoleResult:
    """How the console was left and how the run stood then.

    `left` is `over` (the run had ended), `finish` or `stop` (it was ended from here), `abandoned` (left without waiting
    for a run that did not stop), or `refused` (it could not begin: `refusal` is the line that says why).
    """

    state: RunState
    left: str
    refusal: str | None = None


def run_console(handle: RunHandle, options: ConsoleOptions, log_file: Path) -> ConsoleResult:
    """Show a run until its operator leaves; what libraries print meanwhile goes to `log_file`.

    Call it from the main thread with a terminal. The terminal is given back as it was, whatever happens.
    """
    if colours_of(os.environ) == ANSI_COLOURS:
        os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", "standard")
    with kept_terminal(log_file):
        # Textual reads its settings when it is imported, and draws on the descriptors that it finds then.
        from fedlora_tui.console.app import ConsoleApp

        app = ConsoleApp(handle, options)
        sys.__stderr__.write("\x1b[22;0t")  # type: ignore[union-attr]
        try:
            left = app.run() or "abandoned"
        finally:
            sys.__stderr__.write("\x1b[23;0t")  # type: ignore[union-attr]
    app.session.poll()
    return ConsoleResult(app.session.state, left, handle.refusal)


def farewell(state: RunState, glyphs: Glyphs = UNICODE) -> str:
    """Write what stands on the ordinary screen afterwards: the run, its losses, its files, how to take it home."""
    started = state.started
    if started is None:
        return "  the run was left before it had begun; nothing was written\n"
    rounds = numbers.of(state.round, state.rounds, glyphs)
    losses = f"hold-out {numbers.loss(state.eval_loss, glyphs)}, base {numbers.loss(state.base_loss, glyphs)}"
    reason = f" ({state.reason})" if state.reason and state.phase in ("failed", "stopped") else ""
    lines = [f"  {started.run} {_ending(state)}{reason}: round {rounds}, {losses}"]
    checkpoint = f"   checkpoint round-{state.checkpoint.round:04d}" if state.checkpoint else ""
    lines.append(f"    files   {started.folder}{checkpoint}")
    if any(row.round > 0 for row in state.history):
        lines.append(f"    export  fedlora-tui export {started.run}")
    if state.phase == "failed":
        lines.append(f"    why     {started.folder}/engine.log")
    return "\n".join(lines) + "\n"


def _ending(state: RunState) -> str:
    return {"done": "is done", "failed": "failed", "stopped": "is stopped"}.get(state.phase, "was left")
