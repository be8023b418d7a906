"""What all screens that fill the terminal have in common: the run above, its own parts, what waits and keys below."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingsMap, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from fedlora_tui.console.actions.key_names import key_of
from fedlora_tui.console.actions.keymap import USUAL, Keymap
from fedlora_tui.console.actions.registry import keys_on
from fedlora_tui.console.layout import LAST_ROWS, Layout
from fedlora_tui.console.look import Look
from fedlora_tui.console.runs import Runs
from fedlora_tui.console.view import Field, View
from fedlora_tui.console.widgets.last_rows import LastRows
from fedlora_tui.console.widgets.one_line import OneLine
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.run_bar import RunBar
from fedlora_tui.console.widgets.run_line import RunLine
from fedlora_tui.console.widgets.toast_lines import ToastLines
from fedlora_tui.protocol.state import RunState


def bindings(page: str = "", keymap: Keymap = USUAL) -> list[BindingType]:
    """Make Textual's bindings of a page from the registry; none of them is ever switched off."""
    return [
        Binding(key, f"app.act({action.id!r}, {argument!r})", action.does, show=False)
        for key, (action, argument) in keys_on(page, keymap).items()
    ]


class Page(Screen[None], inherit_bindings=False):
    """A screen that fills the terminal; rows 1 and 2 and the last three stay as they are on all of them.

    A subclass gives its `parts` from top to bottom, how the terminal is divided, and the `rows` of its parts by their
    ids. It acts by itself where an action of the registry has the name of one of its `verbs`.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings()
    NAME: ClassVar[str] = ""
    """What the registry, the footer and the first row know it by."""

    MAY_BE_KEPT: ClassVar[bool] = True
    """False where what is shown stays in this console, and neither text nor picture of it becomes a file."""

    x_axis = ""
    """What its chart goes by, where it has one."""

    class NeedsPaint(Message):
        """Something other than the run changed what is to be seen: the size or the focus."""

    def __init__(self, look: Look, runs: Runs) -> None:
        super().__init__()
        self._look = look
        self._runs = runs
        self._arranged: tuple[Layout, bool] | None = None
        self._keymap = USUAL

    def hold(self, keymap: Keymap) -> None:
        """Take other keys."""
        self._keymap = keymap
        self._bindings = BindingsMap(bindings(self.NAME, keymap))

    def key(self, name: str, direction: str = "") -> str:
        """Give the key of an action that is in force, for a sentence that names it."""
        return key_of(name, self._keymap, direction)

    def parts(self) -> Iterable[Widget]:
        """Give its own parts from top to bottom."""
        raise NotImplementedError

    def layout_for(self, state: RunState) -> Layout:
        """Divide the terminal as it is now."""
        raise NotImplementedError

    def rows(self, layout: Layout, starting: bool) -> Mapping[str, int]:
        """Give the height of each of its parts by id, 0 for those that are not shown; the terminal is large enough."""
        raise NotImplementedError

    def verbs(self) -> Mapping[str, Callable[[str], None]]:
        """Give what it does by itself at actions of the registry, by their ids; each takes the key's direction."""
        return {}

    def back(self) -> bool:
        """Go one layer out within the page; False where there is none, and the page itself is left."""
        return False

    @property
    def field(self) -> Field | None:
        """The field that is open on its answer row."""
        return None

    def press(self, event: events.Key) -> bool:
        """Take a key before the registry does, as a page with a text field has to; True where it was taken."""
        return False

    def selection(self, view: View) -> str:
        """Give what is copied here, as text: all that its own parts show, unless it knows better."""
        above_and_below = (OneLine, RunLine, RunBar, LastRows)
        parts = (part for part in self.query(Part) if part.display and not isinstance(part, above_and_below))
        return "\n".join(part.text for part in parts if part.text)

    def compose(self) -> ComposeResult:
        """Give the parts from top to bottom."""
        palette = self._look.palette
        yield OneLine(palette, id="one-line")
        yield RunLine(palette, id="run-line")
        yield RunBar(palette, id="run-bar")
        yield from self.parts()
        yield LastRows(palette, id="last-rows")
        yield ToastLines(palette, id="toasts")

    def wear(self, look: Look) -> None:
        """Take on another look, with the parts that are there and those to come."""
        self._look = look
        for part in self.query(Part):
            part.wear(look.palette)

    def paint(self, view: View) -> None:
        """Draw the parts that are shown; when their places changed, all of them. Before it is composed, nothing."""
        parts = list(self.query(Part))
        starting = view.state.phase == "starting"
        if parts and self._arranged != (view.layout, starting):
            self._arranged = view.layout, starting
            self._arrange(view.layout, starting)
        for part in parts:
            if part.display:
                part.paint(view)
        for toasts in self.query(ToastLines):
            toasts.place(view)

    def on_resize(self, event: events.Resize) -> None:
        """Ask for a paint in the new size."""
        self.post_message(self.NeedsPaint())

    def on_screen_resume(self) -> None:
        """Ask for a paint: what lay over it may have hidden a new size, or another run."""
        self.post_message(self.NeedsPaint())

    def on_descendant_focus(self) -> None:
        """Ask for a paint: the focused pane's rule is heavy."""
        self.post_message(self.NeedsPaint())

    @property
    def focused_pane(self) -> str:
        """The name of the pane that has the focus."""
        return self.focused.id or "" if self.focused is not None else ""

    def _arrange(self, layout: Layout, starting: bool) -> None:
        whole = not layout.too_small
        own = self.rows(layout, starting)
        heights = {
            "one-line": int(layout.too_small),
            "run-line": int(whole),
            "run-bar": int(whole),
            **{name: height if whole else 0 for name, height in own.items()},
            "last-rows": LAST_ROWS if whole else 0,
        }
        for name, height in heights.items():
            part = self.query_one(f"#{name}")
            part.display = height > 0
            part.styles.height = height
        self.arranged(layout)

    def arranged(self, layout: Layout) -> None:
        """Do what is left once its parts have their heights: widths, and the focus."""
