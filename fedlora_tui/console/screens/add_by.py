"""The dialog that adds organizations by how their names begin, by a folder or by a dataset, several at once."""

from __future__ import annotations

from textual import events

from fedlora_tui.console.costs import joining
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.pressed import name_of
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import EDGES, Dialog, Sends
from fedlora_tui.console.screens.round_field import choices
from fedlora_tui.console.tuning import Unallowed, coming, configured, read_number, stepped
from fedlora_tui.console.typed_line import DIGITS, TypedLine
from fedlora_tui.console.view import View
from fedlora_tui.protocol.commands import AddOrganization
from fedlora_tui.protocol.state import RunState

SOURCE, FOLDER, HUB = range(3)
FROM, WHAT, NAME, MANY, RANK = range(5)
LABELS = ("like", "path", "id")
HINTS = (
    "how its name begins, like hospital; empty: the next one",
    "a folder or a file of text",
    "a dataset's id, like user/name",
)
LABEL_WIDTH = 10
MOST_TYPED = 400
MOST_DIGITS = 4
MOST_ADDED = 100


class AddByDialog(Dialog[Sends | None]):
    """Where the text comes from, which it is, what it is called, how many, and of what rank."""

    TITLE_WORDS = "add organizations"
    RIGHT_WORDS = "A"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._field = FROM
        self._kind = SOURCE
        self._what = [TypedLine(MOST_TYPED) for _ in LABELS]
        self._called = TypedLine(MOST_TYPED)
        self._number = TypedLine(len(str(MOST_ADDED)), DIGITS, "1")
        self._rank = TypedLine(MOST_DIGITS, DIGITS)
        self._complaint = ""

    @property
    def takes_letters(self) -> bool:
        """True while a text is written."""
        return self._field in (WHAT, NAME)

    @property
    def _many(self) -> int:
        """How many are to join."""
        return max(1, min(MOST_ADDED, int(self._number.text or 1)))

    @property
    def _line(self) -> TypedLine | None:
        """The line that is written in the field which takes keys."""
        lines = {WHAT: self._what[self._kind], NAME: self._called, MANY: self._number, RANK: self._rank}
        return lines.get(self._field)

    def content(self, view: View) -> list[list[Words]]:
        """Give the fields, what it comes to, why it cannot be, and the keys."""
        state, glyphs = view.state, view.look.glyphs
        kinds = (str(configured(state, "data", "source", "synthetic")), "folder", "hub")
        turn = state.round + 1
        return [
            self._row(FROM, "from", choices(kinds, self._kind, glyphs, focused=self._field == FROM)),
            self._row(WHAT, LABELS[self._kind], self._text(WHAT, self._what[self._kind], HINTS[self._kind])),
            self._row(NAME, "name", self._text(NAME, self._called, self._own_name())),
            self._row(MANY, "how many", self._turned(MANY, str(self._many), glyphs)),
            self._row(RANK, "rank", self._turned(RANK, self._rank.text or f"as all ({coming(state, 'rank')})", glyphs)),
            [],
            [("costs     ", "quiet"), _costs(state, self._many, glyphs), ("   (estimates)", "quiet")],
            [("joins     ", "quiet"), f"at round {turn} with the adapter of round {turn - 1}"],
            [(self._complaint, "care")],
            [
                *(("enter", "yours_bold"), " add   ", ("tab", "yours_bold"), " next field   "),
                *((f"{glyphs.left} {glyphs.right}", "yours_bold"), " change it   ", ("esc", "yours_bold"), " leave"),
            ],
        ]

    def press(self, event: events.Key) -> None:
        """Move between the fields, change them, add or leave."""
        self._complaint = ""
        if event.key == "escape":
            self.dismiss(None)
            return
        if event.key == "enter":
            self._add()
            return
        if event.key in ("tab", "down", "shift+tab", "up"):
            self._field = (self._field + (1 if event.key in ("tab", "down") else -1)) % 5
        elif event.key in ("left", "right") and not self.takes_letters:
            self._change(1 if event.key == "right" else -1)
        elif self._line is None or not self._line.press(event):
            self._complaint = f"{name_of(event)} does nothing here"
        self.repaint()

    def on_paste(self, event: events.Paste) -> None:
        """Take what is pasted as what the text field says."""
        if self._field not in (WHAT, NAME):
            self._field = WHAT
        if self._line is not None:
            self._line.paste(event.text)
        self.repaint()

    def _change(self, step: int) -> None:
        if self._field == FROM:
            self._kind = (self._kind + step) % 3
        elif self._field == MANY:
            self._number.put(str(max(1, min(MOST_ADDED, self._many + step))))
        elif self._field == RANK:
            state = self._view.state
            self._rank.put(str(stepped(state, "rank", int(self._rank.text or coming(state, "rank")), step)))

    def _add(self) -> None:
        commands = self._commands()
        if isinstance(commands, str):
            self._complaint = commands
            self.repaint()
            return
        first, *further = commands
        whose = self._called.text or self._what[self._kind].text or "the next one"
        self.dismiss(Sends(first, f"asked: add {whose}", tuple(further)))

    def _commands(self) -> list[AddOrganization] | str:
        """Give what to ask the run for, or why there is nothing to ask for."""
        state, what, name = self._view.state, self._what[self._kind].text.strip(), self._called.text.strip()
        try:
            rank = int(read_number(state, "rank", self._rank.text)) if self._rank.text else 0
        except Unallowed as error:
            return str(error)
        if rank and rank != coming(state, "rank") and not state.unequal_ranks:
            return f"{state.aggregation} needs equal ranks: as all ({coming(state, 'rank')})"
        if self._kind == SOURCE:
            return [AddOrganization(like=what, rank=rank)] * self._many
        if not what:
            return f"the {LABELS[self._kind]} is missing: {HINTS[self._kind]}"
        if self._many > 1 and (name or self._kind == HUB):
            return "several have no name in common" if name else "a dataset is one organization"
        if name in state.organizations:
            return f"{name} takes part already: give it another name"
        if self._kind == HUB:
            return [AddOrganization(org=name or None, hub=what, rank=rank)]
        each = self._many > 1
        return [AddOrganization(org=name or None, folder=what, each=each, rank=rank)] * self._many

    def _own_name(self) -> str:
        if self._kind == SOURCE:
            return "the source's own"
        if self._kind == FOLDER and self._many > 1:
            return "each file's or sub-folder's own"
        return "that of the folder or file" if self._kind == FOLDER else "the dataset's own"

    def _row(self, place: int, label: str, words: list[Words]) -> list[Words]:
        style = "yours_bold" if self._field == place else "quiet"
        return [(f"{label:<{LABEL_WIDTH}}", style), *words]

    def _text(self, place: int, line: TypedLine, hint: str) -> list[Words]:
        """Write a text, and what it may be where it is empty."""
        glyphs, here = self._view.look.glyphs, self._field == place
        if place == NAME and self._kind == SOURCE:
            return [(hint, "quiet")]
        if not line.text:
            return [(glyphs.caret if here else "", "yours_bold"), (hint, "quiet")]
        room = self.box_width(self._view) - EDGES - LABEL_WIDTH
        return line.words(room, glyphs, focused=here, style="yours_bold" if here else "")

    def _turned(self, place: int, words: str, glyphs: Glyphs) -> list[Words]:
        if self._field != place:
            return [words]
        return [(f"{glyphs.choice_left} {words} {glyphs.choice_right}", "yours_bold")]


def _costs(state: RunState, many: int, glyphs: Glyphs) -> str:
    sent, memory, seconds = joining(state, many)
    here = "memory as now" if memory == 0 else f"{numbers.bytes_text(memory, glyphs)} here"
    return f"{numbers.bytes_text(sent, glyphs)} a round, {here}, +{numbers.duration(seconds, glyphs)} a round"
