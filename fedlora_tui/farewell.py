"""What stands on the ordinary screen after a run was left: the run, its losses, its files, how to take it home."""

from __future__ import annotations

import shlex
from pathlib import Path

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import UNICODE, Glyphs
from fedlora_tui.protocol.state import RunState


def farewell(state: RunState, glyphs: Glyphs = UNICODE) -> str:
    """Write a few lines for stderr about a run that this process no longer shows."""
    started = state.started
    if started is None:
        return "  the run was left before it had begun; nothing was written\n"
    rounds = numbers.of(state.round, state.rounds, glyphs)
    losses = f"hold-out {numbers.loss(state.eval_loss, glyphs)}, base {numbers.loss(state.base_loss, glyphs)}"
    reason = f" ({state.reason})" if state.reason and state.phase in ("failed", "stopped") else ""
    early = state.phase == "done" and state.round < state.rounds
    lines = [f"  {started.run} {'was finished early' if early else _ending(state)}{reason}: round {rounds}, {losses}"]
    checkpoint = f"   checkpoint round-{state.checkpoint.round:04d}" if state.checkpoint else ""
    lines.append(f"    files   {started.folder}{checkpoint}")
    if any(row.round > 0 for row in state.history):
        where = started.run if Path(started.folder).parent == Path("runs") else shlex.quote(started.folder)
        lines.append(f"    export  fedlora-tui export {where}")
    if state.phase == "failed":
        lines.append(f"    why     {started.folder}/engine.log")
    return "\n".join(lines) + "\n"


def _ending(state: RunState) -> str:
    return {"done": "is done", "failed": "failed", "stopped": "is stopped"}.get(state.phase, "was left")
