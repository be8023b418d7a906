"""Flower's Grid, in process: nodes join and leave, messages are answered at once by a ClientApp, in any thread.

Flower's strategies and our own round loop both run on it. Where cohort functions are given, the train (or evaluate)
messages of one `send_and_receive` go through them together instead of one by one through the app. Where their memory
runs out, fewer of them go together from then on, and those that failed go again. Where there are several lanes (one a
GPU, or several on processors), each takes an equal share of the messages, at the same time as the others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol
from uuid import uuid4

from flwr.app import Context, Error, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedlora_tui.federation.client_app import (
    ORGANIZATION,
    ClientSide,
    client_app,
    evaluate_messages,
    train_messages,
)
from fedlora_tui.federation.messages import GONE
from fedlora_tui.lora.base_model import BaseModel
from fedlora_tui.lora.lanes import in_lanes, parted
from fedlora_tui.lora.memory import OutOfMemory, give_back, ran_out

HOLDS_FOR_FLOWER = "1.41"
"""The two private touches below (`_identify`, `_numbered`) were checked against this release."""

SERVER_NODE = 1
RUN_ID = 1

CohortFunction = Callable[[Sequence[Message], Sequence[Context]], list[Message]]

Lane = Mapping[str, CohortFunction]
"""The cohort functions, by message type, of one copy of the base."""


class Watch(Protocol):
    """Who watches the grid at work."""

    def lanes_begin(self, count: int) -> None:
        """So many lanes begin to answer messages."""

    def lane_began(self, lane: int) -> None:
        """The calling thread is one of them, counted from 0, until it says that it is done."""

    def lane_ended(self) -> None:
        """One of them is done."""

    def shrunk(self, cohort: int) -> None:
        """Memory ran out: from now on so many organizations go together, and those that failed go again."""


class Unwatched:
    """Nobody watches."""

    def lanes_begin(self, count: int) -> None:
        """Do nothing."""

    def lane_began(self, lane: int) -> None:
        """Do nothing."""

    def lane_ended(self) -> None:
        """Do nothing."""

    def shrunk(self, cohort: int) -> None:
        """Do nothing."""


class LocalGrid(Grid):
    """Organizations of one process as the nodes of a Flower federation."""

    def __init__(
        self,
        app: ClientApp,
        lanes: Sequence[Lane] = ({},),
        cohort: int = 1,
        watch: Watch | None = None,
    ) -> None:
        """Answer by `app`, or by a lane's cohort function of a message's type, at most `cohort` messages a call.

        `watch` is told of lanes, and of the new number where memory ran out.
        """
        self.app = app
        self.watch: Watch = watch or Unwatched()
        self.lanes = tuple(lanes)
        self.cohort = cohort
        self._changing = threading.Lock()
        self._contexts: dict[int, Context] = {}
        self._next_node = SERVER_NODE + 1
        self._replies: dict[str, Message] = {}
        self._run = Run.create_empty(RUN_ID)
        _identify()

    def join(self, organization: str) -> int:
        """Make an organization a node and give its node id."""
        node = self._next_node
        self._next_node += 1
        config: dict[str, str | int | float | bool] = {ORGANIZATION: organization}
        self._contexts[node] = Context(RUN_ID, node, config, RecordDict(), {})
        return node

    def leave(self, node: int) -> None:
        """Take a node out; messages to it are answered by an error from now on."""
        self._contexts.pop(node, None)

    def state(self, node: int) -> RecordDict:
        """Give what an organization of this process keeps for itself; only the process that is its home may look."""
        return self._contexts[node].state

    def set_run(self, run: Run) -> None:
        """Take over Flower's description of the run."""
        self._run = run

    @property
    def run(self) -> Run:
        """Flower's description of the run."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Make a message to a node."""
        _identify()
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Give the nodes that are here now."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Answer messages and keep the replies until they are pulled."""
        sent = list(messages)
        replies = self.send_and_receive(sent)
        self._replies |= {reply.metadata.reply_to_message_id: reply for reply in replies}
        return [message.metadata.message_id for message in sent]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Give, once, the replies to messages that were pushed."""
        found = [self._replies.pop(message_id, None) for message_id in message_ids]
        return [reply for reply in found if reply is not None]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Answer every message; the replies stand in the messages' order. In process nothing can time out."""
        sent = [_numbered(message) for message in messages]
        replies: dict[str, Message] = {}
        for kind in dict.fromkeys(message.metadata.message_type for message in sent):
            reached = [m for m in sent if m.metadata.message_type == kind and m.metadata.dst_node_id in self._contexts]
            for reply in self._answer_all(kind, reached):
                replies[reply.metadata.reply_to_message_id] = _numbered(reply)
        return [replies.get(m.metadata.message_id) or _numbered(_gone(m)) for m in sent]

    def _answer_all(self, kind: str, messages: Sequence[Message]) -> list[Message]:
        """Answer messages of one type, an equal share in each lane."""
        shares = parted(messages, len(self.lanes))
        self.watch.lanes_begin(len(shares))

        def answer(numbered: tuple[int, Lane], own: Sequence[Message]) -> list[Message]:
            number, lane = numbered
            self.watch.lane_began(number)
            try:
                return self._answer_in_lane(lane, kind, own)
            finally:
                self.watch.lane_ended()

        return in_lanes(list(enumerate(self.lanes)), shares, answer)

    def _answer_in_lane(self, lane: Lane, kind: str, messages: Sequence[Message]) -> list[Message]:
        replies: list[Message] = []
        while len(replies) < len(messages):
            together = messages[len(replies) :][: self.cohort]
            replies += self._answer_in_memory(lane, kind, together) or ()
        return replies

    def _answer_in_memory(self, lane: Lane, kind: str, messages: Sequence[Message]) -> list[Message] | None:
        """Answer messages together; None where there is no memory for so many, and fewer are to be tried."""
        try:
            return self._answer(lane, kind, messages)
        except Exception as error:
            if not ran_out(error):
                raise
            if len(messages) == 1:
                raise OutOfMemory(
                    "memory ran out on one organization alone: lower federation.batch_size or model.max_length, "
                    "or set model.gradient_checkpointing = true"
                ) from error
        # Only outside the clause above is nothing of the pass that failed held by its traceback any more.
        give_back()
        with self._changing:
            # Another lane may have found out by itself.
            if len(messages) // 2 < self.cohort:
                self.cohort = len(messages) // 2
                self.watch.shrunk(self.cohort)
        return None

    def _answer(self, lane: Lane, kind: str, messages: Sequence[Message]) -> list[Message]:
        contexts = [self._contexts[message.metadata.dst_node_id] for message in messages]
        together = lane.get(kind)
        if together is not None:
            return together(messages, contexts)
        return [self._answer_one(message, context) for message, context in zip(messages, contexts, strict=True)]

    def _answer_one(self, message: Message, context: Context) -> Message:
        try:
            return self.app(message, context)
        except Exception as error:
            logging.getLogger(__name__).exception("client of node %s", message.metadata.dst_node_id)
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, type(error).__name__), reply_to=message)


def local_federation(side: ClientSide, cohort: int, replicas: Sequence[BaseModel] = ()) -> LocalGrid:
    """Make the grid of organizations that share this process, trained `cohort` at a time.

    `replicas` are the same base once more, for further lanes, which work at the same time.
    """
    lanes = [
        {MessageType.TRAIN: partial(train_messages, own), MessageType.EVALUATE: partial(evaluate_messages, own)}
        for own in (side, *(replace(side, base=replica) for replica in replicas))
    ]
    return LocalGrid(client_app(side), lanes, cohort, side.observer)


def _gone(message: Message) -> Message:
    return Message(Error(ErrorCode.NODE_UNAVAILABLE, GONE), reply_to=message)


def _identify() -> None:
    """Say who builds messages, as Flower's own processes do; without it a Message refuses to be built."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN_ID, SERVER_NODE


def _numbered(message: Message) -> Message:
    """Give a message the id that Flower's SuperLink would give it, so that a reply can name what it answers."""
    if not message.metadata.message_id:
        message.metadata.__dict__["_message_id"] = uuid4().hex
    return message
