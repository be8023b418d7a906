"""How the runs of a race stand against each other, and what the terminal's title says of them all."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.view import OneRun, View
from fedlora_tui.protocol.state import RunState

LEAST_SPREAD = 0.05
"""Which share of the base's loss a chart of several runs reaches above it at least."""


def lowest(runs: Sequence[OneRun]) -> OneRun | None:
    """Give the run whose last hold-out loss is the lowest, None where none has one."""
    measured = [(run.state.eval_loss, run) for run in runs]
    finite = [(loss, run) for loss, run in measured if loss is not None and math.isfinite(loss)]
    return min(finite, key=lambda pair: pair[0])[1] if finite else None


def ceiling(runs: Sequence[OneRun]) -> float:
    """Give the loss above which a run's marks are left out where it is not the one looked at.

    It is as far above the base as the best loss is below it: one run that diverges would press all others flat.
    """
    told = [(row.round, row.eval_loss) for run in runs for row in run.state.history if row.eval_loss is not None]
    losses = [loss for _, loss in told if math.isfinite(loss)]
    base = max((loss for number, loss in told if number == 0 and math.isfinite(loss)), default=math.inf)
    if math.isinf(base):
        return base
    return base + max(base - min(losses), LEAST_SPREAD * abs(base))


def loss_at(state: RunState, number: int) -> float | None:
    """Give a run's hold-out loss of a round, None where it was not measured."""
    return next((row.eval_loss for row in state.history if row.round == number), None)


def common_round(runs: Sequence[OneRun]) -> int | None:
    """Give the last round that every run has measured, of those that have measured any; None where none has."""
    measured = [{row.round for row in run.state.history if row.eval_loss is not None} for run in runs]
    begun = [rounds for rounds in measured if rounds]
    return max(set.intersection(*begun), default=None) if begun else None


def title(view: View) -> str:
    """Write the terminal's title: state, round, loss; of a race the lowest loss and whose it is."""
    state, glyphs = view.going, view.look.glyphs
    failed = state.over and any(run.state.phase == "failed" for run in view.runs)
    sign = glyphs.run_state("failed" if failed else state.phase)
    if not state.rounds:
        return f"{sign} fedlora"
    best = lowest(view.runs) if view.racing else None
    loss = numbers.loss(state.eval_loss if best is None else best.state.eval_loss, glyphs)
    if view.replay is not None:
        sign = f"{glyphs.run_state('replay')} replay"
    words = [sign, numbers.of(state.round, state.rounds, glyphs), loss, best.label if best else "", "fedlora"]
    return " ".join(word for word in words if word)
