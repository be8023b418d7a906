"""Replies of which a part is here: fetched as it comes, waited for by nobody, given up where their node is gone."""

from __future__ import annotations

import importlib.metadata
import inspect

import numpy as np
import pytest

from fedlora_tui.federation import arriving, deployed_grid, signs_of_life
from fedlora_tui.federation.arriving import Arriving
from fedlora_tui.federation.deployed_grid import DeployedGrid

from flwr.app import Array, ArrayRecord, Message, MessageType, RecordDict  # isort: skip
from flwr.app.message import remove_content_from_message  # isort: skip
from flwr.common.constant import ErrorCode  # isort: skip
from flwr.common.serde import message_to_proto  # isort: skip
from flwr.proto.message_pb2 import PullObjectResponse  # isort: skip
from flwr.proto.node_pb2 import NodeInfo  # isort: skip
from flwr.proto.runtime_pb2 import GetNodesResponse, PullAppMessagesResponse, PushAppMessagesResponse  # isort: skip
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, iterate_object_tree  # isort: skip
from flwr.supercore.run import Run  # isort: skip
from flwr.supercore.task_identity import TaskIdentity  # isort: skip
from flwr.superlink.grid.http_grid import HttpGrid  # isort: skip


class SuperLink:
    """What a SuperLink says to a run: it tells of each reply once, and has those of its objects that have come."""

    def __init__(self):
        self.replies, self.objects, self.known = {}, {}, set()
        self.nodes, self.asked, self.confirmed, self.fetched = [2, 3], [], [], []

    def announce(self, number, reply):
        """A node says that its reply to a message comes; nothing of it is here yet."""
        reply.metadata.__dict__["_message_id"] = reply.object_id
        told = message_to_proto(remove_content_from_message(reply))
        told.metadata.reply_to_message_id = number
        self.replies[number] = told, get_object_tree(reply)
        contents = {number: one.deflate() for number, one in get_all_nested_objects(reply).items()}
        self.known |= contents.keys()
        return contents

    def pull(self, request):
        self.asked.append(sorted(request.message_ids))
        told = [self.replies.pop(number) for number in request.message_ids if number in self.replies]
        return PullAppMessagesResponse(
            messages_list=[message for message, _ in told], message_object_trees=[tree for _, tree in told]
        )

    def object(self, request):
        content = self.objects.get(request.object_id)
        self.fetched += [] if content is None else [request.object_id]
        return PullObjectResponse(
            object_found=request.object_id in self.known,
            object_available=content is not None,
            object_content=content or b"",
        )

    def push(self, request):
        return PushAppMessagesResponse(message_ids=[str(one.metadata.dst_node_id) for one in request.messages_list])

    def here(self, request):
        return GetNodesResponse(nodes=[NodeInfo(node_id=node, last_activated_at="morning") for node in self.nodes])

    def confirm(self, request):
        self.confirmed.append(request.message_object_id)

    PullMessages, PullObject, GetNodes, ConfirmMessageReceived = pull, object, here, confirm
    PushMessages, PushObject = push, None


@pytest.fixture
def superlink():
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 9, 1
    return SuperLink()


@pytest.fixture
def grid(superlink):
    """Flower's own grid on that SuperLink."""
    found = HttpGrid(token="a token")
    found._client = superlink
    found.set_run(Run(**{**dict.fromkeys(inspect.signature(Run).parameters), "run_id": 9}))
    return found


def asked(node):
    message = Message(RecordDict(), node, MessageType.TRAIN, group_id="1")
    message.metadata.__dict__["_message_id"] = str(node)
    return message


def answer(node, number=1.0):
    content = RecordDict({"adapter": ArrayRecord({"a": Array(np.full(3, number)), "b": Array(np.zeros(2))})})
    return Message(content, reply_to=asked(node))


def test_what_takes_the_place_of_flowers_pull_was_read_in_this_flower():
    """A new Flower: read `HttpGrid.pull_messages`, check arriving.py against it, raise the number."""
    assert importlib.metadata.version("flwr").rpartition(".")[0] == arriving.HOLDS_FOR_FLOWER
    flowers = inspect.getsource(HttpGrid.pull_messages)
    order = ["PullMessages(", "pull_objects(", "ObjectPullError", "ConfirmMessageReceived(", "inflate_object_from"]
    assert sorted(order, key=flowers.index) == order


def test_a_reply_is_given_once_all_of_it_is_here(superlink, grid):
    replies = Arriving(grid)
    assert replies.pull(["2", "3"]) == []
    contents = superlink.announce("2", answer(2))
    first, *others, last = _in_order(superlink, "2")
    superlink.objects.update((number, contents[number]) for number in others)
    assert replies.pull(["2", "3"]) == []
    assert (replies.announced("2"), replies.announced("3")) == (True, False)
    assert superlink.fetched == [], "of what is long on its way nothing is held"
    superlink.objects[last] = contents[last]
    assert replies.pull(["2", "3"]) == []
    superlink.objects[first] = contents[first]
    [reply] = replies.pull(["2", "3"])
    assert reply.metadata.reply_to_message_id == "2"
    assert reply.content["adapter"]["a"].numpy().tolist() == [1.0, 1.0, 1.0]
    assert superlink.confirmed == [reply.metadata.message_id]
    assert not replies.announced("2")
    assert superlink.asked == [["2", "3"], ["2", "3"], ["3"], ["3"]], "what is announced is told once"
    assert set(superlink.fetched) == set(contents)
    assert superlink.fetched.count(last) == 1


def _in_order(superlink, number):
    """The objects of a reply in the order in which its node sends them."""
    return [one.object_id for one in iterate_object_tree(superlink.replies[number][1])]


def test_a_reply_whose_objects_the_superlink_lets_go_is_an_error_and_holds_up_no_other(superlink, grid):
    replies = Arriving(grid)
    superlink.announce("2", answer(2))
    superlink.objects.update(superlink.announce("3", answer(3, 2.0)))
    [reply] = replies.pull(["2", "3"])
    assert reply.metadata.reply_to_message_id == "3"
    superlink.known.clear()
    [lost] = replies.pull(["2"])
    assert (lost.metadata.reply_to_message_id, lost.error.code) == ("2", ErrorCode.MESSAGE_UNAVAILABLE)
    assert not replies.announced("2")


class Waits:
    def __init__(self):
        self.came_from = []

    def came(self, kind, round, organization, answered):
        self.came_from.append((organization, answered))

    def goes_on(self, kind):
        return True

    def told(self, *given):
        """Nothing to do."""

    about_to_send = sent = silent = told


@pytest.mark.parametrize("streaming", [True, False])
def test_a_node_that_goes_amid_its_reply_is_waited_for_no_more(superlink, grid, monkeypatch, streaming):
    monkeypatch.setattr(signs_of_life, "LOOK_SECONDS", 0.0)
    waits, rests = Waits(), []
    deployed = DeployedGrid(grid, sleep=rests.append)
    deployed.watched_by(waits)
    deployed.named({"mill": 2, "port": 3})
    superlink.objects.update(superlink.announce("3", answer(3)))
    contents = superlink.announce("2", answer(2))
    first = next(iter(contents))
    superlink.objects[first] = contents[first]

    def rest(seconds):
        rests.append(seconds)
        assert len(rests) < 20, "it is waited for"
        if len(rests) == 3:
            superlink.nodes.remove(2)

    deployed._sleep = rest
    messages = [asked(2), asked(3)]
    replies = list(deployed.as_they_come(messages) if streaming else deployed.send_and_receive(messages))
    assert {reply.metadata.src_node_id: reply.has_error() for reply in replies} == {2: True, 3: False}
    assert waits.came_from == [("port", True), ("mill", False)]
    assert len(rests) >= 3, "as long as its node is here, it is"
    assert [error.error.reason for error in replies if error.has_error()] == [deployed_grid.GONE]
