"""What a deployed run knows of its SuperLink: what protection is lacking, and who was refused since it began."""

import base64
import hashlib

from fedlora_tui.deployment import keys
from fedlora_tui.engine.at_the_door import AtTheDoor
from fedlora_tui.engine.attendance import Seen
from fedlora_tui.federation import refusals, standing
from fedlora_tui.federation.door import fingerprint
from fedlora_tui.federation.refusals import Refusals
from fedlora_tui.protocol.events import NodeRefused, Warned

OLD = NodeRefused("mill has fedlora-tui 0.0.1", "", "", 1)


class Somebody:
    """An attendance with a warning, and a refusal, of its own."""

    def __init__(self) -> None:
        self.let_go: list[str] = []

    def look(self, present, config=None, refusals=None) -> Seen:
        return Seen(("port",), {"clinic": "gone"}, (Warned("a word"),), (OLD,))

    def dropped(self, organization) -> None:
        self.let_go.append(organization)

    def awaits(self, lack) -> bool:
        return lack == "waits"


def test_refusals_are_told_once_with_how_often_and_only_those_since_the_run_began(tmp_path, monkeypatch):
    monkeypatch.setenv(refusals.FILE, str(tmp_path / "refused.json"))
    now = [0.0]
    counted = Refusals(tmp_path / "refused.json", clock=lambda: now[0])
    counted.count("unknown", "192.0.2.1", "k")
    inner = Somebody()
    door = AtTheDoor(inner)
    assert door.look(()) == inner.look(())
    for _ in range(2):
        now[0] += 2
        counted.count("unknown", "192.0.2.1", "k")
    counted.know({"k": "mill"})
    counted.write(at_once=True)
    counted.count("clock", "192.0.2.2")
    seen = door.look(())
    told = (NodeRefused("unknown", "192.0.2.1", "k", 2, "mill"), NodeRefused("clock", "192.0.2.2", "", 1))
    assert seen == Seen(("port",), {"clinic": "gone"}, (Warned("a word"),), (OLD, *told))
    assert door.look(()).refused == (OLD,)
    door.dropped("port")
    assert (inner.let_go, door.awaits("waits"), door.awaits("")) == (["port"], True, False)


def test_whose_each_key_is_a_run_reads_in_the_folder_that_its_superlink_names(tmp_path, monkeypatch):
    monkeypatch.delenv(standing.NODES, raising=False)
    assert standing.owners() == {}
    public = {name: keys.new_node(name).public for name in ("clinic", "port")}
    for name, line in public.items():
        (tmp_path / f"{name}.pub").write_bytes(line)
    monkeypatch.setenv(standing.NODES, str(tmp_path))
    owned = {name: pem for pem, name in standing.owners().items()}
    assert {name: fingerprint(pem) for name, pem in owned.items()} == {
        name: of_line(line) for name, line in public.items()
    }


def of_line(line: bytes) -> str:
    """The fingerprint of a line of OpenSSH's, as `ssh-keygen -l` makes it."""
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def test_a_superlink_without_a_door_refuses_nobody_that_is_known(monkeypatch):
    monkeypatch.delenv(refusals.FILE, raising=False)
    assert standing.refused() == []


def test_what_protection_is_lacking_is_known_by_the_grid_and_by_who_started_the_superlink(monkeypatch):
    class Grid:
        def __init__(self, insecure) -> None:
            self._insecure = insecure

    monkeypatch.delenv(standing.STANDING, raising=False)
    assert standing.lacking(object()) == ""
    assert standing.lacking(Grid(True)) == standing.NO_TLS
    assert standing.lacking(Grid(False)) == standing.NOT_OURS
    monkeypatch.setenv(standing.STANDING, standing.INSECURE)
    assert standing.lacking(Grid(False)) == standing.NOT_OURS
    monkeypatch.setenv(standing.STANDING, standing.AUTHENTICATED)
    assert standing.lacking(Grid(False)) == ""


def test_the_private_field_is_there_in_this_release_of_flower():
    import flwr
    from flwr.superlink.grid import HttpGrid

    assert flwr.__version__.startswith(standing.HOLDS_FOR_FLOWER)
    assert HttpGrid(insecure=True, token="t")._insecure is True
