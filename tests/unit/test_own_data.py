"""What is told of one organization's data in counts: little is never written as nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedlora_tui.console.layout import arrange
from fedlora_tui.console.look import look_for
from fedlora_tui.console.options import ConsoleOptions
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.own_data import ItsData, WhatLeft
from fedlora_tui.protocol.organization import OrganizationState
from fedlora_tui.protocol.state import RunState


@pytest.mark.parametrize(
    ("holdout", "trained", "share", "epochs"),
    [(439, 8_192, "439      0.26%", "0.05"), (19_042, 200_000, "19.0k    10%", "1.2")],
)
def test_little_of_much_data_is_not_written_as_none(holdout: int, trained: int, share: str, epochs: str) -> None:
    org = OrganizationState("bank", documents=1_943, tokens=171_382, holdout_tokens=holdout)
    org = replace(org, ledger=replace(org.ledger, trained=trained))
    look = look_for(ConsoleOptions(model="gpt2"), {"LANG": "C.UTF-8"}, "utf-8")
    layout = replace(arrange(120, 40), boxes={"its-data": (48, 12)})
    view = View(RunState(organizations={"bank": org}), 0.0, look, layout, order=("bank",), selected="bank")
    data = "\n".join(line.plain for line in ItsData(look.palette, id="its-data").draw(view))
    assert f"hold-out     {share}" in data
    assert f"epochs       {epochs} through its data so far" in data


def test_the_ledger_tells_each_factors_bytes_and_those_of_replies_that_were_not_taken() -> None:
    org = OrganizationState("bank", refused=1, bytes_up=3 * 2**20)
    ledger = org.ledger.with_left({"A": 2**20, "B": 2 * 2**20, "numbers": 32}).with_left({"other": 2048}, lost=True)
    org = replace(org, ledger=replace(ledger, replies=1, tensors=8, numbers=4))
    look = look_for(ConsoleOptions(model="gpt2"), {"LANG": "C.UTF-8"}, "utf-8")
    layout = replace(arrange(120, 40), boxes={"what-left": (42, 8)})
    view = View(RunState(organizations={"bank": org}), 0.0, look, layout, order=("bank",), selected="bank")
    left = "\n".join(line.plain.rstrip() for line in WhatLeft(look.palette, id="what-left").draw(view))
    assert "of it: A 1.0 MiB  B 2.0 MiB  other 2.0 KiB" in left
    assert "refused    1 reply              2.0 KiB" in left
