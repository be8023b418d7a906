"""The numbers that are read from afar, three rows high in bold; at every size they only repeat what text says."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.renderables.digits import Digits

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.row import Row
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.machine import whole_models
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.console.widgets.trends import change_words

NORMAL_STEP, WIDE_STEP = 24, 25

Figure = tuple[str, list[str | tuple[str, str]], str]
"""A number, what stands below it, and the number's style."""


class BigDigits(Part):
    """Round, hold-out loss, gain, time left, memory; with room also train loss, speed, and what is saved."""

    SLOW = True

    def draw(self, view: View) -> list[Text]:
        """Give three rows of digits and one of labels."""
        if not view.layout.digits:
            return []
        return draw_figures(view, _figures(view, view.layout.columns == "wide"))


def draw_figures(view: View, figures: Sequence[Figure]) -> list[Text]:
    """Draw figures side by side, as many as there is room for: three rows of digits and one of labels."""
    step = WIDE_STEP if view.layout.columns == "wide" else NORMAL_STEP
    rows = [Row(view.layout.width, view.look.glyphs) for _ in range(4)]
    for place, (value, label, style) in enumerate(figures):
        column = 1 + place * step
        if column + step > view.layout.width + 2:
            break
        for row, piece in zip(rows, digit_rows(value, view.look.glyphs.ascii), strict=False):
            row.at(column, (piece, style), until=column + step - 1)
        rows[3].at(column + 1, *label)
    return [row.text() for row in rows]


def digit_rows(value: str, ascii_only: bool = False) -> list[str]:
    """Write a number in three rows of bold digits; plainly in the last one where the terminal has only ASCII."""
    if ascii_only:
        return ["", "", value]
    drawn = Digits(value.replace("–", "-").replace("−", "-")).render(Style(bold=True))
    return "".join(part.text for part in drawn if isinstance(part, Segment)).splitlines()


def _figures(view: View, wide: bool) -> list[Figure]:
    state, glyphs = view.state, view.look.glyphs
    time, time_label = numbers.digits_time(state.seconds_left(view.now), glyphs)
    memory, memory_label = _memory(view)
    speed = state.speed if state.phase in ("running", "pausing", "finishing") else None
    figures: list[Figure] = [
        (numbers.of(state.round, state.rounds, glyphs), ["round"], "ink_bold"),
        (numbers.loss(state.eval_loss, glyphs), ["hold-out loss ", change_words(view, " ")], "held_bold"),
        (numbers.loss(state.train_loss, glyphs), ["train loss"], "train_bold"),
        (numbers.signed(state.gain, glyphs), ["gain over base"], "held_bold"),
        (time, [time_label], "ink_bold"),
        (memory, [memory_label], "ink_bold"),
        ("–" if speed is None else f"{speed / 1000:.3g}", ["k tok/s"], "ink_bold"),
        (
            numbers.ratio(whole_models(state)[1], glyphs).rstrip(glyphs.times),
            [f"{glyphs.times} under whole models"],
            "ink_bold",
        ),
    ]
    return figures if wide else [*figures[:2], *figures[3:6]]


def _memory(view: View) -> tuple[str, str]:
    machine = view.state.machine
    if machine is not None and machine.gpus:
        gpu = machine.gpus[0]
        used = None if gpu.memory_used is None else gpu.memory_used / 2**30
        total = numbers.bytes_text(gpu.memory_total, view.look.glyphs)
        return "–" if used is None else f"{used:.1f}", f"of {total} GPU memory"
    used = None if machine is None or machine.memory_process is None else machine.memory_process / 2**30
    return "–" if used is None else f"{used:.1f}", "GiB process memory"
