"""What a node's ledger looks like: a head and a table on a terminal, a line for each thing that happened on a pipe."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence

from fedlora_tui.console.drawing import numbers
from fedlora_tui.node.events import (
    BROKEN_OFF,
    INTRODUCE,
    LinkChanged,
    MessageAnswered,
    MessageReceived,
    MessageRefused,
    NodeEnded,
    NodeRecord,
    NodeStarted,
    NotSetUp,
    Trained,
)
from fedlora_tui.node.ledger import Handled, NodeLedger

KINDS = ("A", "B", "masked", "numbers", "shares", "introduction", "words", "other")
"""The kinds of bytes that leave, in the order in which they are shown."""

CAME, DONE = ("time", "asked", "round", "came B", "tensors", "sha256"), ("steps", "tokens", "loss", "seconds")
HEAD = 10
"""The column at which what a line of the head says begins."""
INTRODUCTION = "introduction"
IN_WORDS = {"words", INTRODUCTION}
LEFT = ("time", "asked", "sha256")
LESS = ("sha256", "tensors", "seconds", "tokens", "steps", "time", "loss")
"""The columns that go first where the terminal is narrow."""

LOG = "supernode.log"
PROBLEM, CANNOT = "problem", "cannot take part"
NOT_SECURE = "INSECURE: no TLS, no key"


def sentence(record: NodeRecord) -> str:
    """Put what happened into words; empty for what is no news to a reader of lines."""
    event = record.event
    match event:
        case NodeStarted():
            kept = "it refuses nothing" if not event.policy else f"policy {event.policy}"
            insecure = f"   {NOT_SECURE}" if event.insecure else ""
            return f"{event.organization}: node of the SuperLink at {event.superlink}   {kept}{insecure}"
        case LinkChanged():
            return f"link {event.state}{f': {event.note}' if event.note else ''}"
        case NodeEnded():
            return f"ended: {event.reason}"
        case MessageReceived():
            what = (
                f"{numbers.count(event.bytes)} B in {_many(event.tensors, 'tensor')}" if event.tensors else "no tensors"
            )
            digest = f"   sha256 {event.sha256[:16]}" if event.sha256 else ""
            return f"{_of(event)}: received {what}{digest}"
        case Trained():
            return (
                f"round {event.round} train: trained {_many(event.steps, 'step')}"
                f"   {_many(event.tokens, 'token')}   loss {numbers.loss(event.loss)}"
                f"   {numbers.duration(event.seconds)}"
            )
        case MessageRefused():
            return f"{_of(event)}: refused: {event.reason}"
        case NotSetUp():
            return f"{_of(event)}: {CANNOT}: {event.reason}"
        case MessageAnswered() if event.error == BROKEN_OFF:
            return f"{_of(event)}: {BROKEN_OFF}"
        case MessageAnswered():
            error = f"   ({event.error})" if event.error else ""
            return f"{_of(event)}: sent {numbers.count(sum(event.left.values()))} B: {by_kind(event.left)}{error}"
    return ""


def _of(event: MessageReceived | MessageRefused | NotSetUp | MessageAnswered) -> str:
    return event.kind if event.kind == INTRODUCE else f"round {event.round} {event.kind}"


def wrapped(lines: Iterable[str], width: int) -> list[str]:
    """Break the lines of a head where they are wider than their terminal; what goes on stands under its beginning."""
    under = " " * HEAD
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, max(width, 2 * HEAD), subsequent_indent=under, break_on_hyphens=False) or [""]
    ]


def by_kind(left: Mapping[str, int]) -> str:
    """Give bytes by kind as `A 1,024 B, numbers 32 B`."""
    kinds = [*(kind for kind in KINDS if left.get(kind)), *sorted(kind for kind in left if kind not in KINDS)]
    return ", ".join(f"{kind} {numbers.count(left[kind])} B" for kind in kinds) or "nothing"


def head(ledger: NodeLedger, now: float) -> list[str]:
    """Give the lines above the table: who, the link, and all that ever came and left."""
    sums, node = ledger.sums, ledger.node
    since = "" if ledger.link_since is None else f" since {numbers.clock(ledger.link_since)}"
    lasting = "" if ledger.link_since is None else f" ({numbers.duration(now - ledger.link_since)})"
    note = f": {ledger.link_note}" if ledger.link_note else ""
    rows = []
    if node is not None:
        protected = NOT_SECURE if node.insecure else "TLS and a key of its own"
        rows += [("node", f"{node.organization}   SuperLink {node.superlink}   {protected}")]
        rows += [("policy", node.policy or "it refuses nothing: it takes part in whatever is asked")]
    rows += [("link", f"ended ({ledger.ended})" if ledger.ended else f"{ledger.link}{since}{lasting}{note}")]
    rows += [("received", f"{numbers.count(sums.received)} B in {_many(sums.messages, 'message')}")]
    trained = (_many(sums.trained, "round"), _many(sums.steps, "step"), _many(sums.tokens, "token"))
    rows += [("trained", ", ".join(trained))]
    rows += [("sent", f"{numbers.count(sums.sent)} B in {_many(sums.answered, 'message')}: {by_kind(sums.left)}")]
    why = next((f", the last: {one.refused}" for one in reversed(ledger.handled) if one.refused), "")
    rows += [("refused", f"{_many(sums.refused, 'message')}{why}")]
    last = next((one for one in reversed(ledger.handled) if one.unfit or one.answered is not None), None)
    if last is not None and last.unfit and last.came >= (ledger.started or 0.0):
        rows += [(PROBLEM, f"{CANNOT}: {last.unfit}; once that is put right it is asked again within a minute")]
    return [f"{name:<{HEAD - 1}} {text}" for name, text in rows]


def _many(count: int, thing: str) -> str:
    return f"{numbers.count(count)} {thing}{'' if count == 1 else 's'}"


def table(handled: Sequence[Handled], width: int, now: float | None = None) -> list[str]:
    """Lay messages out as lines of at most so many columns, the oldest first, leaving out what matters least.

    `now` is for what goes on yet, in seconds since the epoch; None where nothing does. What a refused message asked
    and what became of one that is not answered stand in words where others have their numbers.
    """
    present = {kind for one in handled if one.answered for kind, size in one.answered.left.items() if size} - IN_WORDS
    kinds = [kind for kind in (*KINDS, *sorted(present - set(KINDS))) if kind in present]
    came, done = list(CAME), [*DONE, *(f"{kind} B" for kind in kinds)]
    rows = [_cells(one, kinds) for one in handled]
    widths = {name: max([len(name), *(len(row[name]) for row in rows)]) for name in (*came, *done)}
    for name in LESS:
        if sum(widths[one] + 2 for one in (*came, *done)) - 2 <= width:
            break
        (came if name in came else done).remove(name)

    def laid(row: Mapping[str, str], names: Iterable[str]) -> str:
        return "  ".join(row[n].ljust(widths[n]) if n in LEFT else row[n].rjust(widths[n]) for n in names)

    heads = {name: name for name in widths}
    lines = [f"{laid(heads, came)}  {laid(heads, done)}"]
    lines += [
        f"{laid(row, came)}  {_in_words(one, now) or laid(row, done)}" for row, one in zip(rows, handled, strict=True)
    ]
    return [line[:width].rstrip() for line in lines]


def _cells(one: Handled, kinds: Iterable[str]) -> dict[str, str]:
    received, trained, answered = one.received, one.trained, one.answered
    cells = {
        "time": numbers.clock(one.came),
        "asked": received.kind,
        "round": "" if received.kind == INTRODUCE else str(received.round),
        "came B": numbers.count(received.bytes),
        "tensors": str(received.tensors),
        "sha256": received.sha256[:8],
        "steps": numbers.count(trained.steps) if trained else "",
        "tokens": numbers.count(trained.tokens) if trained else "",
        "loss": numbers.loss(trained.loss) if trained else "",
        "seconds": numbers.seconds(answered.seconds) if answered else "",
    }
    for kind in kinds:
        size = answered.left.get(kind, 0) if answered else 0
        cells[f"{kind} B"] = numbers.count(size) if size else ""
    return cells


def _in_words(one: Handled, now: float | None) -> str:
    """Say what became of a message of which no numbers do."""
    if one.refused:
        return f"refused: {one.refused}"
    if one.unfit:
        return f"{CANNOT}: {one.unfit}"
    if one.answered is not None and one.answered.error and not one.broken_off:
        return f"error: {one.answered.error}; {LOG} says more"
    if one.answered is not None and not one.broken_off:
        said = one.answered.left.get(INTRODUCTION, 0)
        return f"said who it is in {numbers.count(said)} B" if said else ""
    if one.broken_off or now is None:
        return BROKEN_OFF
    doing = {"train": "training", "evaluate": "measuring"}.get(one.received.kind, "answering")
    step = f", step {one.progress.step}/{one.progress.steps}" if one.progress else ""
    return f"{doing} for {numbers.duration(now - one.came)}{step}"


def day(t: float) -> str:
    """Give the day of a time, as a ledger's lines are parted by it."""
    return time.strftime("%Y-%m-%d", time.localtime(t))
