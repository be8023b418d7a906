"""All that a part of the screen needs to draw itself, gathered for one paint."""

from __future__ import annotations

from dataclasses import dataclass

from fedlora_tui.console.actions import Situation
from fedlora_tui.console.layout import Layout
from fedlora_tui.console.look import Look
from fedlora_tui.protocol.state import RunState


@dataclass(frozen=True)
class Said:
    """What the answer row says: its sign, the sign's style, when, and the words; `hints` are keys that are good now."""

    sign: str
    style: str
    t: float
    words: str
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """The run and what the console adds to it; `slow` is False when only steps and states are to be drawn anew.

    `leaving` is empty, `finish` or `stop`.
    """

    state: RunState
    now: float
    look: Look
    layout: Layout
    order: tuple[str, ...] = ()
    selected: str | None = None
    said: Said | None = None
    focused: str = "table"
    run: str = ""
    model: str = ""
    configuration: str = "config.toml"
    leaving: str = ""
    slow: bool = True

    @property
    def situation(self) -> Situation:
        """What the registry of actions judges by."""
        return Situation(self.state, self.selected, self.leaving == "stop")
