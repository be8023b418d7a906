"""A node's ledger as it stands: a fold of its journal. Pure; what the face shows comes from here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fedlora_tui.node.events import (
    BROKEN_OFF,
    LinkChanged,
    MessageAnswered,
    MessageReceived,
    MessageRefused,
    NodeEnded,
    NodeEvent,
    NodeRecord,
    NodeStarted,
    NotSetUp,
    Trained,
    TrainingGoesOn,
)

KEPT = 200
"""As many messages are kept one by one where a ledger is shown as it grows; sums are of all."""


@dataclass(frozen=True)
class Handled:
    """One message and what became of it: `came` since when, None for what has not happened (yet).

    `refused` is the policy's reason, `unfit` why the node is not set up for it; `broken_off`: nobody works on it any
    more, though it may not be answered.
    """

    received: MessageReceived
    came: float
    progress: TrainingGoesOn | None = None
    trained: Trained | None = None
    refused: str = ""
    unfit: str = ""
    answered: MessageAnswered | None = None
    broken_off: bool = False


@dataclass(frozen=True)
class Sums:
    """All that ever came and left: messages, bytes by way, bytes by kind, rounds trained, refusals."""

    messages: int = 0
    received: int = 0
    trained: int = 0
    steps: int = 0
    tokens: int = 0
    answered: int = 0
    refused: int = 0
    left: Mapping[str, int] = field(default_factory=dict)

    @property
    def sent(self) -> int:
        """Bytes that left, of all kinds."""
        return sum(self.left.values())


@dataclass(frozen=True)
class NodeLedger:
    """The node as its journal tells it: who it is, how its link stands, what it handled.

    The last `kept` messages are in `handled`, all of them where that is None; `rounds` are those trained, by run.
    """

    node: NodeStarted | None = None
    started: float | None = None
    link: str = "connecting"
    link_note: str = ""
    link_since: float | None = None
    ended: str = ""
    handled: tuple[Handled, ...] = ()
    sums: Sums = Sums()
    rounds: Mapping[str, int] = field(default_factory=dict)
    kept: int | None = KEPT


def apply(ledger: NodeLedger, record: NodeRecord) -> NodeLedger:
    """Give the ledger after one more record."""
    event, t = record.event, record.t
    match event:
        case NodeStarted():
            known = replace(ledger, node=event, started=t, ended="", handled=_broken_off(ledger.handled))
            return replace(known, link="connecting", link_note="", link_since=t)
        case NodeEnded():
            known = replace(ledger, ended=event.reason, handled=_broken_off(ledger.handled))
            return replace(known, link="down", link_note="", link_since=t)
        case LinkChanged():
            since = t if event.state != ledger.link else ledger.link_since
            return replace(ledger, link=event.state, link_note=event.note, link_since=since)
        case MessageReceived():
            sums = replace(ledger.sums, messages=ledger.sums.messages + 1, received=ledger.sums.received + event.bytes)
            before = _broken_off(ledger.handled if ledger.kept is None else ledger.handled[1 - ledger.kept :])
            return replace(ledger, handled=(*before, Handled(event, t)), sums=sums)
    return _worked_on(ledger, event)


def _broken_off(handled: tuple[Handled, ...]) -> tuple[Handled, ...]:
    """Give the messages when none that came before is worked on any more.

    A node's app answers one after the other, so of those that are not answered only the last may go on.
    """
    if not handled or handled[-1].answered is not None:
        return handled
    return (*handled[:-1], replace(handled[-1], broken_off=True))


def _worked_on(ledger: NodeLedger, event: NodeEvent) -> NodeLedger:
    """Give the ledger after what was done for a message that came before."""
    sums = ledger.sums
    match event:
        case TrainingGoesOn():
            return _last(ledger, event.run, event.round, progress=event)
        case Trained():
            sums = replace(
                sums, trained=sums.trained + 1, steps=sums.steps + event.steps, tokens=sums.tokens + event.tokens
            )
            rounds = {**ledger.rounds, event.run: ledger.rounds.get(event.run, 0) + 1}
            return _last(replace(ledger, sums=sums, rounds=rounds), event.run, event.round, trained=event)
        case MessageRefused():
            sums = replace(sums, refused=sums.refused + 1)
            return _last(replace(ledger, sums=sums), event.run, event.round, event.kind, refused=event.reason)
        case NotSetUp():
            return _last(ledger, event.run, event.round, event.kind, unfit=event.reason)
        case MessageAnswered():
            left = {kind: sums.left.get(kind, 0) + event.left.get(kind, 0) for kind in {**sums.left, **event.left}}
            off = event.error == BROKEN_OFF
            sums = replace(sums, answered=sums.answered + (not off), left=left)
            own = replace(ledger, sums=sums)
            return _last(own, event.run, event.round, event.kind, answered=event, broken_off=off)
    return ledger


def _last(ledger: NodeLedger, run: str, round: int, kind: str = "train", **changes: object) -> NodeLedger:
    """Change what is known of the newest message of a run, a round and a kind that is not answered yet."""
    rows = list(ledger.handled)
    for place in range(len(rows) - 1, -1, -1):
        own = rows[place].received
        if (own.run, own.round, own.kind) == (run, round, kind) and rows[place].answered is None:
            rows[place] = replace(rows[place], **changes)  # type: ignore[arg-type]
            return replace(ledger, handled=tuple(rows))
    return ledger


def folded(records: Iterable[NodeRecord], ledger: NodeLedger | None = None) -> NodeLedger:
    """Fold records, oldest first."""
    found = ledger or NodeLedger()
    for record in records:
        found = apply(found, record)
    return found
