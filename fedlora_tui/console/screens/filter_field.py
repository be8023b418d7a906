"""The field on the answer row into which a filter of the organizations is typed; what is typed acts at once."""

from __future__ import annotations

from textual import events

from fedlora_tui.console.actions.key_names import key_of
from fedlora_tui.console.actions.keymap import Keymap
from fedlora_tui.console.filtering import LONGEST
from fedlora_tui.console.session import Session
from fedlora_tui.console.typed_line import TypedLine
from fedlora_tui.console.view import Field

EXAMPLES = "words, !word, state:late, gain<0.1, rank=8; esc leaves the field"


class FilterField:
    """Whether it is open, and what its keys do."""

    def __init__(self) -> None:
        self.open = False
        self._line = TypedLine(LONGEST)
        self._refused = False

    def shown(self, session: Session) -> Field | None:
        """Give how it stands, None where it is not open."""
        if not self.open:
            return None
        arrangement, line = session.arrangement, self._of(session)
        if arrangement.complaint:
            words = f"filters nothing: {arrangement.complaint}" if self._refused else arrangement.complaint
            return Field("/", line.text, line.caret, words, bad=True)
        return Field("/", line.text, line.caret, found(session) if line.text.strip() else EXAMPLES)

    def press(self, event: events.Key, session: Session, keymap: Keymap) -> None:
        """Take a key: letters are letters, up and down move on among the rows; a mistake is not left by enter."""
        self._refused = event.key in ("enter", "tab") and bool(session.arrangement.complaint)
        if self._refused:
            return
        if event.key in ("enter", "escape", "tab"):
            self.open = False
            _say(session, key_of("back", keymap))
        elif event.key in ("up", "down"):
            session.move(event.key, 1)
        elif (line := self._of(session)).press(event):
            session.filter(line.text)

    def paste(self, words: str, session: Session) -> None:
        """Take what is pasted as typed."""
        line = self._of(session)
        line.paste(words)
        session.filter(line.text)

    def clear(self, session: Session) -> bool:
        """Show all rows again; False where all are shown and nothing is typed."""
        typed = session.arrangement.typed
        session.filter("")
        return bool(typed)

    def _of(self, session: Session) -> TypedLine:
        """Give the line as it stands with the run in front, which may have another filter than the one before."""
        if self._line.text != session.arrangement.typed:
            self._line.put(session.arrangement.typed)
        return self._line


def found(session: Session) -> str:
    """Say how many of how many are shown."""
    return f"{len(session.shown)} of {len(session.state.organizations)}"


def _say(session: Session, back: str) -> None:
    arrangement = session.arrangement
    if arrangement.complaint:
        session.refuse(f"filters nothing: {arrangement.complaint}")
    elif arrangement.filter.empty:
        session.answer("no filter")
    else:
        session.answer(f"{found(session)} organizations; {back} shows all again")
