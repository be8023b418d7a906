"""A SuperNode's process: started again where that helps, given up where not, never left behind, true to our app."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.app import Error, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run, RunNotRunningException
from flwr.supernode import start_client_internal
from flwr.supernode.nodestate import NodeStateFactory

from fedlora_tui.federation import supernode as process
from fedlora_tui.federation.bundle import bundle, is_ours
from fedlora_tui.federation.local_grid import LocalGrid
from fedlora_tui.federation.prompt_node import cleared_away
from fedlora_tui.node import supernode
from fedlora_tui.node.supernode import Connection, Heard, Refusing, SuperNode

ROOT = Path(__file__).resolve().parents[2]
GUARD = 120.0


class Node:
    """A SuperNode whose process is a fake, and a clock that is moved by hand."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(supernode, "PROGRAM", "tests.fake_supernode")
        patch.setenv("PYTHONPATH", str(ROOT))
        self.patch, self.now = patch, 0.0
        self.node = SuperNode(folder, Connection("localhost:9", insecure=True), {"data": "a"}, lambda: self.now)

    def told(self, *told: tuple[str, str], seconds: float = 0.0, status: int = 1) -> None:
        self.patch.setenv("FAKE_SUPERNODE", json.dumps([told, seconds, status]))

    def until(self, count: int) -> list[Heard]:
        heard: list[Heard] = []
        until = time.monotonic() + GUARD
        while len(heard) < count:
            assert time.monotonic() < until, heard
            heard += self.node.look()
            time.sleep(0.01)
        return heard


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = Node(tmp_path, monkeypatch)
    yield made
    made.node.end()


def test_one_that_ends_after_it_was_connected_is_started_again_after_a_while(own: Node) -> None:
    own.told(("connecting", ""), ("up", ""))
    own.node.start()
    states = own.until(3)
    assert [one.state for one in states] == ["connecting", "up", "down"]
    assert states[2].note.endswith("started again in 2 s")
    own.told(("up", ""), ("down", "[Errno 111] Connection refused"), seconds=60)
    assert own.node.look() == []
    assert not own.node.running
    own.now = 2.0
    assert own.until(2) == [Heard("up"), Heard("down", "nobody listens there")]
    assert own.node.running
    own.node.end()
    assert not own.node.running


NOT_LET_IN = ("ended", "Exit Code: 305 [code: 2004] Failed to activate SuperNode.")


def test_one_that_is_not_let_in_asks_again_for_a_moment_and_is_given_up_with_the_reason(own: Node) -> None:
    own.told(NOT_LET_IN)
    own.node.start()
    for _ in range(supernode.MOST_PORTS + 1):
        [refused] = own.until(1)
        assert "register this node's key there; started again in" in refused.note
        own.now += supernode.LET_IN_SECONDS / (supernode.MOST_PORTS + 1)
        own.node._again = own.now
    with pytest.raises(Refusing, match="its operator has to register this node's key there"):
        own.until(1)


def test_one_whose_key_comes_a_moment_later_is_let_in(own: Node) -> None:
    own.told(NOT_LET_IN)
    own.node.start()
    own.until(1)
    own.told(("up", ""), seconds=60)
    own.now += supernode.LET_IN_SECONDS
    assert own.until(1) == [Heard("up")]


def test_one_whose_key_a_connected_node_has_waits_for_that_to_end_and_is_never_given_up(own: Node) -> None:
    own.told(("held", "Exit Code: 305 [code: 2004] Failed to activate SuperNode."))
    own.node.start()
    for _ in range(2 * supernode.MOST_PORTS):
        assert own.until(1) == [Heard("down", supernode.IN_USE)]
        own.now += supernode.HELD_WAIT
    own.told(("up", ""), seconds=60)
    own.node.end()
    own.node.start()
    assert own.until(1) == [Heard("up")]


@pytest.mark.parametrize(
    ("answer", "told"), [(process.LET_IN, "held"), ("not registered", "ended"), (OSError(), "ended")]
)
def test_flowers_refusal_is_told_apart_by_asking_whether_the_key_is_let_in(
    answer: str | OSError, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "node.key").write_bytes(b"key")

    def asked(address: str, authority: bytes, private: bytes) -> str:
        assert (address, authority, private) == ("a:1", b"", b"key")
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(process, "refusal_of_key", asked)
    given = [
        "supernode",
        "--superlink",
        "a:1",
        "--auth-supernode-private-key",
        str(tmp_path / "node.key"),
        "--port",
        "1",
    ]
    monkeypatch.setattr("sys.argv", given)
    heard, speaks = os.pipe()
    said = "Exit Code: 305\nFailed to initialize.\n[code: 2004] Failed to activate SuperNode."
    process.Link(speaks).emit(logging.LogRecord("flwr", logging.ERROR, "", 0, said, None, None))
    assert json.loads(os.read(heard, 4096))["state"] == told
    os.close(heard)
    os.close(speaks)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([], "ended with status 1; see "),
        (
            [("ended", "RuntimeError: SuperNode Runtime HTTP API failed to start.")],
            "its port was taken by another process",
        ),
    ],
    ids=["without a word", "port taken"],
)
def test_one_that_never_comes_up_is_tried_on_other_ports_and_then_given_up(
    own: Node, tmp_path: Path, told: list[tuple[str, str]], why: str
) -> None:
    own.told(("connecting", ""), *told)
    own.node.start()
    for _ in range(supernode.MOST_PORTS - 1):
        own.until(2)
        own.now += supernode.LONGEST_WAIT
    with pytest.raises(Refusing, match=why):
        own.until(2)
    assert (tmp_path / "supernode.toml").stat().st_mode & 0o777 == 0o600


def test_its_log_begins_anew_while_it_runs_and_the_end_of_the_one_before_is_kept(
    own: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supernode, "MOST_LOG_BYTES", 100)
    log, aside = tmp_path / supernode.LOG, tmp_path / "supernode.log.1"
    said = [("says", f"line {number} {'x' * 33}") for number in range(5)]
    own.told(*said, ("up", ""), seconds=60)
    own.node.start()
    with log.open("ab") as writing:
        own.until(1)
        assert (len(aside.read_bytes()), log.read_bytes()) == (100, b"")
        assert aside.read_text().endswith(f"line 4 {'x' * 33}\n")
        assert aside.stat().st_mode & 0o777 == 0o600
        # Who had it open before goes on in the same file, from its new beginning.
        writing.write(b"y" * 101)
    own.node.look()
    assert (aside.read_bytes(), log.read_bytes()) == (b"y" * 100, b"")
    log.write_bytes(b"z" * 101)
    monkeypatch.setattr(supernode, "_copy", _no_room)
    own.node.look()
    assert (aside.exists(), log.read_bytes()) == (False, b"")
    assert own.node.running


def _no_room(*given: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def pull(monkeypatch: pytest.MonkeyPatch):
    """Flower's way to take a message in, as it is in a SuperNode of ours, given a bundle: the state afterwards."""
    for name in ("_pull_and_store_message", "_verify_fab"):
        monkeypatch.setattr(start_client_internal, name, getattr(start_client_internal, name))
    process._only_our_app(is_ours)

    def pulled(content: bytes, take: Callable[[], None] = lambda: pytest.fail("it was taken in"), within=None):
        store = ObjectStoreFactory()
        state = NodeStateFactory(objectstore_factory=store).state()
        state.set_node_id(5)
        message = LocalGrid(ClientApp()).create_message(RecordDict(), "train", 5, "1")
        message.metadata.__dict__["_message_id"] = message.object_id
        (within or start_client_internal._pull_and_store_message)(
            state=state,
            object_store=store.store(),
            node_config={},
            receive=lambda: (message, get_object_tree(message)),
            get_run=lambda run: Run.create_empty(run),
            get_fab=lambda digest, run: Fab(digest, content, {}),
            pull_object=lambda run, name: take(),
            confirm_message_received=lambda run, name: None,
            trusted_entities=None,
        )
        return state, message.metadata.run_id

    return pulled


def test_a_bundle_that_is_not_ours_is_refused_by_flower_itself_and_never_kept(pull) -> None:
    state, run = pull(b"other code")
    (reply,) = state.get_messages_legacy(is_reply=True)
    assert isinstance(reply.error, Error)
    assert reply.error.code == ErrorCode.INVALID_FAB
    assert state.get_run(run) is None


def test_a_message_whose_run_ends_on_its_way_is_cleared_away_so_that_the_app_waits_for_none_of_it(pull) -> None:
    def over() -> None:
        raise RunNotRunningException

    flowers = start_client_internal._pull_and_store_message
    for within, left, status in ((flowers, 1, "pending"), (cleared_away(flowers), 0, "finished")):
        state, run = pull(bundle().content, over, within)
        assert len(state.get_messages_legacy(run_ids=[run], is_reply=False)) == left
        assert [task.status.status for task in state.get_tasks()] == [status]


def test_our_own_bundle_is_taken(pull) -> None:
    with pytest.raises(pytest.fail.Exception, match="it was taken in"):
        pull(bundle().content)
