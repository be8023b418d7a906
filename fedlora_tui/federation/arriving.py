"""Replies as they arrive over Flower's HTTP grid: of one that is announced nobody waits for what is not there yet.

A node announces its reply before it sends the objects that it holds. Flower's own pull waits for them, for three
minutes where their node is gone by then, and hears of nothing else. Here each look fetches what has come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from flwr.app import Error, Message, Metadata
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.serverapp import Grid
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
    pull_objects,
)
from flwr.superlink.grid.http_grid import HttpGrid

HOLDS_FOR_FLOWER = "1.41"
"""`HttpGrid.pull_messages`, whose place this takes, was read in this release; what is imported above is of it."""

INCOMPLETE = "its objects never came"


@dataclass
class _Announced:
    """A reply that a node has begun to send: its number, those of its objects, what is here of them."""

    number: str
    objects: Sequence[str]
    contents: dict[str, bytes] = field(default_factory=dict)


class Arriving:
    """The replies to what was sent over a grid; a SuperLink tells of each once, so they are remembered here.

    In Flower's simulation a reply is there as a whole, and its own pull gives it.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid: Any = grid
        self._in_parts = isinstance(grid, HttpGrid)
        self._announced: dict[str, _Announced] = {}

    def pull(self, numbers: Sequence[str]) -> list[Message]:
        """Give the replies to messages with these numbers that are here as a whole, an error for what never will be."""
        if not self._in_parts:
            return list(self._grid.pull_messages(numbers))
        self._hear([number for number in numbers if number not in self._announced])
        found = []
        for number in numbers:
            own = self._announced.get(number)
            if own is not None and (reply := self._whole(number, own)) is not None:
                del self._announced[number]
                found.append(reply)
        return found

    def announced(self, number: str) -> bool:
        """Tell whether the reply to a message has begun to come, and is not here yet."""
        return number in self._announced

    def forget(self, number: str) -> None:
        """Wait no more for the rest of the reply to a message."""
        self._announced.pop(number, None)

    def _hear(self, numbers: Sequence[str]) -> None:
        """Ask which replies are announced."""
        if not numbers:
            return
        try:
            told = self._grid._runtime_client.PullMessages(PullAppMessagesRequest(message_ids=numbers))
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
                return  # as Flower has it: the next look asks again
            raise
        for message, tree in zip(told.messages_list, told.message_object_trees, strict=True):
            own = _Announced(message.metadata.message_id, _objects(tree))
            self._announced[message.metadata.reply_to_message_id] = own

    def _whole(self, number: str, own: _Announced) -> Message | None:
        """Fetch what is there of a reply; give it where that is all, None where more may come."""
        run = self._grid.run.run_id
        waits = list[str]()
        fetch = make_pull_object_fn_protobuf(self._grid._runtime_client.PullObject, self._grid.node, run)
        kept = _kept(fetch, own.contents, waits)
        try:
            # Nodes send them in this order: of a reply that is long on its way nothing is held before the last is here.
            kept(own.objects[-1])
            pull_objects([one for one in own.objects if one not in own.contents], kept, max_tries_per_object=1)
        except (ObjectPullError, ObjectUnavailableError):
            return None if waits else _never(self._grid.node.node_id, run, number)
        confirmed = ConfirmMessageReceivedRequest(node=self._grid.node, run_id=run, message_object_id=own.number)
        self._grid._runtime_client.ConfirmMessageReceived(confirmed)
        reply = inflate_object_from_contents(own.number, own.contents)
        assert isinstance(reply, Message)
        reply.metadata.__dict__["_message_id"] = own.number
        return reply


def _objects(tree: ObjectTree) -> list[str]:
    return [one.object_id for one in iterate_object_tree(tree)]


def _kept(fetch: Callable[[str], bytes], contents: dict[str, bytes], waits: list[str]) -> Callable[[str], bytes]:
    """Give a way to fetch objects that keeps what came, and notes what is not there yet."""

    def fetched(number: str) -> bytes:
        if number in contents:
            return contents[number]
        try:
            contents[number] = fetch(number)
        except ObjectUnavailableError:
            waits.append(number)
            raise
        return contents[number]

    return fetched


def _never(node: int, run: int, number: str) -> Message:
    """Give the error that stands for a reply of which the SuperLink has let go, as Flower words it for itself."""
    metadata = Metadata(
        run_id=run,
        message_id="",
        src_node_id=node,
        dst_node_id=node,
        message_type=SYSTEM_MESSAGE_TYPE,
        group_id="",
        ttl=0,
        reply_to_message_id=number,
        created_at=now().timestamp(),
    )
    return make_message(metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE, INCOMPLETE))
