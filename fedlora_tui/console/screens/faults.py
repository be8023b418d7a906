"""The dialog that lets an organization misbehave, for demonstration, and lets it out of quarantine."""

from __future__ import annotations

from textual import events

from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import left
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import Dialog, Sends
from fedlora_tui.console.view import View
from fedlora_tui.console.wording import short_reason
from fedlora_tui.protocol.commands import Fault, Release
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


class FaultsDialog(Dialog[Sends | None]):
    """What the organization that was selected does wrong from the next round on."""

    RIGHT_WORDS = "x"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._organization = view.selected or ""
        self._complaint = ""

    def title_words(self) -> str:
        """Name whose faults they are."""
        return f"faults of {self._organization}, for demonstration"

    def content(self, view: View) -> list[list[Words]]:
        """Give the choices, what stands now, and the keys."""
        org = view.state.organizations.get(self._organization, OrganizationState(self._organization))
        held = org.state == "quarantine"
        why = short_reason(org.note) if held else "it is not in quarantine"
        return [
            *([words for choice in line for words in _choice(choice, org.fault, view.look.glyphs)] for line in LINES),
            [(f"now: {org.fault}", "care")] if org.fault not in ("", "none") else [],
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
        org = self._view.state.organizations.get(self._organization)
        if event.key in ("escape", "x"):
            self.dismiss(None)
        elif fault is not None:
            self.dismiss(Sends(Fault(fault, self._organization), f"asked: a fault for {self._organization}"))
        elif event.key == "r" and org is not None and org.state == "quarantine":
            self.dismiss(Sends(Release(self._organization), f"asked: release {self._organization}"))
        else:
            name = event.character if event.is_printable and event.character else event.key
            not_held = f"{self._organization} is not in quarantine"
            self._complaint = not_held if event.key == "r" else f"{name} does nothing here"
            self.repaint()


def _choice(choice: tuple[str, str, str, int], stands: str, glyphs: Glyphs) -> list[Words]:
    """Write a choice; the one that stands is bold."""
    key, fault, words, width = choice
    words = words.replace("×", glyphs.times)
    here = stands.split(" ")[0] == fault.split(" ")[0]
    return [
        (key, "yours_bold"),
        (f" {left(words, width - 2, glyphs) if width else words}", "yours_bold" if here else ""),
    ]
