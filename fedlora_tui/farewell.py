"""What stands on the ordinary screen after a run was left: the run, its losses, its files, how to take it home.

After a race: the table of its runs, the best one marked, and then each of them.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import UNICODE, Glyphs
from fedlora_tui.protocol.naming import called
from fedlora_tui.protocol.state import RunState

HEAD = ("", "setting", "hold-out", "gain", "best", "in round", "drift", "trainable", "MiB a round", "rounds")
LESS = ("best", "in round", "trainable", "MiB a round")
"""The columns that go first where the terminal is narrow."""


def farewells(
    runs: Sequence[tuple[str, RunState]], glyphs: Glyphs = UNICODE, folders: Sequence[Path | None] = ()
) -> str:
    """Write the lines for stderr about runs, each with the label that tells it from the others.

    `folders` say where runs are, where that is known better than from their first event: of one that goes on.
    """
    known = [*folders, *(None for _ in runs[len(folders) :])]
    whole = "".join(farewell(state, glyphs, folder) for (_, state), folder in zip(runs, known, strict=True))
    begun = any(state.started is not None for _, state in runs)
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    return f"{race_table(runs, glyphs, width)}\n{whole}" if len(runs) > 1 and begun else whole


def race_table(runs: Sequence[tuple[str, RunState]], glyphs: Glyphs = UNICODE, width: int | None = None) -> str:
    """Lay the runs of a race side by side: what was reached, what it took, and what each method lost on the way.

    Where they take more than `width` columns, what matters least is left out.
    """
    reached = [state.eval_loss for _, state in runs if state.eval_loss is not None]
    rows = [HEAD, *(_race_row(label, state, min(reached, default=None), glyphs) for label, state in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    shown = list(range(len(HEAD)))
    for name in LESS:
        if width is not None and sum(widths[column] + 2 for column in shown) - 2 > width:
            shown.remove(HEAD.index(name))
    return "".join(
        "  ".join(
            row[column].ljust(widths[column]) if column < 2 else row[column].rjust(widths[column]) for column in shown
        ).rstrip()
        + "\n"
        for row in rows
    )


def _race_row(label: str, state: RunState, lowest: float | None, glyphs: Glyphs) -> tuple[str, ...]:
    best, loss = state.best, state.eval_loss
    drifts = [row.drift for row in state.history if row.drift is not None]
    moved = [row.bytes_up + row.bytes_down for row in state.history if row.round > 0]
    return (
        glyphs.run_state("done") if loss is not None and loss == lowest else "",
        label,
        numbers.loss(loss, glyphs),
        numbers.signed(state.gain, glyphs),
        numbers.loss(best.eval_loss if best else None, glyphs),
        numbers.whole(best.round if best else None, glyphs),
        numbers.drift(statistics.fmean(drifts) if drifts else None, glyphs),
        numbers.count_short(state.trainable or None, glyphs),
        numbers.mebibytes(statistics.fmean(moved) if moved else None, glyphs),
        numbers.of(state.round, state.rounds, glyphs),
    )


def farewell(state: RunState, glyphs: Glyphs = UNICODE, folder: Path | None = None) -> str:
    """Write a few lines for stderr about a run that is no longer shown; `folder` is that of one that goes on."""
    started = state.started
    if started is None and folder is not None:
        kept = f"  {folder.name} was left before it went on: it is as it was\n"
        return f"{kept}    go on   fedlora-tui resume {called(folder)}\n"
    if started is None:
        return "  the run was left before it had begun; nothing was written\n"
    rounds = numbers.of(state.round, state.rounds, glyphs)
    losses = f"hold-out {numbers.loss(state.eval_loss, glyphs)}, base {numbers.loss(state.base_loss, glyphs)}"
    reason = f" ({state.reason})" if state.reason and state.phase in ("failed", "stopped") else ""
    early = state.phase == "done" and state.round < state.rounds
    lines = [f"  {started.run} {'was finished early' if early else _ending(state)}{reason}: round {rounds}, {losses}"]
    checkpoint = f"   checkpoint round-{state.checkpoint.round:04d}" if state.checkpoint else ""
    home = str(folder or started.folder)
    lines.append(f"    files   {home}{checkpoint}")
    where = called(home)
    if state.phase in ("failed", "stopped"):
        lines.append(f"    go on   fedlora-tui resume {where}{_goes_on_from(state)}")
    if not state.over:
        lines.append(f"    attach  fedlora-tui attach {where}")
    if any(row.round > 0 for row in state.history):
        lines.append(f"    export  fedlora-tui export {where}")
    if state.phase == "failed":
        lines.append(f"    why     {home}/engine.log")
    return "\n".join(lines) + "\n"


def _goes_on_from(state: RunState) -> str:
    """Say what of a run that ended within a round is done again: checkpoints are of whole rounds."""
    last = state.checkpoint.round if state.checkpoint else 0
    if state.round <= last:
        return ""
    return f"   after round {last}: round {state.round} begins again" if last else "   from round 1 on"


def _ending(state: RunState) -> str:
    still = "is paused" if state.phase in ("paused", "pausing") else "goes on"
    return {"done": "is done", "failed": "failed", "stopped": "is stopped"}.get(state.phase, still)
