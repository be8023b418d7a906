"""`deploy check` on real folders and real sockets: each thing that can be wrong is one line that says what to do."""

import shutil
import socket
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedlora_tui import __version__
from fedlora_tui.cli import main
from fedlora_tui.deployment import keys, layout, making
from fedlora_tui.deployment.checking import LOOK, OK, WRONG, Link, check
from fedlora_tui.federation.refusals import Refusals, read
from fedlora_tui.ssh_keys import fingerprint
from tests.deployment import free_port
from tests.listening import listening

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "fed"
    making.make(folder, making.wish("port", ["127.0.0.1"], free_port(), secure=True))
    return folder


@pytest.fixture
def deployment(made, tmp_path) -> Path:
    """A deployment of the test's own; its node has a text."""
    folder = Path(shutil.copytree(made, tmp_path / "fed"))
    (folder / "node-port" / "data" / "notes.txt").write_text("A crane lifts a box.\n\nA box waits.\n")
    return folder


def _pointed(folder: Path, port: int, host: str = "127.0.0.1") -> Path:
    """Let a role folder ask at a port."""
    about = replace(layout.read_about(folder), superlink=f"{host}:{port}")
    (folder / layout.ABOUT).write_text(layout.to_toml(about))
    return folder


@contextmanager
def _server(deployment: Path, pair: keys.Pair | None = None, **answers):
    """A server with the deployment's certificate, or another; gives the node's folder, which asks there."""
    certificate = (deployment / "server" / "server.pem", deployment / "server" / "server.key")
    if pair is not None:
        certificate = (deployment / "shown.pem", deployment / "shown.key")
        certificate[0].write_bytes(pair.public)
        certificate[1].write_bytes(pair.private)
    with listening(certificate, **answers) as port:
        yield _pointed(deployment / "node-port", port)


def _named(links: list[Link], name: str) -> Link:
    return next(link for link in links if link.name == name and link.state != OK)


def _authority(deployment: Path) -> keys.Pair:
    place = deployment / "authority"
    return keys.Pair((place / "ca.key").read_bytes(), (place / "ca.pem").read_bytes())


def test_a_folder_as_it_was_made_is_well_but_for_what_was_not_started_yet(deployment):
    server = check(_pointed(deployment / "server", free_port()), before_start=True)
    assert {link.state for link in server} == {OK}
    assert [link.name for link in server] == ["versions", "ca.pem", "server.key", "server.pem", "nodes", "port"]
    node = check(_pointed(deployment / "node-port", free_port()), before_start=True)
    assert [(link.name, link.state) for link in node if link.state != OK] == [("SuperLink", LOOK)]
    assert "the node will wait for it" in _named(node, "SuperLink").found


def test_a_port_that_nobody_listens_on(deployment):
    port = free_port()
    link = _named(check(_pointed(deployment / "node-port", port)), "SuperLink")
    assert link.state == WRONG
    assert f"127.0.0.1:{port} cannot be reached" in link.found
    assert "start.sh" in link.advice


def test_a_name_that_nobody_knows(deployment):
    link = _named(check(_pointed(deployment / "node-port", 8000, "no-such-host.invalid")), "SuperLink")
    assert link.found == "no-such-host.invalid is no known name here"
    assert link.state == WRONG


def test_a_port_that_something_else_has(deployment):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = _pointed(deployment / "server", taken.getsockname()[1])
        link = _named(check(server, before_start=True), "port")
    assert link.state == WRONG
    assert "cannot be had" in link.found


def test_a_server_with_a_certificate_for_another_name(deployment):
    with _server(deployment, keys.new_server(_authority(deployment), ("lab.example.org",), NOW)) as node:
        link = _named(check(node), "SuperLink")
    assert link.found == "the server's certificate is not for 127.0.0.1, but for lab.example.org"
    assert "deploy renew DIR --host 127.0.0.1" in link.advice


@pytest.mark.parametrize(
    ("begins", "said"),
    [(-400, "the server's certificate expired on"), (30, "the server's certificate is not valid yet")],
)
def test_a_server_with_a_certificate_of_another_time(deployment, begins, said):
    pair = keys.new_server(_authority(deployment), ("127.0.0.1",), NOW + timedelta(days=begins))
    with _server(deployment, pair) as node:
        link = _named(check(node), "SuperLink")
    assert link.state == WRONG
    assert link.found.startswith(said)
    assert "UTC" in link.found


def test_a_server_of_another_authority(deployment):
    stranger = keys.new_authority("somebody else", NOW)
    with _server(deployment, keys.new_server(stranger, ("127.0.0.1",), NOW)) as node:
        link = _named(check(node), "SuperLink")
    assert "not by this deployment's authority" in link.found
    assert "somebody" not in link.advice
    assert link.advice.startswith("do not connect")


def test_a_server_without_tls_and_a_node_without_it(deployment):
    with listening(None) as port:
        link = _named(check(_pointed(deployment / "node-port", port)), "SuperLink")
    assert link.found == f"127.0.0.1:{port} does not speak TLS"
    plain = deployment.parent / "plain"
    making.make(plain, making.wish("port", [], 8000, secure=False))
    with _server(deployment) as node:
        port = layout.read_about(node).port
        links = check(_pointed(plain / "node-port", port))
    assert "is no SuperLink" in _named(links, "SuperLink").found
    assert _named(links, "protection").found.startswith("INSECURE")


def test_something_that_takes_a_connection_and_says_nothing(deployment, monkeypatch):
    monkeypatch.setattr("fedlora_tui.deployment.reaching.PATIENCE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        link = _named(check(_pointed(deployment / "node-port", port)), "SuperLink")
    assert link.state == WRONG
    assert link.found == f"127.0.0.1:{port} takes a connection and says nothing"


def test_something_else_that_speaks_tls(deployment):
    with _server(deployment, status=404) as node:
        link = _named(check(node), "SuperLink")
    assert "is not well (it answers 404)" in link.found


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"flwr": "1.42.0"}, f"versions differ: it has fedlora-tui {__version__} with Flower 1.42.0"),
        ({"own": "9.9.9"}, "versions differ: it has fedlora-tui 9.9.9 with Flower 1.41.0"),
        ({"own": ""}, "but was not started by fedlora-tui"),
    ],
)
def test_another_version_at_the_other_end(deployment, answers, said):
    with _server(deployment, **answers) as node:
        link = _named(check(node), "SuperLink")
    assert link.state == WRONG
    assert said in link.found


def test_a_clock_that_is_wrong(deployment):
    with _server(deployment, clock=3600) as node:
        link = _named(check(node), "clock")
    assert "by 60 minutes" in link.found


def test_keys_that_others_may_read(deployment):
    for key in (
        deployment / "node-port" / "node.key",
        deployment / "server" / "server.key",
        deployment / "authority" / "ca.key",
    ):
        key.chmod(0o640)
    for folder in (deployment / "node-port", deployment / "server"):
        _pointed(folder, free_port())
    links = [link for link in check(deployment) if "others may read" in link.found]
    assert [(link.place, link.name) for link in links] == [
        ("server", "server.key"),
        ("node-port", "node.key"),
        ("authority", "ca.key"),
    ]
    assert all(link.state == WRONG and link.advice.startswith("chmod 600 ") for link in links)


@pytest.mark.parametrize(
    ("days", "said", "state"),
    [(380, "expires on", LOOK), (400, "expired on", WRONG), (-3, "is not valid before", WRONG)],
)
def test_the_servers_own_certificate_by_the_calendar(deployment, days, said, state):
    links = check(deployment / "server", before_start=True, now=NOW + timedelta(days=days))
    link = next(link for link in links if said in link.found and link.name == "server.pem")
    assert link.state == state


def test_files_that_do_not_belong_together(deployment):
    server = _pointed(deployment / "server", free_port())
    stranger = keys.new_authority("somebody else", NOW)
    pair = keys.new_server(stranger, ("lab.example.org",), NOW)
    (server / "server.pem").write_bytes(pair.public)
    found = [(link.name, link.found) for link in check(server, before_start=True) if link.state == WRONG]
    assert found == [
        ("server.pem", "it is not by the authority of ca.pem"),
        ("server.key", "it is not the key of server.pem"),
        ("server.pem", "it is not for 127.0.0.1"),
    ]


def test_files_that_are_missing_or_hold_something_else(deployment):
    node, server = (_pointed(deployment / role, free_port()) for role in ("node-port", "server"))
    (node / "node.key").write_text("no key")
    (node / "ca.pem").write_text("no certificate")
    (server / "nodes" / "port.pub").write_text("no key")
    shutil.rmtree(node / "data")
    found = {link.name: link.found for link in check(node, before_start=True) if link.state == WRONG}
    assert set(found) == {"ca.pem", "data", "node.key"}
    assert found["node.key"].startswith("it cannot be used: no private key in OpenSSH's format")
    assert _named(check(server, before_start=True), "nodes/port.pub").state == WRONG
    (node / "ca.pem").unlink()
    assert _named(check(node), "ca.pem").found == "it is missing"
    (server / "nodes" / "port.pub").unlink()
    assert "no node is let in" in _named(check(server, before_start=True), "nodes").found


def test_a_nodes_text_is_counted_and_its_policy_read_before_a_run_asks(deployment):
    node = _pointed(deployment / "node-port", free_port())
    assert "it refuses nothing: it takes part in whatever is asked" in {link.found for link in check(node)}
    for file in (node / "data").iterdir():
        file.unlink()
    (node / "data" / "few.txt").write_text("one document")
    (node / "policy.toml").write_text('[training]\nmethods = ["flor"]\n')
    found = check(node, before_start=True)
    few, policy = _named(found, "data"), _named(found, "policy.toml")
    assert (few.state, policy.state) == (LOOK, WRONG)
    assert "1 distinct document(s)" in few.found
    assert "2 are needed" in few.advice
    assert policy.found.startswith(f"{node / 'policy.toml'}:2: training.methods")
    (node / "data" / "few.txt").write_text("one document\n\nanother\n\nanother\n")
    (node / "policy.toml").write_text("[training]\nmax_rank = 8\n")
    well = {link.name: link.found for link in check(node) if link.state == OK}
    assert well["data"] == "2 documents, 1 of them held out; left out were 1 duplicate"
    assert well["policy.toml"] == "rank <= 8"


def test_the_command_prints_a_line_a_link_and_ends_with_1_where_one_is_wrong(deployment, capsys):
    node = _pointed(deployment / "node-port", free_port())
    assert main(["deploy", "check", str(node)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert "node-port  SuperLink    127.0.0.1" in lines[-2]
    assert lines[-1] == "1 of 6 wrong"
    assert main(["deploy", "check", "--before-start", str(node)]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


def test_a_folder_that_is_no_deployment_is_one_line(tmp_path, capsys):
    assert main(["deploy", "check", str(tmp_path)]) == 2
    assert "no deployment is here" in capsys.readouterr().err
    (tmp_path / "deployment.toml").write_text('role = "cook"\n')
    assert main(["deploy", "check", str(tmp_path)]) == 2
    assert "cannot be read ('superlink' is missing)" in capsys.readouterr().err
    assert main(["deploy", "chekc"]) == 2
    assert "after it goes init, check" in capsys.readouterr().err


def test_a_key_that_was_refused_has_its_organizations_name_beside_it_also_once_its_file_is_gone(deployment, tmp_path):
    server = _pointed(deployment / "server", free_port())
    file = server / "nodes" / "port.pub"
    key = fingerprint(file.read_bytes())
    counted = Refusals(server / "refused.json")
    counted.count("its key is not registered", "192.0.2.9", key)
    assert f"with the key of port, {key}, last" in _named(check(server), "refused.json").found
    counted.know({key: "port"})
    counted.count("its key is not registered", "192.0.2.9", key)
    counted.write(at_once=True)
    file.unlink()
    found = _named(check(server), "refused.json").found
    assert found.startswith(f"2 times from 192.0.2.9 with the key of port, {key}, last")
    again = Refusals(server / "refused.json")
    again.count("its clock", "192.0.2.9", "SHA256:another")
    assert [one.whose for one in read(server / "refused.json")] == ["port", ""]


def test_a_key_that_is_another_organizations_is_seen_on_its_node_with_the_roll_and_without(deployment, tmp_path):
    making.add(deployment, ["bank"])
    node = _pointed(deployment / "node-port", free_port())
    apart = Path(shutil.copytree(node, tmp_path / "node-port"))
    assert {link.state for place in (node, apart) for link in check(place) if link.name == "node.key"} == {OK}
    taken = (deployment / "node-bank" / "node.key").read_bytes()
    for place in (node, apart):
        (place / "node.key").write_bytes(taken)
    here, there = (_named(check(place), "node.key") for place in (node, apart))
    assert (here.state, here.found) == (WRONG, "it is the key of bank, and this folder is port's: a run refuses it")
    assert there.state == LOOK
    assert there.found.startswith("it is not the key that this folder was made with")
    (deployment / "server" / "nodes" / "bank.pub").unlink()
    assert _named(check(node), "node.key").found == "it is not the key of server/nodes/port.pub"
