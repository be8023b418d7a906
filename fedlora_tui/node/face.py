"""What a node's ledger looks like: a head and a table on a terminal, a line for each thing that happened on a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from fedlora_tui.console.drawing import numbers
from fedlora_tui.node.events import (
    LinkChanged,
    MessageAnswered,
    MessageReceived,
    MessageRefused,
    NodeEnded,
    NodeRecord,
    NodeStarted,
    Trained,
)
from fedlora_tui.node.ledger import Handled, NodeLedger

KINDS = ("A", "B", "masked", "numbers", "shares", "introduction", "words", "other")
"""The kinds of bytes that leave, in the order in which they are shown."""

RIGHT_FROM, LAST_LEFT = 2, 3
LESS = ("sha256", "tensors", "seconds", "tokens", "time")
"""The columns that go first where the terminal is narrow."""

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
            what = f"{numbers.count(event.bytes)} B in {event.tensors} tensors" if event.tensors else "no tensors"
            digest = f"   sha256 {event.sha256[:16]}" if event.sha256 else ""
            return f"{_of(event)}: received {what}{digest}"
        case Trained():
            return (
                f"round {event.round} train: trained {numbers.count(event.steps)} steps"
                f"   {numbers.count(event.tokens)} tokens   loss {numbers.loss(event.loss)}"
                f"   {numbers.duration(event.seconds)}"
            )
        case MessageRefused():
            return f"{_of(event)}: refused: {event.reason}"
        case MessageAnswered():
            error = f"   ({event.error})" if event.error else ""
            return f"{_of(event)}: sent {numbers.count(sum(event.left.values()))} B: {by_kind(event.left)}{error}"
    return ""


def _of(event: MessageReceived | MessageRefused | MessageAnswered) -> str:
    return f"round {event.round} {event.kind}" if event.round else event.kind


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
        rows += [("node", f"{node.organization}   SuperLink {node.superlink}")]
        rows += [("policy", node.policy or "none: it takes part in whatever is asked")]
    rows += [("link", f"ended ({ledger.ended})" if ledger.ended else f"{ledger.link}{since}{lasting}{note}")]
    rows += [("received", f"{numbers.count(sums.received)} B in {numbers.count(sums.messages)} messages")]
    trained = f"{numbers.count(sums.trained)} rounds, {numbers.count(sums.steps)} steps"
    rows += [("trained", f"{trained}, {numbers.count(sums.tokens)} tokens")]
    rows += [("sent", f"{numbers.count(sums.sent)} B in {numbers.count(sums.answered)} replies: {by_kind(sums.left)}")]
    rows += [("refused", f"{numbers.count(sums.refused)} messages")]
    return [f"{name:<9} {text}" for name, text in rows]


def table(handled: Sequence[Handled], width: int, now: float | None = None) -> list[str]:
    """Lay messages out as lines of at most so many columns, the oldest first, leaving out what matters least.

    `now` is for what goes on yet, in seconds since the epoch; None where nothing does.
    """
    present = {kind for one in handled if one.answered for kind, size in one.answered.left.items() if size}
    kinds = [*(kind for kind in KINDS if kind in present), *sorted(present - set(KINDS))]
    columns = ["time", "asked", "round", "came B", "tensors", "sha256", "steps", "tokens", "loss", "seconds"]
    columns += [*(f"{kind} B" for kind in kinds), ""]
    rows = [_cells(one, kinds, now) for one in handled]
    widths = {name: max([len(name), *(len(row[name]) for row in rows)]) for name in columns}
    for name in LESS:
        if sum(widths[one] + 2 for one in columns[:-1]) + min(widths[""], 24) <= width:
            break
        columns.remove(name)
    left = {"time", "asked", "sha256", ""}
    return [
        "  ".join(row[name].ljust(widths[name]) if name in left else row[name].rjust(widths[name]) for name in columns)
        .rstrip()[:width]
        .rstrip()
        for row in ({name: name for name in columns}, *rows)
    ]


def _cells(one: Handled, kinds: Iterable[str], now: float | None) -> dict[str, str]:
    received, trained, answered = one.received, one.trained, one.answered
    cells = {
        "time": numbers.clock(one.came),
        "asked": received.kind,
        "round": str(received.round) if received.round else "",
        "came B": numbers.count(received.bytes),
        "tensors": str(received.tensors),
        "sha256": received.sha256[:8],
        "steps": numbers.count(trained.steps) if trained else "",
        "tokens": numbers.count(trained.tokens) if trained else "",
        "loss": numbers.loss(trained.loss) if trained else "",
        "seconds": numbers.seconds(answered.seconds) if answered else "",
        "": _became(one, now),
    }
    for kind in kinds:
        size = answered.left.get(kind, 0) if answered else 0
        cells[f"{kind} B"] = numbers.count(size) if size else ""
    return cells


def _became(one: Handled, now: float | None) -> str:
    """Say what became of a message where its numbers do not."""
    if one.refused:
        return f"refused: {one.refused}"
    if one.answered is not None:
        return f"error: {one.answered.error}" if one.answered.error else ""
    if now is None:
        return "never answered"
    doing = {"train": "training", "evaluate": "measuring"}.get(one.received.kind, "answering")
    step = f", step {one.progress.step}/{one.progress.steps}" if one.progress else ""
    return f"{doing} for {numbers.duration(now - one.came)}{step}"


def day(t: float) -> str:
    """Give the day of a time, as a ledger's lines are parted by it."""
    return time.strftime("%Y-%m-%d", time.localtime(t))
