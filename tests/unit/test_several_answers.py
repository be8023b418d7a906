"""Answers to several commands that were sent at once, told together."""

from __future__ import annotations

from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.console.together import Together
from fedlora_tui.protocol import commands as cmd
from fedlora_tui.protocol import events as ev


def test_a_reason_for_which_several_are_refused_is_said_once() -> None:
    names = ("one", "two", "three")
    together = Together([cmd.AddOrganization(name) for name in names], UNICODE)
    reasons = ("no room", "it is here already", "no room")
    for name, reason in zip(names, reasons, strict=True):
        assert not together.complete
        assert together.take(ev.CommandRefused("add", name, reason))
    assert together.complete
    assert together.said(5.0).words == "3 of 3 refused: no room; it is here already"
