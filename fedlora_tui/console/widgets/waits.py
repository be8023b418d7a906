"""The pane of the next round: what waits for it with what that costs and keeps, else how the round is to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.text import Text

from fedlora_tui.console.costs import costs, joining
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import cut_middle
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.screens.tune_words import bytes_pair, exactness, pair
from fedlora_tui.console.tuning import SETTINGS, stands, taking_part
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.answers import wrapped
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.wording import waiting_words
from fedlora_tui.protocol.events import Waiting
from fedlora_tui.protocol.state import RunState

WORDS = 16
SIZES = ("rank", "fraction", "aggregation")
"""Settings that change what is sent and kept; the others change how long it takes, or neither."""


class Waits(Part):
    """The pane of the next round."""

    can_focus = True

    def draw(self, view: View) -> list[Text]:
        """Give the rule and, as far as there is room, each change that waits."""
        state, glyphs, width = view.state, view.look.glyphs, view.layout.waits_width
        if not width:
            return []
        goes_on = not state.over and (not state.rounds or state.round < state.rounds)
        title = f"6 waits for round {state.round + 1}" if goes_on else "6 no round follows"
        lines = [rule(width, glyphs, title, focused=view.focused == "waits")]
        said = _waiting(state, view.now, glyphs) if state.waiting else _next(state, view.now, glyphs)
        for what, words in said if goes_on or state.waiting else ():
            row = Row(width, glyphs).at(1, (cut_middle(what, WORDS - 2, glyphs), "yours" if state.waiting else "quiet"))
            first, *rest = wrapped(words, width - WORDS - 1)
            lines.append(row.at(WORDS, first).text())
            lines += [Row(width, glyphs).at(WORDS, line).text() for line in rest]
        return lines[: view.layout.log + 1]


def _waiting(state: RunState, now: float, glyphs: Glyphs) -> Iterator[tuple[str, str]]:
    """Give what waits, each with what is to be known of it."""
    for change in state.waiting:
        words = [line for line in _of(change, state, now, glyphs) if line]
        yield waiting_words(change, glyphs), words[0] if words else ""
        yield from (("", line) for line in words[1:])


def _of(change: Waiting, state: RunState, now: float, glyphs: Glyphs) -> tuple[str, ...]:
    value, name = change.value, change.command
    if isinstance(value, Mapping) and name in SETTINGS:
        return ("for it alone: the others keep theirs",)
    if name in SETTINGS:
        return _cost(name, change, state, now, glyphs), exactness(state, name, value, glyphs)[0]
    if name == "add":
        sent, _, seconds = joining(state, 1)
        more = f"+{numbers.bytes_text(sent, glyphs)}, +{numbers.duration(seconds, glyphs)} a round"
        return f"starts with the adapter of round {state.round}", more
    if name == "drop":
        staying = sum(org.state not in ("leaving", "joining") for org in state.organizations.values())
        return (f"{staying} stay, and what it taught the adapter does",)
    return ("takes part again",) if name == "release" else ()


def _cost(name: str, change: Waiting, state: RunState, now: float, glyphs: Glyphs) -> str:
    """Write what a round takes, and would take with one setting turned."""
    before, after = costs(state, {}, now), costs(state, {name: change.value}, now)
    if name == "rate":
        return ""
    if name not in SIZES:
        seconds = pair(before.seconds, after.seconds, numbers.duration, glyphs)
        return f"a round {seconds}, {pair(before.left, after.left, numbers.duration, glyphs)} left"
    sizes = f"{pair(before.trainable, after.trainable, numbers.count_short, glyphs)} trainable"
    return f"{sizes}, a round {bytes_pair(before.round, after.round, glyphs)}"


def _next(state: RunState, now: float, glyphs: Glyphs) -> Iterator[tuple[str, str]]:
    """Give how the next round is to be where nothing waits for it."""
    cost, training = costs(state, {}, now), taking_part(state, float(stands(state, "fraction")))
    yield "nothing waits", "what keys ask for stands here until then"
    yield "organizations", f"{training} of {len(state.organizations)} train, {stands(state, 'steps')} steps each"
    rate = numbers.learning_rate(state.learning_rate, glyphs) if state.learning_rate else glyphs.dash
    yield "settings", f"rank {state.rank}, {state.aggregation}, lr {rate}"
    took = f"{numbers.bytes_text(cost.round, glyphs)}, {numbers.duration(cost.seconds, glyphs)}"
    yield "a round", f"{took}   (estimates)"
    if not state.deployed:
        yield "memory", f"{numbers.bytes_text(cost.memory, glyphs)} for adapters that train side by side"
