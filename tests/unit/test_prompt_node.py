"""A prompt SuperNode: how long it rests, whose process answers its messages, and what it hands over of an error."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import sys
from types import SimpleNamespace

import pytest

from fedlora_tui.federation import app_server, prompt_node
from fedlora_tui.federation.app_server import AppServer, named
from fedlora_tui.federation.prompt_node import (
    HEARTBEAT_SECONDS,
    LONGEST,
    REPLY_SECONDS,
    SERVER,
    SHORTEST,
    Answering,
    Pace,
    make_prompt,
)
from fedlora_tui.federation.pulling import FIRST_AGAIN, PULLING, pull_soon

from flwr.app import Context, Message, MessageType, RecordDict  # isort: skip
from flwr.common.constant import HEARTBEAT_MIN_INTERVAL, SubStatus  # isort: skip
from flwr.proto.runtime_pb2 import AcquireTaskResponse  # isort: skip
from flwr.proto.task_pb2 import Task  # isort: skip
from flwr.supercore.inflatable import inflatable_utils  # isort: skip
from flwr.supercore.object_store import ObjectStoreFactory  # isort: skip
from flwr.supercore.superexec import run_superexec  # isort: skip
from flwr.supercore.task_identity import TaskIdentity  # isort: skip
from flwr.supercore import heartbeat  # isort: skip
from flwr.supernode import fleet_http_connection, start_client_internal  # isort: skip
from flwr.supernode.nodestate import NodeStateFactory  # isort: skip
from flwr.supernode.runtime import run_clientapp  # isort: skip


def test_what_is_put_in_place_of_flowers_holds_for_this_flower():
    """A new Flower: read the three places, check app_server.py and prompt_node.py against them, raise both numbers."""
    installed = importlib.metadata.version("flwr").rpartition(".")[0]
    assert installed == prompt_node.HOLDS_FOR_FLOWER == app_server.HOLDS_FOR_FLOWER
    supernode = inspect.getsource(start_client_internal)
    assert len(re.findall(r"\btime\.\w", supernode)) == supernode.count("time.sleep(") == 3
    assert supernode.count("time.sleep(3)") == 1
    assert 'command = ["flower-superexec"]' in supernode
    assert supernode.count("subprocess.") == supernode.count("subprocess.Popen(command)") == 1
    assert supernode.count("_pull_and_store_message(") == supernode.count("_push_messages(") == 2
    assert "receive()" in inspect.getsource(start_client_internal._pull_and_store_message)
    flowers = inspect.getsource(run_clientapp.run_clientapp)
    order = ["HeartbeatSender(", "pull_task_input(client)", "client_app(message=", "push_message(client, reply_message"]
    assert sorted(order, key=flowers.index) == order
    for name in PULLING:
        given = inspect.signature(getattr(inflatable_utils, name)).parameters
        assert given["max_tries_per_object"].default == 500
        assert given["backoff_cap"].default == 10
        assert "initial_backoff" in given
    assert "client.AcquireTask(" in inspect.getsource(run_superexec.run_superexec)


def test_objects_that_are_not_there_yet_are_asked_for_again_soon(monkeypatch):
    for name in PULLING:
        function = getattr(inflatable_utils, name)
        monkeypatch.setattr(function, "__kwdefaults__", dict(function.__kwdefaults__))
    pull_soon()
    left, delays = [2], []

    def pull(number):
        if left[0]:
            left[0] -= 1
            raise inflatable_utils.ObjectUnavailableError(number)
        return b"here"

    drawn = SimpleNamespace(uniform=lambda low, high: delays.append(high) or low)
    monkeypatch.setattr(inflatable_utils, "random", drawn)
    assert inflatable_utils.pull_objects(["it"], pull) == {"it": b"here"}
    assert len(delays) == 2
    for name in PULLING:
        assert getattr(inflatable_utils, name).__kwdefaults__["initial_backoff"] == FIRST_AGAIN


def test_a_node_asks_seldom_when_it_waited_long_and_when_its_superlink_is_slow():
    now, slept = [100.0], []
    pace = Pace(clock=lambda: now[0], sleep=slept.append)

    def pulled(run, took=0.0):
        def pull(*, state):
            now[0] += took
            return run

        return pace.asked(pull)(state=None)

    assert pulled(7) == 7
    assert pace.rest() == SHORTEST
    now[0] += 20
    assert pulled(None) is None
    assert pace.rest() == pytest.approx(1.0)
    now[0] += 500
    assert pace.rest() == LONGEST
    pulled(7, took=0.3)
    assert pace.rest() == pytest.approx(0.3), "half of its time its SuperLink is left alone"
    pulled(7)
    pace.sleep(3)
    pace.sleep(0.5)
    assert slept == [SHORTEST, REPLY_SECONDS]


def test_an_answer_to_a_message_that_was_cleared_away_goes_not_in_the_place_of_the_one_that_is_waited_for(monkeypatch):
    store = ObjectStoreFactory()
    state = NodeStateFactory(store).state()

    for name, number in {"task_id": 1, "run_id": 9, "node_id": 5}.items():
        monkeypatch.setattr(TaskIdentity, f"_{name}", number)

    def message(number):
        asked = Message(RecordDict(), 5, MessageType.TRAIN, group_id="1")
        asked.metadata.__dict__["_message_id"] = number
        return asked

    def answer(number):
        start_client_internal._insert_message(Message(RecordDict(), reply_to=message(number)), state, store.store())

    sent = []

    def send(reply, tree, seconds):
        sent.append(reply.metadata.reply_to_message_id)
        return set(), "session"

    # The app answers one after the other, while Flower waits for a reply.
    coming = ["cleared away", "taken", "of another time"]
    monkeypatch.setattr(start_client_internal, "time", SimpleNamespace(sleep=lambda seconds: answer(coming.pop(0))))
    answering = Answering()
    pull = answering.taking(lambda receive: 9 if receive() else None)
    push = answering.sending(start_client_internal._push_messages)
    assert pull(receive=lambda: (message("taken"), None)) == 9
    push(state=state, object_store=store.store(), send=send, push_object=None)
    assert sent == ["cleared away", "taken"]
    assert coming == ["of another time"]
    assert not state.get_messages_legacy(is_reply=True)
    assert pull(receive=lambda: None) is None


def test_the_apps_process_stands_in_the_place_of_flowers_and_a_heartbeat_comes_twice_as_often(monkeypatch):
    for module in (fleet_http_connection, heartbeat):
        assert HEARTBEAT_MIN_INTERVAL <= HEARTBEAT_SECONDS < module.HEARTBEAT_DEFAULT_INTERVAL
        monkeypatch.setattr(module, "HEARTBEAT_DEFAULT_INTERVAL", module.HEARTBEAT_DEFAULT_INTERVAL)
    for name in ("time", "subprocess", "_pull_and_store_message", "_push_messages"):
        monkeypatch.setattr(start_client_internal, name, getattr(start_client_internal, name))
    started = []
    make_prompt("some:app", Pace(), started.append)
    start_client_internal.subprocess.Popen(["flower-superexec", "--insecure", "--parent-pid", "12"])
    assert started == [[sys.executable, "-m", SERVER, "some:app", "--insecure", "--parent-pid", "12"]]
    assert fleet_http_connection.HEARTBEAT_DEFAULT_INTERVAL == heartbeat.HEARTBEAT_DEFAULT_INTERVAL == HEARTBEAT_SECONDS


class Runtime:
    """What a SuperNode offers its apps, with so many tasks."""

    def __init__(self, tasks):
        self.tasks, self.pushed, self.outputs, self.closed = tasks, [], [], 0

    def from_server_address(self, **given):
        return self

    def acquire(self, wanted):
        assert list(wanted.supported_task_types) == ["flwr-clientapp"]
        if not self.tasks:
            return AcquireTaskResponse()
        self.tasks -= 1
        return AcquireTaskResponse(token="a token", task=Task(task_id=1))

    AcquireTask = acquire

    def close(self):
        self.closed += 1


@pytest.fixture
def served(monkeypatch):
    """Serve some tasks by an app; give what was handed over."""

    def serve(tasks, app, pull=None):
        runtime = Runtime(tasks)
        beating = SimpleNamespace(start=lambda: None, stop=lambda: runtime.outputs.append("heart stopped"))

        def pulled(client):
            TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 5
            message = Message(RecordDict(), 5, MessageType.TRAIN)
            message.metadata.__dict__["_message_id"] = "asked"
            return message, Context(1, 5, {}, RecordDict(), {}), None, None

        monkeypatch.setattr(app_server, "RuntimeHttpClient", runtime)
        monkeypatch.setattr(app_server, "HeartbeatSender", lambda beat: beating)
        monkeypatch.setattr(app_server, "make_task_heartbeat_fn_http", lambda client: None)
        monkeypatch.setattr(app_server, "pull_task_input", pull or pulled)
        monkeypatch.setattr(app_server, "push_message", lambda client, reply, context: runtime.pushed.append(reply))
        monkeypatch.setattr(
            app_server, "push_task_output", lambda client, context, status, why: runtime.outputs.append((status, why))
        )
        left = [True] * (tasks + 1)
        AppServer("here", app).serve(goes_on=lambda: bool(left and left.pop()), rest=lambda seconds: None)
        assert runtime.closed == tasks + 1
        return runtime

    return serve


def test_one_process_answers_message_after_message(served):
    runtime = served(3, lambda message, context: Message(RecordDict(), reply_to=message))
    assert [reply.metadata.reply_to_message_id for reply in runtime.pushed] == ["asked"] * 3
    assert runtime.outputs == ["heart stopped", (SubStatus.COMPLETED, "")] * 3


def test_of_an_error_nothing_leaves_but_its_name_and_the_process_goes_on(served):
    def app(message, context):
        raise ValueError("Dear Sir, the charge")

    runtime = served(2, app)
    assert [reply.error.reason for reply in runtime.pushed] == ["ValueError"] * 2
    assert runtime.outputs == ["heart stopped", (SubStatus.FAILED, "ValueError")] * 2


def test_a_task_that_cannot_be_read_is_given_back_as_failed(served):
    def pull(client):
        raise RuntimeError("gone")

    runtime = served(1, lambda message, context: message, pull)
    assert runtime.pushed == []
    assert runtime.outputs == ["heart stopped", (SubStatus.FAILED, "the task could not be read")]


def test_a_task_that_was_given_up_ends_the_process_and_nothing_more_is_said_of_it(served, monkeypatch):
    said = []

    def app(message, context):
        monkeypatch.setattr(app_server, "push_task_output", lambda *given: said.append(given))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        served(1, app)
    assert said == []


def test_an_app_is_found_by_its_reference():
    assert named("fedlora_tui.federation.app_server:named") is named
