"""What the tuning panel says of settings: what they cost, what of a change is exact, and why methods cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedlora_tui.console.costs import Costs
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.tuning import coming, configured, least_organizations, method_refused
from fedlora_tui.protocol.state import RunState
from fedlora_tui.protocol.tuning import METHODS

NAME_WIDTH = 10
WIDTH = 71


def pair(before: float | None, after: float | None, write: Callable[..., str], glyphs: Glyphs) -> str:
    """Write a number as it is and as it would be, `0.6 → 1.1 MiB`; once where it stays."""
    now, then = write(before, glyphs), write(after, glyphs)
    return now if now == then else f"{now} {glyphs.right} {then}"


def bytes_pair(before: float | None, after: float | None, glyphs: Glyphs) -> str:
    """Write bytes as they are and as they would be, in the unit of the larger where that is not too coarse."""
    larger = max((size for size in (before, after) if size is not None), default=None)
    unit = numbers.bytes_text(larger, glyphs).partition(" ")[2] or "B"
    coarse = any(numbers.bytes_text(size, glyphs, least=unit).startswith("0.0 ") for size in (before, after))
    words = [numbers.bytes_text(size, glyphs, least="B" if coarse else unit) for size in (before, after)]
    if words[0] == words[1]:
        return words[0]
    return f"{words[0] if coarse else words[0].removesuffix(f' {unit}')} {glyphs.right} {words[1]}"


def cost_lines(before: Costs, after: Costs, glyphs: Glyphs) -> list[list[Words]]:
    """Write what a round takes and would take, in two lines."""
    more = None if before.memory is None or after.memory is None else after.memory - before.memory
    memory = "as now" if more == 0 else numbers.bytes_text(abs(more) if more is not None else None, glyphs)
    sign = "" if not more else "+" if more > 0 else glyphs.minus
    sizes = (
        f"{pair(before.trainable, after.trainable, numbers.count_short, glyphs)} trainable   "
        f"a round {bytes_pair(before.round, after.round, glyphs)}   memory {sign}{memory}"
    )
    times = (
        f"a round {pair(before.seconds, after.seconds, numbers.duration, glyphs):<16} "
        f"{pair(before.left, after.left, numbers.duration, glyphs)} left"
    )
    return [[sizes], [times, ("   (estimates)", "quiet")]]


def exactness(state: RunState, setting: str, value: Any, glyphs: Glyphs) -> tuple[str, str]:
    """Say in two lines what a change of a setting keeps, and what it does not."""
    if setting == "rank":
        return _of_rank(state, int(value), glyphs)
    if setting == "aggregation":
        return _of_method(state, str(value))
    cooldown = configured(state, "federation", "server_cooldown", 0.0)
    falls = f"The server's rate falls over the last {cooldown:.0%} of all rounds." if cooldown else ""
    return {
        "rounds": ("Exact: it says where the run ends, and changes nothing learned so far.", falls),
        "rate": ("Exact: AdamW starts anew each round, so no moment keeps an old rate.", ""),
        "steps": (
            "Exact: what was learned stays; optimizers start anew each round.",
            "With more steps a round learns more, and organizations drift apart.",
        ),
        "fraction": (
            "Exact: who trains is drawn from the seed and the round alone.",
            f"A round needs {least_organizations(state)} at least; all measure as before.",
        ),
    }[setting]


def _of_rank(state: RunState, value: int, glyphs: Glyphs) -> tuple[str, str]:
    before, product = state.rank, f"B{glyphs.separator}A"
    if state.keeps_rank:
        return f"{state.aggregation} keeps its rank: what it makes of a factor is of that rank.", ""
    alpha = state.started.alpha if state.started is not None else 0.0
    first = state.started.rank if state.started is not None else 0
    at_first = alpha / first if first else 0.0
    scale = f"alpha {at_first * before:g} {glyphs.right} {at_first * value:g} keeps alpha/rank."
    if value > before:
        whole = f"Exact: every product {product} stays as it is, {scale}"
        return (
            whole if len(whole) <= WIDTH else f"Exact: every product {product} stays; {scale}",
            "New rows of A are random, of B zero; optimizers start each round.",
        )
    if value < before:
        return (
            f"Not exact: {product} becomes its best approximation of rank {value}.",
            f"The log says how much that lost; {scale}",
        )
    return (
        f"A higher rank is exact: every product {product} stays as it is.",
        "A lower one is the best approximation; the log says what it lost.",
    )


def _of_method(state: RunState, name: str) -> tuple[str, str]:
    terms, before = METHODS.get(name), str(coming(state, "aggregation"))
    if terms is None or name == before:
        return "Exact: the adapter goes on as it is, whichever method takes it over.", ""
    second = ""
    if terms.changes_base:
        second = f"{name} adds to the base in every round; everybody holds what was added."
    elif not terms.both:
        second = f"{name} sends one of A and B a round, so a round learns less."
    return f"Exact: the adapter goes on as it is; {name} takes in later replies.", second


def reasons(state: RunState) -> list[list[Words]]:
    """Write the methods, and why each of those that cannot take over cannot."""
    lines: list[list[Words]] = [[(f"which methods can take over from {coming(state, 'aggregation')}", "quiet")], []]
    for name in METHODS:
        why = method_refused(state, name)
        first, *rest = _wrapped(why or "can", WIDTH - NAME_WIDTH)
        lines.append([(f"{name:<{NAME_WIDTH}}", "" if why is None else "care"), (first, "held" if not why else "")])
        lines += [[" " * NAME_WIDTH, line] for line in rest]
    return [*lines, [], [("any key", "yours_bold"), " goes back"]]


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
