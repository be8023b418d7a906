"""Flower's own Grid, as a deployed ServerApp is given it, with what a run needs beside: names, a pace, a patience.

Flower's `send_and_receive` looks for replies every 3 s and knows no operator; here a look is taken more often, and
between two looks whoever watches may end the wait. What Flower answers by itself is read as a refusal.

A node works through its messages one after the other. One that was not waited for to the end is sent no other training
before it has answered: it would train for rounds that are over, more of them each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from flwr.app import Error, Message, MessageType, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedlora_tui.federation.arriving import Arriving
from fedlora_tui.federation.introduction import INTRODUCE, question
from fedlora_tui.federation.messages import BUSY, GONE, STRANGER
from fedlora_tui.federation.parcels import packed, unpacked
from fedlora_tui.federation.signs_of_life import SignsOfLife

LOOK_SECONDS = 0.1
"""How long a wait for replies rests between two looks at all of them."""

MOST_AT_ONCE, LEAST_SHARE = 16, 0.2
"""Replies that one look brings where they are added up as they come; the rest after it is this share at least."""

NOBODY = 0
"""The node of an organization that is not here: no node has this number."""


LOST_AFTER = 20
"""Rounds that a node's answer is missing for until what it was asked counts as lost on its way."""

TRAIN, EVALUATE = MessageType.TRAIN, MessageType.EVALUATE
"""The kinds of messages that organizations take long to answer."""


class Waiting(Protocol):
    """Who watches a wait for replies of one kind."""

    def about_to_send(self) -> None:
        """Messages are about to be sent; may wait, and may raise to end the work."""

    def sent(self, kind: str, round: int, organizations: Sequence[str]) -> None:
        """Messages are on their way to these organizations."""

    def goes_on(self, kind: str) -> bool:
        """Tell whether the wait goes on; may wait itself, and may raise to end the work."""

    def silent(self, kind: str, round: int, organizations: Mapping[str, float]) -> None:
        """Of those who are waited for, these gave no sign of life for a while, and are out at that time (epoch)."""

    def came(self, kind: str, round: int, organization: str, answered: bool) -> None:
        """An organization's reply is here; `answered` is False where it is an error."""


@dataclass(frozen=True)
class _Owed:
    """A message that a node has not answered in time: its number, the node's connection, the rounds since then."""

    number: str
    since: str
    rounds: int = 0


class DeployedGrid(Grid):
    """Organizations on machines of their own, each behind its SuperNode."""

    def __init__(self, grid: Grid, sleep: Callable[[float], None] = time.sleep) -> None:
        self._grid, self._sleep = grid, sleep
        self._arriving = Arriving(grid)
        self._waiting: Waiting
        self._nodes: dict[str, int] = {}
        self._keys: dict[int, bytes] = {}
        self._since: Mapping[int, str] = {}
        self._owed: dict[int, _Owed] = {}

    def watched_by(self, waiting: Waiting) -> None:
        """Know who watches the waits for replies."""
        self._waiting = waiting

    def here(self) -> dict[int, str]:
        """Give the nodes that are connected now, each with what changes when it connects anew."""
        try:
            nodes = list(self._grid.get_nodes())
        except NotImplementedError:
            self._since = dict.fromkeys(self._grid.get_node_ids(), "")
        else:
            self._keys = {node.node_id: node.public_key for node in nodes}
            self._since = {node.node_id: node.last_activated_at for node in nodes}
        # A node that connects anew has forgotten what it was asked.
        self._forgive([node for node, owed in self._owed.items() if self._since.get(node) != owed.since])
        return dict(self._since)

    def key_of(self, node: int) -> bytes:
        """Give the public key (PEM) of a node that was here when that was last asked; empty where none is known."""
        return self._keys.get(node, b"")

    def ask_who(self, node: int) -> str:
        """Ask a node who it is, without waiting; give the number of the message, empty where it is not on its way."""
        numbers = list(self._grid.push_messages([Message(question(), node, INTRODUCE, group_id="0")]))
        return numbers[0] if numbers else ""

    def answers(self, numbers: Iterable[str]) -> dict[str, Message]:
        """Give the replies that are here of those to messages with these numbers."""
        wanted = list(numbers)
        found = self.pull_messages(wanted) if wanted else ()
        return {reply.metadata.reply_to_message_id: reply for reply in found}

    def named(self, nodes: Mapping[str, int]) -> None:
        """Know which node each organization is that is here now."""
        self._nodes = dict(nodes)

    def join(self, organization: str) -> int:
        """Give the node that an organization is, `NOBODY` where it is not here."""
        return self._nodes.get(organization, NOBODY)

    def leave(self, node: int) -> None:
        """Let a node go: no run of Flower's needs to know."""

    def state(self, node: int) -> RecordDict:
        """Refuse: what an organization keeps for itself is with it."""
        raise LookupError("what an organization keeps is on its own machine")

    def set_run(self, run: Run) -> None:
        """Take over Flower's description of the run."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """Flower's description of the run."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Make a message to a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Give the nodes that are connected now."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, and give their numbers."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Give the replies that are here."""
        return self._arriving.pull(list(message_ids))

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send, and wait for the replies as long as whoever watches wants; what does not come in time is left out."""
        return list(self._replies(messages, timeout, 0))

    @property
    def keeps_none(self) -> bool:
        """True: what Flower has received is pulled a few replies at a time."""
        return True

    def as_they_come(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Send, and give the replies as they come, with no more of them in memory than one look brings."""
        return self._replies(messages, None, MOST_AT_ONCE)

    def _replies(self, messages: Iterable[Message], timeout: float | None, most: int) -> Iterator[Message]:
        """Send and wait; a look asks for `most` replies, those asked for longest ago first (0: for all)."""
        self._waiting.about_to_send()
        signs = SignsOfLife(self._grid.get_nodes)
        free, held, busy = self._apart(list(messages))
        waited, errors = self._send(free)
        yield from (*busy, *errors)
        if not waited and not held:
            return
        names = {node: name for name, node in self._nodes.items()}
        kind, round = _kind_and_round([*waited.values(), *held][0])
        self._waiting.sent(kind, round, sorted(_name(message, names) for message in waited.values()))
        until = None if timeout is None else time.monotonic() + timeout
        try:
            while (waited or held) and self._waiting.goes_on(kind) and (until is None or time.monotonic() < until):
                sent, errors = self._freed(held)
                yield from errors
                if sent:
                    signs.begin({message.metadata.dst_node_id for message in sent.values()})
                    waited |= sent
                    self._waiting.sent(kind, round, sorted(_name(message, names) for message in sent.values()))
                asked = list(islice(waited, most or None))
                found = self.answers(asked)
                rest = 0.0 if found else LOOK_SECONDS * max(LEAST_SHARE, len(asked) / (len(waited) or 1))
                for number in asked:
                    message = waited.pop(number)
                    if number not in found:
                        waited[number] = message  # behind those that were not asked for
                        continue
                    reply = found.pop(number)
                    self._waiting.came(kind, round, _name(message, names), not reply.has_error())
                    yield _read(message, reply)
                    del reply
                for number in self._lost(signs, waited, held, kind, round):
                    message = waited.pop(number)
                    self._arriving.forget(number)
                    self._waiting.came(kind, round, _name(message, names), False)
                    yield _error(message, ErrorCode.NODE_UNAVAILABLE, GONE)
                if rest:
                    self._sleep(rest)
        finally:
            self._not_answered(waited, held)

    def _apart(self, messages: Sequence[Message]) -> tuple[list[Message], list[Message], list[Message]]:
        """Give what can be sent at once, trainings for nodes that owe an answer, and errors of those for the rest."""
        owing = [message for message in messages if self._owes(message)]
        free = [message for message in messages if message not in owing or _kind(message) not in (TRAIN, EVALUATE)]
        held = [message for message in owing if _kind(message) == TRAIN]
        return free, held, [_error(m, ErrorCode.UNKNOWN, BUSY) for m in owing if _kind(m) == EVALUATE]

    def _freed(self, held: list[Message]) -> tuple[dict[str, Message], list[Message]]:
        """Send those that were held back whose nodes have answered by now, as `_send` does."""
        now = [message for message in held if not self._owes(message)]
        held[:] = [message for message in held if message not in now]
        return self._send(now)

    def _owes(self, message: Message) -> bool:
        """Tell whether a message's node still owes an answer; one that is here by now is of a round that is over."""
        node = message.metadata.dst_node_id
        owed = self._owed.get(node)
        if owed is not None and (owed.rounds >= LOST_AFTER or self.answers([owed.number])):
            self._forgive([node])
        return node in self._owed

    def _forgive(self, nodes: Iterable[int]) -> None:
        """Know that these nodes owe no answer any more."""
        for node in nodes:
            if (owed := self._owed.pop(node, None)) is not None:
                self._arriving.forget(owed.number)

    def _not_answered(self, waited: Mapping[str, Message], held: Sequence[Message]) -> None:
        """Remember who owes an answer when a wait ends."""
        for message in held:
            node = message.metadata.dst_node_id
            if (owed := self._owed.get(node)) is not None:
                self._owed[node] = replace(owed, rounds=owed.rounds + 1)
        for number, message in waited.items():
            node = message.metadata.dst_node_id
            if _kind(message) in (TRAIN, EVALUATE):
                self._owed[node] = _Owed(number, self._since.get(node, ""))
            else:
                self._arriving.forget(number)

    def _lost(
        self, signs: SignsOfLife, waited: Mapping[str, Message], held: Sequence[Message], kind: str, round: int
    ) -> list[str]:
        """Give the messages that nobody answers any more, for their nodes began anew or are gone amid the reply.

        Those who are silent are told of. Where nothing of a reply has come yet, Flower answers for who is gone.
        """
        asked = {message.metadata.dst_node_id for message in (*waited.values(), *held)}
        seen = signs.look({*asked, *self._owed})
        if seen is None:
            return []
        # A node that connects anew has forgotten what it was asked.
        self._forgive(seen.anew)
        names = {node: name for name, node in self._nodes.items() if node in asked}
        self._waiting.silent(kind, round, {names[node]: until for node, until in seen.silent.items() if node in names})
        amid = {number for number in waited if self._arriving.announced(number)}
        nodes = {number: message.metadata.dst_node_id for number, message in waited.items()}
        return [number for number, node in nodes.items() if node in seen.anew or (number in amid and node in seen.gone)]

    def _send(self, messages: Sequence[Message]) -> tuple[dict[str, Message], list[Message]]:
        """Send messages; give those that are on their way by their numbers, and errors in place of the others."""
        on_their_way = [message for message in messages if message.metadata.dst_node_id != NOBODY]
        numbers = list(self._grid.push_messages(_in_parcels(on_their_way))) if on_their_way else []
        # Flower gives no number at all where its SuperLink found the request too large.
        waited = {number: message for number, message in zip(numbers, on_their_way, strict=False) if number}
        lost = [message for message in messages if message not in waited.values()]
        return waited, [_error(message, ErrorCode.NODE_UNAVAILABLE, GONE) for message in lost]


def _kind(message: Message) -> str:
    return str(message.metadata.message_type)


def _kind_and_round(message: Message) -> tuple[str, int]:
    return _kind(message), int(message.metadata.group_id)


def _name(message: Message, names: Mapping[int, str]) -> str:
    return names.get(message.metadata.dst_node_id, "")


def _read(message: Message, reply: Message) -> Message:
    """Give a reply as one of the node that was asked: Flower's own errors come from the SuperLink."""
    if reply.has_error():
        return _error(message, reply.error.code, reply.error.reason or "")
    if reply.metadata.src_node_id != message.metadata.dst_node_id:
        return _error(message, ErrorCode.UNKNOWN, STRANGER)
    reply.content = unpacked(reply.content)
    return reply


def _in_parcels(messages: Sequence[Message]) -> list[Message]:
    """Give messages as they travel; those that came stay what they are, to be weighed."""
    return [
        Message(
            packed(message.content),
            message.metadata.dst_node_id,
            message.metadata.message_type,
            ttl=message.metadata.ttl,
            group_id=message.metadata.group_id,
        )
        for message in messages
    ]


def _error(message: Message, code: int, reason: str) -> Message:
    return Message(Error(code, reason), reply_to=message)
