"""The folder of keys and the SuperLink's list: who is let in, and who is taken out, which is for good."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from flwr.proto.control_pb2 import ListNodesResponse
from flwr.proto.node_pb2 import NodeInfo

from fedlora_tui.deployment import keys
from fedlora_tui.federation.roll import Roll


class Listed:
    """The control API of a SuperLink: its nodes' keys and names, by number."""

    def __init__(self) -> None:
        self.nodes: dict[int, tuple[bytes, str]] = {}
        self.burned: set[bytes] = set()

    def ListNodes(self, request):  # noqa: N802
        found = [NodeInfo(node_id=n, public_key=key, name=name) for n, (key, name) in self.nodes.items()]
        return ListNodesResponse(nodes_info=found)

    def RegisterNode(self, request):  # noqa: N802
        if request.public_key in self.burned:
            asked = httpx.Request("POST", "http://here")
            raise httpx.HTTPStatusError("in use", request=asked, response=httpx.Response(409, request=asked))
        self.nodes[len(self.nodes) + 1] = (request.public_key, request.name)

    def UnregisterNode(self, request):  # noqa: N802
        self.burned.add(self.nodes.pop(request.node_id)[0])


@pytest.fixture
def roll(tmp_path: Path):
    with Roll("127.0.0.1:1", None) as found:
        found._client.close()
        found._client = Listed()
        yield found
        found._client = SimpleNamespace(close=lambda: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "nodes"
    place.mkdir()
    for name in ("bank", "clinic"):
        (place / f"{name}.pub").write_bytes(keys.new_node(name).public)
    return place


def test_keys_of_the_folder_are_let_in_and_one_that_is_removed_is_taken_out(roll: Roll, folder: Path) -> None:
    roll.agree(folder)
    assert len(roll.members()) == 2
    (folder / "bank.pub").unlink()
    roll.agree(folder)
    assert len(roll.members()) == 1


def test_nobody_is_taken_out_because_the_folder_is_away_or_a_key_is_half_copied(roll: Roll, folder: Path) -> None:
    roll.agree(folder)
    whole = (folder / "bank.pub").read_bytes()
    (folder / "bank.pub").write_bytes(b"")
    (folder / "school.pub").write_bytes(keys.new_node("school").public)
    roll.agree(folder)
    assert len(roll.members()) == 3, "one is let in meanwhile, and nobody taken out"
    (folder / "bank.pub").write_bytes(whole)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError, match="public keys is not here"):
        roll.agree(folder)
    assert len(roll.members()) == 3


def test_who_is_let_in_no_more_is_told_by_its_name_and_by_its_number_where_it_has_none(roll, folder, caplog) -> None:
    roll.agree(folder)
    roll._client.nodes[7] = (b"of another day", "")
    (folder / "bank.pub").unlink()
    roll.agree(folder)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    gone = f"is let in no more: its key is not in {folder} any more"
    assert told == [f"bank {gone}", f"Node 7 {gone}"]


def test_whose_key_was_taken_out_before_is_not_among_those_let_in(roll: Roll, folder: Path, caplog) -> None:
    roll.agree(folder)
    assert roll.let_in(folder) == ["bank", "clinic"]
    away = (folder / "bank.pub").rename(folder / "bank.away")
    roll.agree(folder)
    away.rename(folder / "bank.pub")
    roll.agree(folder)
    assert "The key of bank is not taken (one that was taken out is never let in again)" in caplog.text
    assert roll.let_in(folder) == ["clinic"]
