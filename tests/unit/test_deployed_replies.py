"""Replies of a deployed federation as they come: none is held when the next is given, each once, errors as refusals."""

from __future__ import annotations

import time

import pytest

from fedlora_tui.federation import signs_of_life
from fedlora_tui.federation.deployed_grid import LOST_AFTER, MOST_AT_ONCE, NOBODY, DeployedGrid
from fedlora_tui.federation.messages import BUSY, GONE
from fedlora_tui.federation.server_app import GivesOneByOne

from flwr.app import Message, MessageType, RecordDict  # isort: skip
from flwr.proto.node_pb2 import NodeInfo  # isort: skip
from flwr.supercore.task_identity import TaskIdentity  # isort: skip


class Link:
    """Flower's Grid, in which each message is answered at some look, counted from 1."""

    def __init__(self, at):
        self.at, self.looks, self.asked = at, 0, []
        self.sent = {}
        self.nodes = list

    def get_nodes(self):
        return self.nodes()

    def push_messages(self, messages):
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(message.metadata.dst_node_id)
            self.sent[str(message.metadata.dst_node_id)] = message
        return list(self.sent)

    def pull_messages(self, numbers):
        self.looks += 1
        self.asked.append(len(numbers))
        ready = [number for number in numbers if self.at[int(number)] <= self.looks]
        return [Message(RecordDict(), reply_to=self.sent.pop(number)) for number in ready]


class Waits:
    def __init__(self):
        self.told, self.gone = [], []

    def about_to_send(self):
        """Nothing to do."""

    def sent(self, kind, round, organizations):
        """Nothing to do."""

    def goes_on(self, kind):
        return True

    def silent(self, kind, round, organizations):
        self.told.append(organizations)

    def came(self, kind, round, organization, answered):
        self.gone += [] if answered else [organization]


@pytest.fixture
def link():
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    return Link({node: 1 + (node * 7) % 11 for node in range(2, 42)})


def grid_over(link, rests):
    grid = DeployedGrid(link, sleep=rests.append)
    grid.watched_by(Waits())
    return grid


def messages(*nodes):
    return [Message(RecordDict(), node, MessageType.TRAIN, group_id="1") for node in nodes]


def test_every_reply_is_given_once_and_a_look_brings_a_few(link):
    rests = []
    grid = grid_over(link, rests)
    assert isinstance(grid, GivesOneByOne)
    assert grid.keeps_none
    given = [reply.metadata.reply_to_message_id for reply in grid.as_they_come(messages(*range(2, 42), NOBODY))]
    assert sorted(given[1:], key=int) == [str(node) for node in range(2, 42)]
    assert max(link.asked) == MOST_AT_ONCE


def test_what_the_superlink_takes_none_of_is_answered_for_nodes_that_are_gone(link, monkeypatch):
    grid = grid_over(link, [])
    monkeypatch.setattr(link, "push_messages", lambda messages: [])
    given = list(grid.as_they_come(messages(2, 3)))
    assert [reply.has_error() for reply in given] == [True, True]
    assert link.looks == 0
    assert grid.ask_who(2) == ""


def test_all_together_are_looked_at_all_at_once(link):
    rests = []
    replies = grid_over(link, rests).send_and_receive(messages(*range(2, 42), NOBODY))
    assert len(replies) == 41
    assert replies[0].has_error()
    assert link.asked[0] == 40
    assert len(rests) < link.looks


class Slow:
    """Flower's Grid with nodes that answer one message after the other, and those of `silent` not at all."""

    def __init__(self):
        self.silent, self.sent, self.open = set(), [], {}

    def push_messages(self, messages):
        for message in messages:
            number = str(len(self.sent))
            message.metadata.__dict__["_message_id"] = number
            self.sent.append((message.metadata.dst_node_id, message.metadata.message_type, message.metadata.group_id))
            self.open[number] = message
            yield number

    def pull_messages(self, numbers):
        ready = [one for one in numbers if one in self.open and self.open[one].metadata.dst_node_id not in self.silent]
        return [Message(RecordDict(), reply_to=self.open.pop(number)) for number in ready]

    def get_nodes(self):
        return [NodeInfo(node_id=node, last_activated_at=self.since) for node in (2, 3)]

    since = "morning"


def asked(grid, kind, round, nodes=(2, 3)):
    grid.here()
    messages = [Message(RecordDict(), node, kind, group_id=str(round)) for node in nodes]
    replies = list(grid.send_and_receive(messages))
    return {reply.metadata.src_node_id: reply.error.reason if reply.has_error() else "" for reply in replies}


def test_who_still_works_for_a_round_that_is_over_is_asked_nothing_more_until_it_has_answered(link, monkeypatch):
    flower = Slow()
    grid = grid_over(flower, [])
    looks = iter([True] * 3 + [False] + [True] * 3 + [False] + [True] * 50)
    monkeypatch.setattr(Waits, "goes_on", lambda self, kind: next(looks))
    flower.silent = {3}
    assert asked(grid, MessageType.TRAIN, 1) == {2: ""}
    assert asked(grid, MessageType.EVALUATE, 1) == {2: "", 3: BUSY}
    assert asked(grid, MessageType.TRAIN, 2) == {2: ""}
    assert [round for node, _, round in flower.sent if node == 3] == ["1"]
    # What it answers at last is of round 1, and is read as nobody's: then it is asked for the round that is on.
    flower.silent = set()
    assert asked(grid, MessageType.TRAIN, 3) == {2: "", 3: ""}
    assert [(kind, round) for node, kind, round in flower.sent if node == 3] == [("train", "1"), ("train", "3")]


def test_who_connects_anew_or_says_nothing_for_long_is_asked_again(link, monkeypatch):
    flower = Slow()
    grid = grid_over(flower, [])
    monkeypatch.setattr(Waits, "goes_on", lambda self, kind: False)
    flower.silent = {3}
    asked(grid, MessageType.TRAIN, 1, (3,))
    asked(grid, MessageType.TRAIN, 2, (3,))
    assert len(flower.sent) == 1
    flower.since = "noon"
    asked(grid, MessageType.TRAIN, 3, (3,))
    assert len(flower.sent) == 2
    for round in range(4, 4 + LOST_AFTER):
        asked(grid, MessageType.TRAIN, round, (3,))
    assert len(flower.sent) == 2
    asked(grid, MessageType.TRAIN, 99, (3,))
    assert len(flower.sent) == 3


def test_who_began_anew_is_waited_for_no_more_and_who_is_silent_is_told_of(link, monkeypatch):
    monkeypatch.setattr(signs_of_life, "LOOK_SECONDS", 0.0)
    link.at = {2: 4, 3: 10**9, 4: 5}
    until = time.time() + 10

    def nodes():
        """Node 3 is killed and back at the third look; of node 4 a heartbeat is missing until then."""
        late = link.looks < 3
        return [
            NodeInfo(node_id=2, last_activated_at="1", online_until=until + 15, heartbeat_interval=15),
            NodeInfo(node_id=3, last_activated_at="1" if late else "2", online_until=until + 15, heartbeat_interval=15),
            NodeInfo(node_id=4, last_activated_at="1", online_until=until + (0 if late else 15), heartbeat_interval=15),
        ]

    link.nodes = nodes
    grid, waits = DeployedGrid(link, sleep=lambda seconds: None), Waits()
    grid.watched_by(waits)
    grid.named({"alpha": 2, "beta": 3, "gamma": 4})
    replies = grid.send_and_receive(messages(2, 3, 4))
    assert [(reply.metadata.src_node_id, reply.has_error()) for reply in replies] == [(3, True), (2, False), (4, False)]
    assert replies[0].error.reason == GONE
    assert waits.gone == ["beta"]
    assert waits.told[:3] == [{"gamma": until}, {"gamma": until}, {}]


def test_who_begins_anew_while_its_training_is_held_back_is_sent_it_and_waited_for(link, monkeypatch):
    monkeypatch.setattr(signs_of_life, "LOOK_SECONDS", 0.0)
    flower, looks = Slow(), []
    grid = grid_over(flower, [])
    flower.silent = {3}
    monkeypatch.setattr(Waits, "goes_on", lambda self, kind: False)
    asked(grid, MessageType.TRAIN, 1, (3,))

    def goes_on(self, kind):
        looks.append(kind)
        if len(looks) == 2:
            flower.since = "noon"
            flower.open.clear()
        if len(looks) == 6:
            flower.silent = set()
        return len(looks) < 50

    monkeypatch.setattr(Waits, "goes_on", goes_on)
    assert asked(grid, MessageType.TRAIN, 2, (3,)) == {3: ""}
    assert [round for _, _, round in flower.sent] == ["1", "2"]
