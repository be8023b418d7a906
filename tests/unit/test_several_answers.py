"""Answers to several commands that were sent at once, told together."""

from __future__ import annotations

from fedlora_tui.console.several import Several

from fedlora_tui.console.drawing.glyphs import UNICODE
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.state import Answer


def test_a_reason_for_which_several_are_refused_is_said_once() -> None:
    several = Several(3, UNICODE)
    for seq, reason in enumerate(("no such organization", "it leaves already", "no such organization"), 1):
        said = several.heard(Answer(5.0, ev.CommandRefused("drop", str(seq), reason)))
    assert said is not None
    assert said.words == "3 of 3 refused: no such organization; it leaves already"
