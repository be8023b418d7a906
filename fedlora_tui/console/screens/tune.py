"""The tuning panel: every setting that turns while the run goes on, what it may be, and what it costs beforehand."""

from __future__ import annotations

from typing import Any

from textual import events

from fedlora_tui.console.actions.registry import ACTIONS
from fedlora_tui.console.costs import Costs, costs
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import right
from fedlora_tui.console.pressed import name_of
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row
from fedlora_tui.console.screens.dialog import EDGES, Dialog, Sends
from fedlora_tui.console.screens.tune_words import bytes_pair, cost_lines, exactness, reasons
from fedlora_tui.console.tuning import (
    SETTINGS,
    Unallowed,
    able_methods,
    bounds,
    coming,
    in_order,
    method_refused,
    read_number,
    refused,
    stands,
    stepped,
    taking_part,
)
from fedlora_tui.console.typed_line import TypedLine
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.budget import said_while_tuning
from fedlora_tui.protocol.commands import Undo
from fedlora_tui.protocol.state import RunState
from fedlora_tui.protocol.tuning import METHODS

NAMES = tuple(SETTINGS)
TYPED = "0123456789.eE+-"
KEYS = "ujk?"
"""Letters that act in the panel, whatever else they do on the screen below."""

MOST_TYPED = 7
NOW_END, NEW, BOUNDS_COLUMN, COST = 22, 24, 38, 53
VALUE_WIDTH = 8


class TuneDialog(Dialog[Sends | None]):
    """Six settings, each with what it is, what it is to be, and its bounds; enter asks the run for all that changed."""

    TITLE_WORDS = "tune"
    CLOSED_BY = ("tune",)

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._place = 0
        self._wanted: dict[str, Any] = {}
        self._typed: dict[str, TypedLine] = {}
        self._complaint = ""
        self._why = False

    def right_words(self, view: View) -> str:
        """Say from when on what is applied holds, and for whom."""
        all_ = f"all {len(view.runs)} runs, " if view.racing else ""
        return f"{all_}from round {view.state.round + 1} on"

    def content(self, view: View) -> list[list[Words]]:
        """Give the settings, what they cost, what of it is exact, and the keys; or why methods cannot take over."""
        if self._why:
            return reasons(view.state)
        state, glyphs = view.state, view.look.glyphs
        changed = self._readable(state)
        before, after = (costs(state, wanted, view.now) for wanted in ({}, self._planned(state, changed)))
        value = changed.get(self._setting, coming(state, self._setting))
        exact: list[list[Words]] = [[words] for words in exactness(state, self._setting, value, glyphs)]
        return [
            [],
            [(self._head(glyphs), "quiet")],
            *(self._line(name, view, before, after) for name in NAMES),
            [],
            *cost_lines(before, after, glyphs),
            [],
            *exact,
            [],
            [(self._complaint or self._over(view), "care")]
            if self._complaint or self._over(view)
            else [(_cannot(state), "quiet")],
            [(said_while_tuning(state, glyphs), "quiet")],
            [],
            _keys(glyphs),
        ]

    def press(self, event: events.Key) -> None:
        """Move between the settings, turn or type one, apply all, take back, or leave."""
        self._complaint = ""
        character = event.character if event.is_printable and event.character else ""
        if self._why:
            self._why = False
        elif event.key == "escape" or (self.closes(event.key) and character not in (*TYPED, *KEYS)):
            self.dismiss(None)
            return
        elif event.key == "enter":
            self._apply()
            return
        elif character == "u":
            self._take_back()
        elif character == "?":
            self._why = True
        elif event.key in ("up", "down", "tab", "shift+tab") or character in ("j", "k"):
            step = -1 if event.key in ("up", "shift+tab", "k") else 1
            self._place = (self._place + step) % len(NAMES)
        elif event.key in ("left", "right"):
            self._turn(1 if event.key == "right" else -1)
        else:
            self._edit(event, name_of(event))
        self.repaint()

    def on_paste(self, event: events.Paste) -> None:
        """Take what is pasted as typed."""
        name = self._setting
        if name == "aggregation":
            self._complaint = "nothing is typed here: left and right go through the methods"
        elif not (line := self._typed.get(name, TypedLine(MOST_TYPED, TYPED))).paste(event.text):
            self._complaint = "what was pasted is no number"
        else:
            self._typed[name] = line
        self.repaint()

    @property
    def _setting(self) -> str:
        return NAMES[self._place]

    def _edit(self, event: events.Key, called: str) -> None:
        name = self._setting
        if event.key == "ctrl+u":
            self._forget(name)
        elif name == "aggregation":
            self._complaint = f"{called} does nothing here: left and right go through the methods"
        elif not (line := self._typed.get(name, TypedLine(MOST_TYPED, TYPED))).press(event):
            self._complaint = f"{called} does nothing here: type a number"
        elif line.text:
            self._typed[name] = line
        else:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._typed.pop(name, None)
        self._wanted.pop(name, None)

    def _turn(self, step: int) -> None:
        """Turn the setting a step from where it would stand."""
        state, name = self._view.state, self._setting
        value = self._readable(state).get(name, coming(state, name))
        following = stepped(state, name, value, step)
        self._typed.pop(name, None)
        self._wanted[name] = following
        if following == value:
            least = "least" if step < 0 else "most"
            self._complaint = f"{numbers_of(name, value, self._view.look.glyphs)} is the {least} here"

    def _take_back(self) -> None:
        """Take back what stands in the panel, else what waits for the next round."""
        if self._wanted or self._typed:
            self._wanted.clear()
            self._typed.clear()
        elif self._view.state.waiting:
            self.post_message(self.Asks(Sends(Undo(), "asked: take back what waits")))
        else:
            self._complaint = "nothing waits for the next round"

    def _apply(self) -> None:
        """Ask the run for all that changed; where something cannot be, say so and ask for nothing."""
        state = self._view.state
        if self._over(self._view):
            self.repaint()
            return
        try:
            changed = self._changed(state)
        except Unallowed as error:
            self._complaint = str(error)
            self.repaint()
            return
        self._complaint = refused(state, changed) or ("" if changed else "nothing is changed: left and right turn it")
        if self._complaint:
            self.repaint()
            return
        first, *further = in_order(state, changed)
        names = ", ".join(SETTINGS[name] for name in changed)
        self.dismiss(Sends(first, f"asked: {names}", tuple(further)))

    def _over(self, view: View) -> str:
        """Say why nothing can be tuned any more, empty while it can: the run may end under an open panel."""
        return ACTIONS["tune"].reason(view.situation) or ""

    def _changed(self, state: RunState) -> dict[str, Any]:
        """Give what is to be other than what comes anyway. Raises Unallowed."""
        wanted = dict(self._wanted)
        for name, line in self._typed.items():
            wanted[name] = read_number(state, name, line.text)
        return {name: wanted[name] for name in NAMES if name in wanted and wanted[name] != coming(state, name)}

    def _readable(self, state: RunState) -> dict[str, Any]:
        """Give what is to be, without what is not allowed."""
        read = dict(self._wanted)
        for name, line in self._typed.items():
            try:
                read[name] = read_number(state, name, line.text)
            except Unallowed:
                read.pop(name, None)
        return read

    def _planned(self, state: RunState, changed: dict[str, Any]) -> dict[str, Any]:
        """Give the settings of the next round as far as they are not those of now."""
        planned = {name: changed.get(name, coming(state, name)) for name in NAMES}
        return {name: value for name, value in planned.items() if value != stands(state, name)}

    def _head(self, glyphs: Glyphs) -> str:
        row = Row(self.box_width(self._view) - EDGES, glyphs)
        row.to(NOW_END, "now").at(NEW + 2 + VALUE_WIDTH - 3, "new").at(BOUNDS_COLUMN, "may be").at(COST, "a reply")
        return row.text().plain.rstrip()

    def _line(self, name: str, view: View, before: Costs, after: Costs) -> list[Words]:
        """Write one setting: what it is, what it is to be, what it may be, and what that costs."""
        state, glyphs = view.state, view.look.glyphs
        here = name == self._setting
        wanted = self._readable(state).get(name, coming(state, name))
        now, typed = numbers_of(name, stands(state, name), glyphs), self._typed.get(name)
        new = numbers_of(name, wanted, glyphs)
        if typed is not None:
            new = "".join(words[0] for words in typed.words(MOST_TYPED + 1, glyphs, focused=here))
        other = typed is not None or new != now
        marks = (f"{glyphs.choice_left} ", f" {glyphs.choice_right}") if here else ("  ", "  ")
        return [
            (f"{glyphs.cursor if here else ' '} {SETTINGS[name]:<12}", "yours_bold" if here else ""),
            (right(now, NOW_END - 14, glyphs), ""),
            ("  ", ""),
            (marks[0], "yours_bold"),
            (right(new, VALUE_WIDTH, glyphs), "yours_bold" if other or here else "quiet"),
            (marks[1], "yours_bold"),
            (f"  {_may_be(state, name):<15}", "quiet"),
            (_cost_of(name, wanted, state, before, after, glyphs), ""),
        ]


def numbers_of(name: str, value: Any, glyphs: Glyphs) -> str:
    """Write the value of a setting as the panel does."""
    if name == "aggregation":
        return str(value)
    if name == "rate":
        return numbers.learning_rate(float(value), glyphs)
    if name == "fraction":
        return f"{value:.2f}" if round(value, 2) == value else f"{value:.4g}"
    return numbers.whole(value, glyphs)


def _may_be(state: RunState, name: str) -> str:
    if name == "aggregation":
        return f"{len(able_methods(state))} of {len(METHODS)} can"
    return bounds(state, name).words


def _cost_of(name: str, wanted: Any, state: RunState, before: Costs, after: Costs, glyphs: Glyphs) -> str:
    if name == "rank":
        return bytes_pair(before.reply, after.reply, glyphs)
    if name == "fraction":
        return f"{taking_part(state, float(wanted))} of {len(state.organizations)}"
    return ""


def _cannot(state: RunState) -> str:
    """Name the methods that cannot take over."""
    unable = [name for name in METHODS if method_refused(state, name) is not None]
    if not unable:
        return "Method: any of them can take over."
    return f"Method: {', '.join(unable)} cannot take over (why: ?)"


def _keys(glyphs: Glyphs) -> list[Words]:
    return [
        *((f"{glyphs.up} {glyphs.down}", "yours_bold"), " field   "),
        *((f"{glyphs.left} {glyphs.right}", "yours_bold"), " step or type   "),
        *(("enter", "yours_bold"), " apply   ", ("u", "yours_bold"), " undo   "),
        *(("esc", "yours_bold"), " leave it"),
    ]
