"""Replies of a deployed federation as they come: none is held when the next is given, each once, errors as refusals."""

from __future__ import annotations

import pytest

from fedlora_tui.federation.deployed_grid import MOST_AT_ONCE, NOBODY, DeployedGrid
from fedlora_tui.federation.server_app import GivesOneByOne

from flwr.app import Message, MessageType, RecordDict  # isort: skip
from flwr.supercore.task_identity import TaskIdentity  # isort: skip


class Link:
    """Flower's Grid, in which each message is answered at some look, counted from 1."""

    def __init__(self, at):
        self.at, self.looks, self.asked = at, 0, []
        self.sent = {}

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
    def about_to_send(self):
        """Nothing to do."""

    def sent(self, kind, round, organizations):
        """Nothing to do."""

    def goes_on(self, kind):
        return True

    def came(self, kind, round, organization, answered):
        """Nothing to do."""


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
