"""What the log and the answer row say about events, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from fedlora_tui.console.actions.key_names import key_of
from fedlora_tui.console.actions.keymap import USUAL, Keymap
from fedlora_tui.console.drawing import numbers
from fedlora_tui.console.drawing.glyphs import Glyphs
from fedlora_tui.console.since import pausing_words, rest_words
from fedlora_tui.console.view import Said
from fedlora_tui.protocol import events as ev
from fedlora_tui.protocol.commands import KNOBS, YOU
from fedlora_tui.protocol.events import Record, Waiting
from fedlora_tui.protocol.joining import joiner
from fedlora_tui.protocol.state import RoundSummary, RunState

KNOB_NAMES = {"rate": "lr", "aggregation": "method"}
"""What a knob is called where its own name would be long."""


@dataclass(frozen=True)
class Entry:
    """One line of the log: when, a sign with its style, whose it is, and the words."""

    t: float
    sign: str
    style: str
    name: str
    words: str


def entries(state: RunState, glyphs: Glyphs, most: int, keymap: Keymap = USUAL) -> list[Entry]:
    """Give the last lines of the log, oldest first."""
    found: list[Entry] = []
    for record in reversed(state.log):
        if len(found) == most:
            break
        entry = entry_of(record, state, glyphs, keymap)
        if entry is not None:
            found.append(entry)
    return found[::-1]


def entry_of(record: Record, state: RunState, glyphs: Glyphs, keymap: Keymap = USUAL) -> Entry | None:
    """Write one record as a line of the log, None for kinds that the screen shows elsewhere."""
    said = _run_words(record.event, state, glyphs) or _organization_words(record.event, glyphs, keymap)
    return None if said is None else Entry(record.t, *said)


def _run_words(event: ev.Event, state: RunState, glyphs: Glyphs) -> tuple[str, str, str, str] | None:
    sign = glyphs.run_state
    match event:
        case ev.RunStarted():
            words = f"{event.run}: {len(event.orgs)} organizations, {event.rounds} rounds, on {event.device}"
            return sign("running"), "held", "started", words
        case ev.Deployed() if event.insecure:
            return "!", "broken_bold", "INSECURE", event.insecure
        case ev.NodeRefused():
            return sign("failed"), "broken_bold", "refused", refused_words(event)
        case ev.RunContinued():
            return sign("running"), "held", "goes on", f"after round {event.round}: {event.reason}"
        case ev.RoundFinished():
            return sign("done"), "held", f"round {event.round}", _round_words(event, state, glyphs)
        case ev.RunPaused():
            return sign("paused"), "care", "paused", event.reason or rest_words(state, event.step)
        case ev.RunResumed():
            return sign("running"), "held", "resumed", f"round {event.round}"
        case ev.RunFinishing():
            return sign("finishing"), "care", "finishing", event.reason or f"round {event.round} is the last"
        case ev.RunFinished():
            return sign("done"), "held", "done", _end_words(event, glyphs)
        case ev.RunStopped():
            return sign("stopped"), "care", "stopped", event.reason or f"in round {event.round}"
        case ev.RunFailed():
            return sign("failed"), "broken_bold", "failed", event.reason
        case ev.AdapterExported():
            words = f"round {event.round} to {event.path}, {numbers.bytes_text(event.bytes, glyphs)}"
            return sign("done"), "held", "export", words
        case ev.KnobTurned():
            lost = f", {numbers.percent_fine(event.lost, glyphs)} of it lost" if event.lost else ""
            turned = _knob(event.knob, event.before, event.value, glyphs)
            words = f"{turned} from round {event.round} on"
            if event.knob == "rank":
                common = " in common" if event.org else ""
                words += f", {numbers.count_short(event.trainable, glyphs)} trainable{common}{lost}"
            return glyphs.yours, "yours", event.org or "everybody", words
        case ev.CommandAcknowledged():
            words = command_words(event.command, event.value, glyphs, event.before)
            wait = "" if event.takes_effect_round is None else f", waits for round {event.takes_effect_round}"
            return glyphs.yours, "yours" if event.by == YOU else "quiet", event.by, words + wait
        case ev.CommandRefused():
            words = f"{command_words(event.command, event.value, glyphs)}: {event.reason}"
            return "!", "care", "refused", _with_asker(event.by, words)
    return None


def refused_words(event: ev.NodeRefused) -> str:
    """Write who was refused at the door: `a node with mill's key, 3 times, from 192.0.2.9: its clock (SHA256:...)`."""
    whose = f" with {event.whose}'s key" if event.whose else ""
    times = f", {event.times} times," if event.times > 1 else ""
    place = f" from {event.address}" if event.address else ""
    return f"a node{whose}{times}{place}: {event.reason}" + (f" ({event.key})" if event.key else "")


_TENSOR = re.compile(r"[\w.]*?((?:h|layers|blocks|block)\.\d+\.\S+?)\.(lora_[AB])\.weight")


def short_reason(reason: str) -> str:
    """Write a reason with the names of tensors as short as they tell them apart: `h.3.attn.c_attn lora_B`."""
    return _TENSOR.sub(r"\1 \2", reason)


def _organization_words(event: ev.Event, glyphs: Glyphs, keymap: Keymap) -> tuple[str, str, str, str] | None:
    sign = glyphs.organization_state
    match event:
        case ev.OrgJoined() if event.round > 1:
            tokens = f", {numbers.count_short(event.tokens, glyphs)} tokens" if event.tokens is not None else ""
            allows = f", allows {event.policy}" if event.policy else ""
            words = f"joined with round {event.round}{tokens}{allows}"
            return sign("joining"), "yours", event.org, words
        case ev.OrgLeft():
            return sign("leaving"), "yours", event.org, f"left: {event.reason}" if event.reason else "left"
        case ev.UpdateRejected():
            what = f"reply refused: {short_reason(event.reason)}" if event.answered else event.reason
            return sign("fault"), "broken_bold", event.org, what
        case ev.UpdateLate():
            return sign("late"), "care", event.org, f"late: {event.reason}"
        case ev.OrgQuarantined():
            words = f"quarantine: {short_reason(event.reason)}   {key_of('faults', keymap)} releases it"
            return sign("quarantine"), "broken_bold", event.org, words
        case ev.OrgReleased():
            return sign("joining"), "yours", event.org, f"released from quarantine with round {event.round}"
        case ev.Warned():
            return "!", "care", event.org or "warning", event.message
    return None


def _round_words(event: ev.RoundFinished, state: RunState, glyphs: Glyphs) -> str:
    before = next((row.eval_loss for row in state.history if row.round == event.round - 1), None)
    change = ""
    if before is not None and event.eval_loss is not None:
        change = f" ({numbers.signed(event.eval_loss - before, glyphs)})"
    parts = [
        f"hold-out {numbers.loss(event.eval_loss, glyphs)}{change}",
        f"train {numbers.loss(event.train_loss, glyphs)}",
        f"drift {numbers.drift(event.drift, glyphs)}",
        numbers.duration(event.seconds, glyphs),
        numbers.bytes_text(event.bytes_up + event.bytes_down, glyphs),
        "saved",
    ]
    return "   ".join(parts)


def _end_words(event: ev.RunFinished, glyphs: Glyphs) -> str:
    best = ""
    if event.best_round is not None:
        best = f", best round {event.best_round} with hold-out {numbers.loss(event.best_loss, glyphs)}"
    return f"{event.rounds} rounds{best}" + (f" ({event.reason})" if event.reason else "")


def _knob(knob: str, before: object, value: object, glyphs: Glyphs) -> str:
    """Write a setting that changes: `rank 4 → 8`, and `beta rank 4 → 2` where it is one organization's."""
    whose = ""
    if isinstance(value, Mapping):
        whose, value = f"{value.get('org')} ", value.get(knob)
    name, now = KNOB_NAMES.get(knob, knob), _setting(knob, value, glyphs)
    if before is None:
        return f"{whose}{name} {now}"
    return f"{whose}{name} {_setting(knob, before, glyphs)} {glyphs.right} {now}"


def _setting(knob: str, value: object, glyphs: Glyphs) -> str:
    return numbers.learning_rate(value, glyphs) if knob == "rate" and isinstance(value, float) else str(value)


def mark_words(turned: ev.KnobTurned, glyphs: Glyphs) -> str:
    """Write a setting at its mark on a curve: `lr 5e-4`, and `beta rank 2` where it is one organization's."""
    words = _knob(turned.knob, None, turned.value, glyphs)
    return f"{turned.org} {words}" if turned.org else words


def knob_words(turned: ev.KnobTurned, glyphs: Glyphs) -> str:
    """Write a setting that changed, where its round is told beside it: `lr 1e-3 → 5e-4`."""
    words = _knob(turned.knob, turned.before, turned.value, glyphs)
    return f"{turned.org} {words}" if turned.org else words


def turned_words(turned: ev.KnobTurned, glyphs: Glyphs) -> str:
    """Write a setting that changed: `round 4 lr 1e-3 → 5e-4`."""
    return f"round {turned.round} {knob_words(turned, glyphs)}"


def command_words(command: str, value: object, glyphs: Glyphs, before: object = None) -> str:
    """Write a command as the next-round row does: `+ clinic-9`, `− clinic-9`, `rank 4 → 8`, else its name."""
    if command in KNOBS:
        return _knob(command, before, value, glyphs)
    if command == "add":
        return f"{glyphs.organization_state('joining')} {joiner(value) or 'one more'}"
    if command == "drop":
        return f"{glyphs.organization_state('leaving')} {value}"
    if command == "release":
        return f"release {value}"
    if command == "export" and isinstance(value, Mapping):
        return f"export {value.get('round', '')}".strip()
    if command == "undo" and isinstance(value, Mapping):
        return f"takes back {_taken_back_words(value, glyphs)}"
    return {"undo": "takes back the last change", "stop": "stop", "finish": "finish after this round"}.get(
        command, command
    )


def _taken_back(value: object, before: RunState, glyphs: Glyphs) -> str:
    if isinstance(value, Mapping):
        return _taken_back_words(value, glyphs)
    return waiting_words(before.waiting[-1], glyphs) if before.waiting else "the last change"


def _taken_back_words(value: Mapping[str, object], glyphs: Glyphs) -> str:
    command = str(value.get("command"))
    if command not in KNOBS:
        return command_words(command, value.get("org"), glyphs)
    own = {"org": value.get("org"), command: value.get("value")} if value.get("org") else value.get("value")
    return command_words(command, own, glyphs)


def waiting_words(change: Waiting, glyphs: Glyphs) -> str:
    """Write a change that waits for the next round."""
    return command_words(change.command, change.value, glyphs, change.before)


def answer(before: RunState, state: RunState, glyphs: Glyphs) -> Said | None:
    """Answer the last command from what the run said about it since `before`, None where it said nothing."""
    if state.phase != before.phase and (said := _phase_answer(before, state, glyphs)) is not None:
        return said
    if state.export is not None and state.export is not before.export:
        size = numbers.bytes_text(state.export.bytes, glyphs)
        return Said(glyphs.answered, "held", state.t, f"written: {state.export.path}   {size}")
    if state.answer is None or state.answer is before.answer:
        return None
    event, t = state.answer.event, state.answer.t
    if isinstance(event, ev.CommandRefused):
        return Said("!", "care_bold", t, _with_asker(event.by, event.reason))
    return Said(glyphs.answered, "held", t, _with_asker(event.by, _acknowledged(event, before, state, glyphs)))


def _with_asker(by: str, words: str) -> str:
    """Say whose words these answer, where somebody else asked."""
    return words if by == YOU else f"{by}: {words}"


def _acknowledged(event: ev.CommandAcknowledged, before: RunState, state: RunState, glyphs: Glyphs) -> str:
    turn = event.takes_effect_round
    if event.command == "add" and turn is not None:
        return f"{joiner(event.value)} joins at round {turn} with the adapter of round {turn - 1}"
    if event.command == "drop" and turn is not None:
        return f"{event.value} leaves at round {turn}"
    if event.command == "release" and turn is not None:
        return f"{event.value} leaves quarantine with round {turn}"
    if event.command in KNOBS and turn is not None:
        return f"{_knob(event.command, event.before, event.value, glyphs)}, waits for round {turn}"
    if event.command == "undo":
        return f"taken back: {_taken_back(event.value, before, glyphs)}"
    return {
        "pause": f"pausing {pausing_words(state)}",
        "resume": f"round {state.round} goes on",
        "export": "writing the adapter" + glyphs.ellipsis,
        "finish": f"the run ends after round {state.round}",
        "stop": "stopping" + glyphs.ellipsis,
    }.get(event.command, event.command)


def _phase_answer(before: RunState, state: RunState, glyphs: Glyphs) -> Said | None:
    t = state.phase_since or state.t
    good = ("try", "export") if finished_rounds(state) else ()
    if state.phase == "paused" and not state.reason:
        return Said(glyphs.answered, "held", t, f"paused {rest_words(state, state.step)}", good)
    if state.phase == "paused":
        return Said("!", "care_bold", t, f"paused by itself: {state.reason}", good)
    if state.phase == "running" and before.phase == "paused":
        return Said(glyphs.answered, "held", t, f"round {state.round} goes on")
    if state.phase == "done":
        return Said(glyphs.answered, "held", t, "the run is done" + _reason(state), (*good, "leave"))
    if state.phase == "failed":
        return Said(glyphs.refused, "broken_bold", t, "the run failed" + _reason(state))
    if state.phase == "stopped":
        return Said(glyphs.answered, "held", t, "the run is stopped" + _reason(state), (*good, "leave"))
    return None


def _reason(state: RunState) -> str:
    return f": {state.reason}" if state.reason else ""


def finished_rounds(state: RunState) -> list[RoundSummary]:
    """Give the rounds from 1 on that are finished, whose adapters can be written."""
    return [row for row in state.history if row.round > 0]


def short_model(name: str) -> str:
    """Give a model's name without the folders before it: a path's last part, a hub id's own name."""
    return PurePath(name).name or name
