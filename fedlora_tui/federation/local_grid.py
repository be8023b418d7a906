"""Flower's Grid, in process: nodes join and leave, messages are answered at once by a ClientApp, in any thread.

Flower's strategies and our own round loop both run on it. Where there are passes, the messages of one
`send_and_receive` go through them together instead of one by one through the app.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from uuid import uuid4

from flwr.app import Context, Error, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedlora_tui.federation.client_app import ORGANIZATION, ClientSide, evaluate_together, train_together
from fedlora_tui.federation.messages import GONE
from fedlora_tui.federation.passes import Answering, Call, Lane
from fedlora_tui.lora.base_model import BaseModel

HOLDS_FOR_FLOWER = "1.41"
"""The two private touches below (`_identify`, `_numbered`) were checked against this release."""

SERVER_NODE = 1
RUN_ID = 1


class LocalGrid(Grid):
    """Organizations of one process as the nodes of a Flower federation."""

    def __init__(self, app: ClientApp, passes: Answering | None = None, run_id: int = RUN_ID, at_once: int = 0) -> None:
        """Answer by `passes`, or one by one by `app` where there are none.

        `at_once` organizations are in the passes at the same time; 0: all that are asked have to go in together.
        """
        self.app = app
        self._alone = OneByOne(app)
        self.passes = passes or self._alone
        self.run_id = run_id
        self._at_once = at_once
        self._contexts: dict[int, Context] = {}
        self._next_node = SERVER_NODE + 1
        self._replies: dict[str, Message] = {}
        self._run = Run.create_empty(run_id)
        _identify()

    def join(self, organization: str) -> int:
        """Make an organization a node and give its node id."""
        node = self._next_node
        self._next_node += 1
        config: dict[str, str | int | float | bool] = {ORGANIZATION: organization}
        self._contexts[node] = Context(self.run_id, node, config, RecordDict(), {})
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
        """Answer every message; the replies that come stand in the messages' order. In process nothing can time out."""
        sent = [_numbered(message) for message in messages]
        gone = [message for message in sent if message.metadata.dst_node_id not in self._contexts]
        replies = {message.metadata.message_id: _numbered(_gone(message)) for message in gone}
        reached = [message for message in sent if message.metadata.message_id not in replies]
        for kind in dict.fromkeys(message.metadata.message_type for message in sent):
            own = [message for message in reached if message.metadata.message_type == kind]
            # Queries need no base: they wait for no pass, nor for other runs of a race.
            answering = self._alone if kind == MessageType.QUERY else self.passes
            for reply in answering.answer(kind, [(m, self._contexts[m.metadata.dst_node_id]) for m in own]):
                replies[reply.metadata.reply_to_message_id] = _numbered(reply)
        return [replies[m.metadata.message_id] for m in sent if m.metadata.message_id in replies]

    @property
    def keeps_none(self) -> bool:
        """True where not all replies of a round come together."""
        return self._at_once > 0

    def as_they_come(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Answer messages, no more at a time than go through the base together; no reply is kept beyond its pass."""
        sent = list(messages)
        share = self._at_once or len(sent) or 1
        for at in range(0, len(sent), share):
            replies = deque(self.send_and_receive(sent[at : at + share]))
            while replies:
                yield replies.popleft()


class OneByOne:
    """Answers every message by itself, through Flower's own app."""

    def __init__(self, app: ClientApp) -> None:
        self._app = app

    def answer(self, kind: str, calls: Sequence[Call]) -> list[Message]:
        """Answer every call; one that breaks the app is answered by an error."""
        return [self._answer(message, context) for message, context in calls]

    def _answer(self, message: Message, context: Context) -> Message:
        try:
            return self._app(message, context)
        except Exception as error:
            logging.getLogger(__name__).exception("client of node %s", message.metadata.dst_node_id)
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, type(error).__name__), reply_to=message)


def lanes_over(bases: Sequence[BaseModel], side_of: Callable[[Context], ClientSide]) -> list[Lane]:
    """Make a lane of each copy of the base, for organizations of the sides that `side_of` gives."""
    return [
        {
            MessageType.TRAIN: partial(train_together, base, side_of),
            MessageType.EVALUATE: partial(evaluate_together, base, side_of),
        }
        for base in bases
    ]


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
