"""The dialog that lets an organization misbehave, for demonstration, and lets it out of quarantine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events

from fedlora_tui.console.actions.action import Each
from fedlora_tui.console.actions.on_organizations import cannot_have_fault
from fedlora_tui.console.actions.taking import for_each
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import left
from fedlora_tui.console.pressed import name_of
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import Dialog, Sends
from fedlora_tui.console.view import View
from fedlora_tui.console.wording import short_reason
from fedlora_tui.protocol.commands import Command, Fault, Release
from fedlora_tui.protocol.organization import OrganizationState

CHOICES = (
    ("1", "slow x3", "slow ×3", 17),
    ("2", "dropout", "drops out mid-round", 25),
    ("3", "crash", "crashes at once", 0),
    ("4", "nan", "sends nan", 17),
    ("5", "garbage", "sends garbage", 25),
    ("6", "poison x-10", "sends a poisoned update", 0),
    ("0", "none", "none, as it was", 0),
)
"""Key, fault, its words, and the columns that they take."""

LINES = (CHOICES[:3], CHOICES[3:6], CHOICES[6:])


class FaultsDialog(Dialog[Sends | Each | None]):
    """What the organizations that are marked, or the selected one, do wrong from the next round on."""

    RIGHT_WORDS = "x"
    CLOSED_BY = ("faults",)

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._names = view.marked or (view.selected or "",)
        self._complaint = ""

    def title_words(self) -> str:
        """Name whose faults they are."""
        whose = self._names[0] if len(self._names) == 1 else f"{len(self._names)} organizations"
        return f"faults of {whose}, for demonstration"

    def content(self, view: View) -> list[list[Words]]:
        """Give the choices, what stands now, and the keys."""
        first, *others = self._organizations(view)
        held = self._held(view)
        stands = first.fault if all(org.fault == first.fault for org in others) else ""
        why = ", ".join(held) if others and held else short_reason(first.note) if held else "it is not in quarantine"
        return [
            *([words for choice in line for words in _choice(choice, stands, view.look.glyphs)] for line in LINES),
            [(f"now: {stands}", "care")] if stands not in ("", "none") else [],
            [
                ("r", "yours_bold" if held else "quiet"),
                (" release from quarantine", "" if held else "quiet"),
                (f"   ({why})", "quiet"),
            ],
            ["The journal marks it as yours; only good replies enter the result."],
            [("A poisoned update looks good: federation.robust is for that.", "quiet")],
            [(self._complaint, "care")] if self._complaint else [],
            [
                *(("1..6", "yours_bold"), " set   ", ("0", "yours_bold"), " clear   "),
                *(("esc", "yours_bold"), " leave"),
            ],
        ]

    def press(self, event: events.Key) -> None:
        """Take a choice by its number, release, or leave."""
        fault = next((fault for key, fault, _, _ in CHOICES if key == event.key), None)
        held = self._held(self._view)
        if fault is None and event.key != "r" and self.closes(event.key):
            self.dismiss(None)
        elif fault is not None and (reason := cannot_have_fault(self._view.situation)) is not None:
            self._complain(reason)
        elif fault is not None:
            self.dismiss(self._sends(self._names, lambda name: Fault(fault, name), "a fault for"))
        elif event.key == "r" and held:
            self.dismiss(self._sends(held, Release, "release"))
        else:
            self._complain(self._none_is_held if event.key == "r" else f"{name_of(event)} does nothing here")

    def _complain(self, words: str) -> None:
        self._complaint = words
        self.repaint()

    def _sends(self, names: Sequence[str], make: Callable[[str], Command], words: str) -> Sends | Each:
        if len(names) == 1:
            return Sends(make(names[0]), f"asked: {words} {names[0]}")
        return for_each(self._view.situation, names, make)

    def _organizations(self, view: View) -> list[OrganizationState]:
        return [view.state.organizations.get(name, OrganizationState(name)) for name in self._names]

    def _held(self, view: View) -> list[str]:
        """Give those of them that are in quarantine."""
        return [org.name for org in self._organizations(view) if org.state == "quarantine"]

    @property
    def _none_is_held(self) -> str:
        return f"{self._names[0]} is not in quarantine" if len(self._names) == 1 else "none of them is in quarantine"


def _choice(choice: tuple[str, str, str, int], stands: str, glyphs: Glyphs) -> list[Words]:
    """Write a choice; the one that stands is bold."""
    key, fault, words, width = choice
    words = words.replace("×", glyphs.times)
    here = stands.split(" ")[0] == fault.split(" ")[0]
    return [
        (key, "yours_bold"),
        (f" {left(words, width - 2, glyphs) if width else words}", "yours_bold" if here else ""),
    ]
