"""How runs of a race are held against each other."""

from __future__ import annotations

import math

from fedlora_tui.console.standing import ceiling, common_round, loss_at, lowest
from fedlora_tui.console.view import OneRun
from fedlora_tui.protocol.state import RoundSummary, RunState


def run(label: str, *losses: float | None) -> OneRun:
    history = tuple(RoundSummary(number, None, loss) for number, loss in enumerate(losses))
    return OneRun(label, RunState(history=history))


def test_the_lowest_is_that_of_the_last_losses() -> None:
    runs = [run("a", 3.4, 2.0, 3.1), run("b", 3.4, 3.0), run("c", 3.4, math.nan), run("d")]
    assert lowest(runs) is runs[1]
    assert lowest([run("a"), run("b", math.nan)]) is None


def test_the_common_round_is_the_last_that_all_have_measured() -> None:
    assert common_round([run("a", 3.4, 3.1, 3.0), run("b", 3.4, 3.2)]) == 1
    assert common_round([run("a", 3.4, 3.1, 3.0), run("b", 3.4, 3.2, None), run("not begun")]) == 1
    assert common_round([run("a"), run("b")]) is None
    assert loss_at(run("b", 3.4, 3.2).state, 1) == 3.2
    assert loss_at(run("b", 3.4, 3.2).state, 2) is None


def test_the_ceiling_is_as_far_above_the_base_as_the_best_is_below() -> None:
    assert ceiling([run("a", 3.0, 2.5), run("b", 3.0, 80.0), run("c", 3.0, math.nan)]) == 3.5
    assert ceiling([run("a", 4.0, 3.99)]) == 4.2
    assert ceiling([run("a"), run("b", math.nan)]) == math.inf
