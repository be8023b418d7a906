"""The field on the answer row into which a filter of the organizations is typed; what is typed acts at once."""

from __future__ import annotations

from textual import events

from fedlora_tui.console.session import Session
from fedlora_tui.console.view import Field

LONGEST = 200
"""The most signs of a filter."""

EXAMPLES = "words, !word, state:late, gain<0.1, rank=8; esc leaves the field"


class FilterField:
    """Whether it is open, and what its keys do."""

    def __init__(self) -> None:
        self.open = False

    def shown(self, session: Session) -> Field | None:
        """Give how it stands, None where it is not open."""
        if not self.open:
            return None
        arrangement = session.arrangement
        if arrangement.complaint:
            return Field("/", arrangement.typed, arrangement.complaint, bad=True)
        return Field("/", arrangement.typed, found(session) if arrangement.typed.strip() else EXAMPLES)

    def press(self, event: events.Key, session: Session) -> None:
        """Take a key: letters are letters, the cursor's keys move it on."""
        typed = session.arrangement.typed
        if event.key in ("enter", "escape", "tab"):
            self.open = False
            _say(session)
        elif event.key in ("up", "down"):
            session.move(event.key, 1)
        elif (text := typed_after(typed, event)) != typed:
            session.filter(text)

    def clear(self, session: Session) -> bool:
        """Show all rows again; False where all are shown and nothing is typed."""
        typed = session.arrangement.typed
        session.filter("")
        return bool(typed)


def typed_after(typed: str, event: events.Key) -> str:
    """Give what is typed of a filter after a key that writes or erases; any other key leaves it as it is."""
    if event.key == "backspace":
        return typed[:-1]
    if event.key == "ctrl+u":
        return ""
    writes = event.is_printable and len(typed) < LONGEST
    return typed + (event.character or "") if writes else typed


def found(session: Session) -> str:
    """Say how many of how many are shown."""
    return f"{len(session.shown)} of {len(session.state.organizations)}"


def _say(session: Session) -> None:
    arrangement = session.arrangement
    if arrangement.complaint:
        session.refuse(f"filters nothing: {arrangement.complaint}")
    elif arrangement.filter.empty:
        session.answer("no filter")
    else:
        session.answer(f"{found(session)} organizations; esc shows all again")
