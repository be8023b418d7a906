"""The screen on which a text is tried: what base, all organizations and one of them go on with, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from rich.text import Text
from rich.theme import Theme
from textual import events
from textual.app import ComposeResult
from textual.widget import Widget

from fedlora_tui.console.actions.registry import ACTIONS
from fedlora_tui.console.layout import Layout, arrange
from fedlora_tui.console.look import Look
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.screens.page import Page
from fedlora_tui.console.try_layout import TryLayout, arrange_try
from fedlora_tui.console.trying import FIELDS, Asking
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.answers import FIRST_PANE, Answers, Prompts
from fedlora_tui.console.widgets.last_rows import LastRows
from fedlora_tui.console.widgets.token_table import TokenTable
from fedlora_tui.console.widgets.try_part import TryPart
from fedlora_tui.console.widgets.typed_text import TypedText
from fedlora_tui.console.wording import finished_rounds
from fedlora_tui.protocol.state import RunState


class TryRows(LastRows):
    """The last three rows, with the keys of this screen."""

    def __init__(self, palette: Theme, asking: Asking, *, id: str) -> None:
        super().__init__(palette, id=id)
        self._asking = asking

    def footer(self, view: View) -> Text:
        """Give the keys that act here, as many as fit; leaving stays."""
        row = Row(view.layout.width, view.look.glyphs)
        for place, key in enumerate(self._keys(view)):
            row.at(row.end + (2 if place else 1), *key)
        return row.text()

    def _keys(self, view: View) -> list[list[Words]]:
        glyphs, asking = view.look.glyphs, self._asking
        arrows, up_down = f"{glyphs.left} {glyphs.right}", f"{glyphs.up} {glyphs.down}"
        pauses = ACTIONS["pause"].label_in(view.situation)
        leave = ("esc", "leaves the field, then")
        if asking.answering and not asking.stopping:
            leave = ("esc", "stops")
        elif asking.field is None:
            leave = (view.key("back"), "back")
        keys = [("enter", "ask"), ("tab", "next field"), (arrows, "change it"), (up_down, "earlier texts")]
        if asking.field is None:
            keys = [("enter", "ask"), ("1", "write"), (arrows, "tokens")]
        if asking.answer is not None:
            keys.append(("pgup pgdn" if asking.field is not None else view.key("move"), "scroll"))
        keys += [leave, (view.key("pause"), pauses), (view.key("help"), "help")]
        return [[(key, "yours_bold"), f" {word}"] for key, word in _fitting(keys, leave, view.layout.width)]


def _fitting(keys: list[tuple[str, str]], leave: tuple[str, str], width: int) -> list[tuple[str, str]]:
    """Let keys fall away from the right, but the one that leaves."""
    while len(keys) > 1 and 1 + sum(len(key) + 1 + len(word) for key, word in keys) + 2 * (len(keys) - 1) > width:
        keys = keys[:-1] if keys[-1] != leave else [*keys[:-2], leave]
    return keys


class TryIt(Page):
    """A text, three answers, and where they part. Its keys come one by one: in a field, letters are letters."""

    NAME: ClassVar[str] = "try_it"
    MAY_BE_KEPT: ClassVar[bool] = False

    def __init__(self, look: Look, runs: Runs, asking: Asking, ask: Callable[[], None]) -> None:
        """`ask` sends the text, or says why it cannot."""
        super().__init__(look, runs)
        self._asking, self._ask = asking, ask
        asking.field = 0
        if not asking.org or asking.org not in runs.front.order:
            asking.org = runs.front.selected or ""

    def compose(self) -> ComposeResult:
        """Give the parts from top to bottom."""
        yield from (part for part in super().compose() if part.id != "last-rows")
        yield TryRows(self._look.palette, self._asking, id="last-rows")

    def parts(self) -> Iterable[Widget]:
        """Give its own parts from top to bottom."""
        palette, asking = self._look.palette, self._asking
        yield TypedText(palette, asking, id="typed-text")
        yield Answers(palette, asking, id="answers")
        yield TokenTable(palette, asking, id="token-table")
        yield Prompts(palette, asking, id="prompts")

    def layout_for(self, state: RunState) -> Layout:
        """Divide the terminal as it is now."""
        return arrange(self.app.size.width, self.app.size.height)

    def rows(self, layout: Layout, starting: bool) -> Mapping[str, int]:
        """Give the height of each of its parts."""
        room = self._room(layout)
        return {
            "typed-text": room.typed,
            "answers": room.answers,
            "token-table": room.table,
            "prompts": room.prompts,
        }

    def arranged(self, layout: Layout) -> None:
        """Let its parts know how the terminal is divided."""
        for part in self.query(TryPart):
            part.room = self._room(layout)

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what it does by itself."""
        return {"move": self._scroll}

    def press(self, event: events.Key) -> bool:
        """Write, change a field, ask, or go one layer out within the page."""
        asking = self._asking
        leaves = ACTIONS["back"].keys_in(self._keymap)
        if event.key == "escape" or (event.key in leaves and not event.is_printable):
            return self._one_layer_out()
        if event.key == "enter":
            self._ask()
        elif event.key in ("tab", "shift+tab"):
            asking.next_field(1 if event.key == "tab" else -1)
        elif asking.field is not None and event.key in ("pageup", "pagedown"):
            self._scroll("page_up" if event.key == "pageup" else "page_down")
        elif asking.writes:
            self._write(event)
        elif asking.field is not None:
            self._change(event)
        else:
            return self._look_around(event)
        return True

    def on_paste(self, event: events.Paste) -> None:
        """Take what is pasted as text."""
        self._asking.field = 0
        self._asking.line.paste(event.text)
        self.post_message(self.NeedsPaint())

    def _room(self, layout: Layout) -> TryLayout:
        return arrange_try(layout.width, layout.height, len(self._asking.ready))

    def on_answers_scrolled(self, message: Answers.Scrolled) -> None:
        """Scroll as the pointer asks."""
        self._scroll(message.direction)
        self.post_message(self.NeedsPaint())

    def _scroll(self, direction: str) -> None:
        if not self.query_one(Answers).read_on(direction):
            self._runs.front.refuse(f"all that was said is in sight: 1 writes, {self.key('back')} goes back")

    def _one_layer_out(self) -> bool:
        """Stop the answer, or leave the field; False where only the page itself can be left."""
        asking = self._asking
        if asking.answering and not asking.stopping:
            asking.stop()
        elif asking.field is not None:
            asking.field = None
        else:
            return False
        return True

    def _write(self, event: events.Key) -> None:
        asking, key = self._asking, event.key
        letter = event.character if event.is_printable and event.character else ""
        if key in ("up", "down"):
            asking.earlier(-1 if key == "up" else 1)
        elif not asking.text and letter.isascii() and letter.isdigit() and 0 < int(letter) <= len(asking.ready):
            asking.line.put(asking.ready[int(letter) - 1])
        else:
            asking.line.press(event)

    def _change(self, event: events.Key) -> None:
        """Change the field that takes keys; what is no key of a field changes nothing."""
        asking, key = self._asking, event.key
        if key in ("left", "right", "up", "down"):
            step = 1 if key in ("right", "up") else -1
            session = self._runs.front
            asking.turn(step, session.order, [row.round for row in finished_rounds(session.state)])
        elif FIELDS[asking.field or 0] == "seed":
            asking.seed_line.press(event)

    def _look_around(self, event: events.Key) -> bool:
        """Go to a pane by its number, or along the tokens; False for a key that is the registry's."""
        asking, key = self._asking, event.key
        panes = {str(FIRST_PANE + place): place for place in range(len(asking.voices))}
        if key == "1":
            asking.field = 0
        elif key in panes:
            asking.tab = panes[key]
        elif key in ("left", "right"):
            asking.offset += 1 if key == "right" else -1
        else:
            return False
        return True
