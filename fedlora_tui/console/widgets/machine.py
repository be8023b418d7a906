"""The machine: one line of it (row 4), or a pane. Without a GPU this process's memory and processor, named so."""

from __future__ import annotations

from rich.text import Text

from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.bars import meter, share_bar
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.drawing.text import right
from fedlora_tui.console.row import Part as Words
from fedlora_tui.console.row import Row, rule
from fedlora_tui.console.view import View
from fedlora_tui.console.widgets.budget import budget_line, budget_short
from fedlora_tui.console.widgets.part import Part
from fedlora_tui.protocol.events import Gpu, Telemetry
from fedlora_tui.protocol.state import RunState

FULL, HOT = 0.9, 85.0
TEXT_SENT = "text sent 0 B"
"""What travels is adapters and numbers; messages are refused that hold anything else."""

BASE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
ADAPTER_BYTES = 4


class MachineLine(Part):
    """The fourth row of a low or narrow terminal."""

    SLOW = True

    def draw(self, view: View) -> list[Text]:
        """Give the one line."""
        row = Row(view.layout.width, view.look.glyphs)
        machine = view.state.machine
        if machine is not None and machine.gpus:
            _put_gpu(row, machine.gpus[0], view.look.glyphs)
            speed_column = 49
        else:
            _put_process(row, machine, view.look.glyphs)
            speed_column = 52
        row.at(speed_column, f"{_speed(view):<4} tok/s")
        row.at(speed_column + 13, budget_short(view.state, view.look.glyphs) or (TEXT_SENT, "quiet"))
        return [row.text()]


def _put_gpu(row: Row, gpu: Gpu, glyphs: Glyphs) -> None:
    row.at(1, (f"gpu {gpu.index}", "quiet")).at(7, *_gpu_meter(gpu, 12, glyphs))
    memory = numbers.memory(gpu.memory_used, gpu.memory_total, glyphs)
    row.at(20, _warned(memory, _share(gpu.memory_used, gpu.memory_total) > FULL))
    row.at(35, right(numbers.percent(gpu.busy, glyphs), 4, glyphs)).at(41, _heat(gpu, glyphs))


def _put_process(row: Row, machine: Telemetry | None, glyphs: Glyphs) -> None:
    used, total, cpu = _process(machine)
    done, rest = share_bar(_share(used, total), 8, glyphs)
    row.at(1, ("process memory", "quiet")).at(16, (done, "train"), (rest, "quiet"))
    row.at(25, _warned(numbers.memory(used, total, glyphs), _share(used, total) > FULL))
    row.at(40, right(numbers.percent(cpu, glyphs), 4, glyphs)).at(45, ("cpu", "quiet"))


class Machine(Part):
    """The pane of the machine."""

    SLOW = True
    can_focus = True

    def draw(self, view: View) -> list[Text]:
        """Give the rule and as many lines as the chart beside it has."""
        width, glyphs = view.layout.right, view.look.glyphs
        if not width:
            return []
        machine = view.state.machine
        if machine is not None and machine.gpus:
            lines = _gpu_lines(machine, view, width)
        else:
            lines = _process_lines(machine, view, width)
        lines += _traffic_lines(view, width)
        title = rule(width, glyphs, "3 machine", focused=view.focused == "machine")
        return [title, *lines[: view.layout.chart]]


def _gpu_lines(machine: Telemetry, view: View, width: int) -> list[Text]:
    glyphs = view.look.glyphs
    lines: list[Text] = []
    for gpu in machine.gpus[: 2 if view.layout.chart > 9 else 1]:
        head = Row(width, glyphs).at(0, (f"gpu {gpu.index}", "quiet")).at(7, gpu.name, until=26)
        head.at(27, numbers.percent(gpu.busy, glyphs)).at(32, _heat(gpu, glyphs))
        used, ours = gpu.memory_used, gpu.memory_ours
        words: list[Words] = [
            _warned(numbers.memory(used, gpu.memory_total, glyphs), _share(used, gpu.memory_total) > FULL)
        ]
        if ours is not None and used is not None:
            words += ["  ", (glyphs.meter_ours, "train"), f" ours {_gibibytes(ours)}  "]
            words += [(glyphs.meter_others, "quiet"), f" others {_gibibytes(max(0, used - ours))}"]
        meter_row = Row(width, glyphs).at(0, ("memory", "quiet")).at(7, *_gpu_meter(gpu, width - 8, glyphs))
        lines += [head.text(), meter_row.text(), Row(width, glyphs).at(0, *words).text()]
        if gpu.watts is not None:
            done, rest = share_bar(_share(gpu.watts, gpu.watts_limit), width - 8, glyphs)
            lines.append(Row(width, glyphs).at(0, ("power", "quiet")).at(7, (done, "ink"), (rest, "quiet")).text())
            limit = numbers.of(gpu.watts, gpu.watts_limit, glyphs)
            lines.append(Row(width, glyphs).at(0, f"{limit} W").text())
    return lines


def _process_lines(machine: Telemetry | None, view: View, width: int) -> list[Text]:
    glyphs = view.look.glyphs
    used, total, cpu = _process(machine)
    cores = f"{machine.cpus} processors" if machine is not None else ""
    memory = share_bar(_share(used, total), width - 8, glyphs)
    work = share_bar(cpu or 0.0, width - 8, glyphs)
    words = _warned(numbers.memory(used, total, glyphs), _share(used, total) > FULL)
    return [
        Row(width, glyphs).at(0, ("no gpu", "quiet")).at(7, cores).at(27, numbers.percent(cpu, glyphs), " cpu").text(),
        Row(width, glyphs).at(0, ("memory", "quiet")).at(7, (memory[0], "train"), (memory[1], "quiet")).text(),
        Row(width, glyphs).at(0, words, ("  process memory", "quiet")).text(),
        Row(width, glyphs).at(0, ("cpu", "quiet")).at(7, (work[0], "train"), (work[1], "quiet")).text(),
        _disk_line(machine, view, width),
    ]


def _disk_line(machine: Telemetry | None, view: View, width: int) -> Text:
    glyphs = view.look.glyphs
    run = numbers.bytes_text(machine.disk_run if machine else None, glyphs)
    free = numbers.bytes_text(machine.disk_free if machine else None, glyphs)
    return Row(width, glyphs).at(0, ("disk", "quiet")).at(7, f"run {run}   free {free}").text()


def _traffic_lines(view: View, width: int) -> list[Text]:
    state, glyphs = view.state, view.look.glyphs
    sent = f"{glyphs.up} {numbers.mebibytes(state.bytes_up, glyphs)}  "
    sent += f"{glyphs.down} {numbers.mebibytes(state.bytes_down, glyphs)} MiB"
    whole, times = whole_models(state)
    return [
        Row(width, glyphs)
        .at(0, ("speed", "quiet"))
        .at(7, f"{_speed(view)} tok/s")
        .at(29, (_cohort(state, glyphs), "quiet"))
        .text(),
        Row(width, glyphs).at(0, ("sent", "quiet")).at(7, sent).at(29, ("text 0 B", "held")).text(),
        Row(width, glyphs)
        .at(7, (f"whole models {numbers.bytes_text(whole, glyphs)}   {numbers.ratio(times, glyphs)}", "quiet"))
        .text(),
        Row(width, glyphs).at(0, *budget_line(state, glyphs)).text(),
    ]


def _cohort(state: RunState, glyphs: Glyphs) -> str:
    """Say how many organizations go in one pass, and in how many lanes: there may be room for more than there are."""
    if not state.cohort or not state.organizations or state.deployed:
        return ""
    lanes = min(state.lanes, len(state.organizations))
    together = min(state.cohort, -(-len(state.organizations) // lanes))
    return f"cohort {together}" + (f" {glyphs.times}{lanes}" if lanes > 1 else "")


def whole_models(state: RunState) -> tuple[float | None, float | None]:
    """Give the bytes that whole models would have weighed on the same ways, and how many times the adapters'."""
    started = state.started
    if started is None or not started.trainable:
        return None, None
    times = started.params * BASE_BYTES.get(started.dtype, 4) / (started.trainable * ADAPTER_BYTES)
    return (state.bytes_up + state.bytes_down) * times, times


def _speed(view: View) -> str:
    state = view.state
    at_work = state.phase in ("running", "pausing", "finishing")
    return numbers.rate(state.speed if at_work else None, view.look.glyphs)


def _process(machine: Telemetry | None) -> tuple[int | None, int | None, float | None]:
    if machine is None:
        return None, None, None
    return machine.memory_process, machine.memory_total, machine.cpu


def _gpu_meter(gpu: Gpu, width: int, glyphs: Glyphs) -> list[Words]:
    ours = gpu.memory_ours if gpu.memory_ours is not None else gpu.memory_used
    others = (gpu.memory_used or 0) - (ours or 0)
    parts = meter(ours, max(0, others), gpu.memory_total, width, glyphs)
    return list(zip(parts, ("train", "quiet", "quiet"), strict=True))


def _heat(gpu: Gpu, glyphs: Glyphs) -> Words:
    words = f"{numbers.whole(gpu.celsius, glyphs)} {glyphs.degree}"
    return _warned(words, gpu.celsius is not None and gpu.celsius > HOT)


def _warned(words: str, too_much: bool) -> Words:
    return (words, "care_bold") if too_much else words


def _share(part: float | None, whole: float | None) -> float:
    return (part or 0.0) / whole if whole else 0.0


def _gibibytes(n: int) -> str:
    return f"{n / 2**30:.1f}"
