"""The dialog of a round's drift module by module, and of the organizations' updates beside it or behind tab."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from textual import events

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.bars import share_bar
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cut_middle, left, right
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.screens.dialog import EDGES, Dialog, scrolled
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.table import scroll_bar
from fedlora_tui.protocol.state import Merged, RunState

SIDE_BY_SIDE = 116
"""The width of a box that holds both lists."""

GAP = 3
LINES_AROUND = 6
"""Lines of the content that are no row of a list."""

LEAST_SCALE = 0.001
"""The drift of a whole bar where all are smaller: what is written as 0.000 has no bar to speak of."""

Number = float | None


@dataclass(frozen=True)
class Head:
    """A column of numbers: its name, its width, and how it writes a number."""

    name: str
    width: int
    written: Callable[[Number, Glyphs], str]


@dataclass(frozen=True)
class Listing:
    """Rows of a name and numbers, the first of which is drawn as a bar that is whole at `scale`."""

    name: str
    meaning: str
    heads: tuple[Head, ...]
    rows: Sequence[tuple[str, tuple[Number, ...]]]
    scale: float
    name_width: int


class DriftDialog(Dialog[None]):
    """What a round lost, module by module; the newest round until another is chosen."""

    TITLE_WORDS = "drift by module"
    CLOSED_BY = ("drift", "leave")
    RIGHT_WORDS = "b"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._round: int | None = None
        self._shown = 0
        self._tops = [0] * len(LISTINGS)
        self._lengths = [0] * len(LISTINGS)
        self._rows = 1

    def box_width(self, view: View) -> int:
        """Give room to both lists where the terminal has it."""
        return SIDE_BY_SIDE if view.layout.width >= SIDE_BY_SIDE + 2 else super().box_width(view)

    def content(self, view: View) -> list[list[Words]]:
        """Give the round with its numbers, one list or both, and the keys."""
        merged, width = self._merged(view.state), self.box_width(view) - EDGES
        longest = max(len(merged.drifts), len(view.state.organizations))
        self._rows = max(1, min(longest, view.layout.height - 2 - LINES_AROUND))
        if self.box_width(view) < SIDE_BY_SIDE:
            lists = self._drawn(view, merged, self._shown, width)
        else:
            half = (width - GAP) // 2
            pairs = zip(*(self._drawn(view, merged, place, half) for place in range(len(LISTINGS))), strict=True)
            lists = [[*one, " " * GAP, *other] for one, other in pairs]
        return [_round_words(view, merged), [], *lists, [], self._key_words(view)]

    def press(self, event: events.Key) -> None:
        """Scroll, go to another round or list, or close."""
        if event.key == "enter" or self.closes(event.key):
            self.dismiss(None)
            return
        if event.key in ("left", "right"):
            self._turn(-1 if event.key == "left" else 1)
        elif event.key in ("tab", "shift+tab"):
            self._shown = 1 - self._shown
        else:
            self._scroll(scrolled(event.key, self._rows, self._lengths[self._shown]))
        self.repaint()

    def on_mouse_scroll_down(self) -> None:
        """Scroll down."""
        self._scroll(1)
        self.repaint()

    def on_mouse_scroll_up(self) -> None:
        """Scroll up."""
        self._scroll(-1)
        self.repaint()

    def _merged(self, state: RunState) -> Merged:
        """Give the chosen round, the newest where none is or where it is no longer kept."""
        return next((merged for merged in state.merged if merged.round == self._round), state.merged[-1])

    def _turn(self, direction: int) -> None:
        """Go a round back or on; at the newest the dialog follows the run again."""
        rounds = [merged.round for merged in self._view.state.merged]
        place = rounds.index(self._merged(self._view.state).round) + direction
        if place >= 0:
            self._round = None if place >= len(rounds) - 1 else rounds[place]

    def _scroll(self, lines: int) -> None:
        most = max(0, self._lengths[self._shown] - self._rows)
        self._tops[self._shown] = max(0, min(most, self._tops[self._shown] + lines))

    def _drawn(self, view: View, merged: Merged, place: int, width: int) -> list[list[Words]]:
        """Give a list's meaning, its heads and the rows in sight, each exactly as wide as asked."""
        glyphs, listing = view.look.glyphs, LISTINGS[place](view.state, merged)
        total = self._lengths[place] = len(listing.rows)
        self._tops[place] = top = max(0, min(self._tops[place], total - self._rows))
        taken = sum(2 + head.width for head in listing.heads) + 2
        name_width = min(listing.name_width, max(1, (width - taken) // 2))
        bar_width = max(0, width - taken - name_width - 2)
        head_style = "yours_bold" if place == self._shown else "quiet"
        heads: list[Words] = [(left(listing.name, name_width + 2 + bar_width, glyphs), head_style)]
        heads += [("  " + right(head.name, head.width, glyphs), "quiet") for head in listing.heads]
        lines: list[list[Words]] = [[(left(listing.meaning, width, glyphs), "quiet")], [*heads, "  "]]
        bar = scroll_bar(total, self._rows, top, view)
        for y, (name, values) in enumerate(listing.rows[top : top + self._rows]):
            share = values[0]
            done, rest = ("", " " * bar_width) if share is None else share_bar(share / listing.scale, bar_width, glyphs)
            words: list[Words] = [left(cut_middle(name, name_width, glyphs), name_width + 2, glyphs), done]
            words.append((rest, "quiet"))
            for head, value in zip(listing.heads, values, strict=True):
                words.append(("  " + right(head.written(value, glyphs), head.width, glyphs), _dash_is_quiet(value)))
            lines.append([*words, (f" {bar[y] or ' '}", "quiet")])
        blank: list[Words] = [" " * width]
        return [*lines, *[blank] * (self._rows + 2 - len(lines))]

    def _key_words(self, view: View) -> list[Words]:
        glyphs = view.look.glyphs
        other = "the other list" if self.box_width(view) == SIDE_BY_SIDE else NAMES[1 - self._shown]
        return [
            *((f"{glyphs.left} {glyphs.right}", "yours_bold"), " round   "),
            *((f"{glyphs.up} {glyphs.down}", "yours_bold"), " scroll   "),
            *(("tab", "yours_bold"), f" {other}   ", ("esc", "yours_bold"), " closes"),
        ]


def _dash_is_quiet(value: Number) -> str:
    return "quiet" if value is None else ""


def _round_words(view: View, merged: Merged) -> list[Words]:
    glyphs, newest = view.look.glyphs, view.state.merged[-1].round
    return [
        ("round  ", "quiet"),
        (f"{glyphs.choice_left} {merged.round} {glyphs.choice_right}", "yours_bold"),
        ("  the newest" if merged.round == newest else f"  of {newest}", "quiet"),
        *(("     drift ", "quiet"), numbers.drift(merged.drift, glyphs)),
        *(("     cos ", "quiet"), numbers.hundredths(merged.cosine, glyphs)),
    ]


def _modules(state: RunState, merged: Merged) -> Listing:
    """List the modules, what lost most first; the scale is one for all rounds."""
    told = [drift for each in state.merged for drift in each.drifts.values() if drift is not None]
    scale = max([LEAST_SCALE, *told])
    meaning = f"share of the ideal update lost; a whole bar is {scale:.3f}"
    if not any(drift is not None for drift in merged.drifts.values()):
        meaning = "not known: the replies were not seen one by one"
    shorter = short_names(merged.drifts)
    rows = [(shorter[module], (drift,)) for module, drift in merged.drifts.items()]
    # The order of the model stays among equals: where nothing is lost, that is all of it.
    rows.sort(key=lambda row: _unknown_last(row[1][0], -1))
    heads = (Head("drift", 5, numbers.drift),)
    return Listing(NAMES[0], meaning, heads, rows, scale, min(32, max(map(len, shorter.values()), default=1)))


def _organizations(state: RunState, merged: Merged) -> Listing:
    """List the organizations whose replies came, whose update points least the common way first."""
    rows = sorted(_updates(state, merged.round), key=lambda row: _unknown_last(row[1][1], 1))
    longest = max((norm for _, (norm, _) in rows if norm is not None), default=0.0)
    heads = (Head("norm", 6, numbers.norm), Head("cos", 5, numbers.hundredths))
    return Listing(NAMES[1], "norm of its update, and cos to the common one", heads, rows, longest or 1.0, 18)


NAMES = ("modules", "organizations")
LISTINGS: tuple[Callable[[RunState, Merged], Listing], ...] = (_modules, _organizations)


def _unknown_last(value: Number, sign: int) -> tuple[bool, float]:
    return value is None, sign * (value or 0.0)


def _updates(state: RunState, round: int) -> list[tuple[str, tuple[Number, Number]]]:
    """Give norm and cosine of the update of each organization that trained in a round."""
    found = []
    for name, organization in state.organizations.items():
        row = next((row for row in reversed(organization.history) if row.round == round), None)
        if row is not None and (row.curve or row.norm is not None):
            found.append((name, (row.norm, row.cosine)))
    return found


def short_names(modules: Iterable[str]) -> dict[str, str]:
    """Give each module's name without its first part where that is the same for all: `h.0.attn.c_attn`."""
    shorter = {module: module.partition(".")[2] for module in modules}
    if len({module.partition(".")[0] for module in shorter}) == 1 and all(shorter.values()):
        return shorter
    return {module: module for module in shorter}
