"""Of an organization on a machine of its own the table says since when it trains: its steps nobody here sees."""

from __future__ import annotations

import pytest

from fedlora_tui.console.layout import arrange
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.columns import COLUMNS
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.events import Record
from fedlora_tui.protocol.state import RunState, fold


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        (ev.OrgState("clinic", "training", 2, "since 15:04:05"), "15:04"),
        (ev.OrgState("clinic", "testing", 2, "since 15:04:05"), "15:04"),
        (ev.OrgState("clinic", "waiting", 2), "0/4"),
        (ev.TrainStep("clinic", 2, 1, 4, 2.5, 100), "1/4"),
    ],
)
def test_the_step_gives_way_to_the_time_since_when_it_works(last, shown):
    told = [ev.OrgJoined("clinic", 1, 40, 1900, 200), ev.RoundStarted(2, 3, ("clinic",), 4, 0.001), last]
    state = fold(RunState(), [Record(number, 10.0 + number, event) for number, event in enumerate(told, 1)])
    (step,) = [column for column in COLUMNS if column.head == "step"]
    assert step.cell is not None
    look = look_for(ConsoleOptions(model="gpt2"), {"LANG": "C.UTF-8"}, "utf-8")
    words, _ = step.cell(state.organizations["clinic"], View(state, 0.0, look, arrange(120, 40)))
    assert words == shown
