"""What `deploy init`, `add` and `renew` write: whole, private where it must be, and nothing for a mistake."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tomli
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from fedlora_tui.cli import main
from fedlora_tui.deployment import keys, layout, making


@pytest.fixture(scope="module")
def deployment(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "fed"
    made = ["deploy", "init", str(folder), "--organizations", "port,clinic", "--host", "Lab.example.org."]
    assert main([*made, "--host", "192.0.2.7", "--port", "8443"]) == 0
    return folder


def _everything(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_each_role_has_a_folder_with_what_it_needs_and_nothing_else(deployment):
    names = {place.name: {file.name for file in place.iterdir()} for place in deployment.iterdir() if place.is_dir()}
    node = {"ca.pem", "data", "deployment.toml", "node.key", "policy.toml", "start.sh"}
    assert names == {
        "authority": {"ca.pem", "ca.key"},
        "server": {"ca.pem", "deployment.toml", "nodes", "server.key", "server.pem", "start.sh"},
        "node-port": node,
        "node-clinic": node,
        "operator": {"ca.pem", "config.toml", "deployment.toml", "start.sh"},
    }
    assert {file.name for file in (deployment / "server" / "nodes").iterdir()} == {"clinic.pub", "port.pub"}


def test_private_keys_are_for_their_owner_alone_and_each_is_in_one_place(deployment):
    secrets = list(deployment.rglob("*.key"))
    assert {str(file.relative_to(deployment)) for file in secrets} == {
        "authority/ca.key",
        "server/server.key",
        "node-port/node.key",
        "node-clinic/node.key",
    }
    assert {file.stat().st_mode & 0o777 for file in secrets} == {0o600}
    assert {place.stat().st_mode & 0o777 for place in deployment.rglob("*") if place.is_dir()} == {0o700}
    assert len({file.read_bytes() for file in secrets}) == len(secrets)


def test_the_certificate_is_for_the_hosts_and_for_this_machine_signed_and_of_sensible_life(deployment):
    server, authority = (keys.read_certificate(deployment / "server" / name) for name in ("server.pem", "ca.pem"))
    assert keys.hosts_of(server) == ("lab.example.org", "localhost", "192.0.2.7", "127.0.0.1", "::1")
    assert keys.is_signed_by(server, authority)
    assert keys.belongs((deployment / "server" / "server.key").read_bytes(), server)
    now = datetime.now(UTC)
    assert server.not_valid_before_utc < now - timedelta(minutes=30)
    assert timedelta(days=390) < server.not_valid_after_utc - now < timedelta(days=398)
    assert server.not_valid_after_utc < authority.not_valid_after_utc < now + timedelta(days=5 * 366)


def test_a_strict_tls_client_takes_it(deployment):
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_verify_locations(deployment / "node-port" / "ca.pem")
    server.load_cert_chain(deployment / "server" / "server.pem", deployment / "server" / "server.key")
    ends = [
        server.wrap_bio(theirs, ours, server_side=True),
        client.wrap_bio(ours, theirs, server_hostname="lab.example.org"),
    ]
    for end in (ends[1], ends[0], ends[1], ends[0]):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert ends[1].version() == "TLSv1.3"


def test_flower_takes_the_keys_of_nodes_and_the_server_has_their_public_halves(deployment):
    from flwr.cli.supernode.register import try_load_public_key

    for name in ("port", "clinic"):
        private = (deployment / f"node-{name}" / "node.key").read_bytes()
        assert load_ssh_private_key(private, None).curve.name == "secp384r1"
        public = deployment / "server" / "nodes" / f"{name}.pub"
        assert try_load_public_key(public).startswith(b"-----BEGIN PUBLIC KEY-----")
        assert keys.same_public(public.read_bytes()) == keys.node_public(private)
        assert public.read_text().endswith(f" {name}\n")


def test_each_folder_says_what_it_is(deployment):
    about = layout.read_about(deployment / "node-clinic")
    assert (about.role, about.organization, about.superlink, about.secure) == (
        "node",
        "clinic",
        "lab.example.org:8443",
        True,
    )
    server = layout.read_about(deployment / "server")
    assert (server.listen, server.port) == ("0.0.0.0", 8443)
    assert layout.read_about(deployment / "operator").superlink == "127.0.0.1:8443"
    assert tomli.loads((deployment / "operator" / "config.toml").read_text())["federation"]["runtime"] == "superlink"


def test_start_scripts_are_sh_and_refuse_where_a_file_is_missing(deployment):
    for script in deployment.glob("*/start.sh"):
        assert script.stat().st_mode & 0o777 == 0o755
        text = script.read_text()
        assert "--insecure" not in text
        subprocess.run(["sh", "-n", script], check=True)
        needed = next(line for line in text.splitlines() if line.startswith("for file in")).split()[3:-1]
        lost = script.parent / needed[-1].rstrip(";")
        hidden = lost.rename(lost.with_name("hidden"))
        asked = {"FEDLORA_TUI": "true", "PATH": "/usr/bin:/bin"}
        refused = subprocess.run([script], env=asked, capture_output=True, text=True)
        hidden.rename(lost)
        assert refused.returncode == 2
        assert refused.stderr.splitlines() == [
            f"start.sh: {lost.name} is missing; copy this folder anew from where it was made"
        ]
    without = subprocess.run([script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert without.returncode == 2
    assert "no fedlora-tui here" in without.stderr


def test_the_guide_names_every_folder(deployment):
    text = (deployment / "README.md").read_text()
    folders = [place.name for place in deployment.iterdir() if place.is_dir()]
    assert all(f"`{name}/`" in text for name in folders)
    assert (deployment / ".gitignore").read_text().splitlines()[-1] == "*"


def test_a_folder_is_never_overwritten(deployment, capsys):
    before = _everything(deployment)
    assert main(["deploy", "init", str(deployment)]) == 2
    assert "its keys are never overwritten" in capsys.readouterr().err
    assert _everything(deployment) == before
    file = deployment.parent / "file"
    file.write_text("mine")
    assert main(["deploy", "init", str(file)]) == 2
    assert file.read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "fed").mkdir()
    assert main(["deploy", "init", str(tmp_path / "fed"), "--organizations", "3"]) == 0
    nodes = sorted(place.name for place in (tmp_path / "fed").glob("node-*"))
    assert nodes == ["node-org-01", "node-org-02", "node-org-03"]
    server = layout.read_about(tmp_path / "fed" / "server")
    assert (server.superlink, server.listen) == ("localhost:8000", "127.0.0.1")


@pytest.mark.parametrize(
    ("hosts", "listen", "superlink", "own"),
    [
        ([], "127.0.0.1", "localhost:8000", "127.0.0.1:8000"),
        (["lab"], "0.0.0.0", "lab:8000", "127.0.0.1:8000"),
        (["::1"], "::1", "[::1]:8000", "[::1]:8000"),
        (["2001:db8::7", "2001:db8::8"], "::", "[2001:db8::7]:8000", "[::1]:8000"),
    ],
)
def test_the_server_listens_where_it_is_asked_and_the_operator_asks_from_its_own_machine(
    tmp_path, hosts, listen, superlink, own
):
    making.make(tmp_path / "fed", making.wish("port", hosts, 8000, secure=True))
    server, operator = (layout.read_about(tmp_path / "fed" / role) for role in ("server", "operator"))
    assert (server.listen, server.superlink, operator.superlink) == (listen, superlink, own)
    assert (server.host, server.own_address) == (superlink.rpartition(":")[0].strip("[]"), operator.host)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--organizations", "0"], "allowed are 1 to 1000"),
        (["--organizations", "1001"], "allowed are 1 to 1000"),
        (["--organizations", "port,,clinic"], "cannot be the name of an organization"),
        (["--organizations", "../port"], "cannot be the name of an organization"),
        (["--organizations", "Port"], "cannot be the name of an organization"),
        (["--organizations", "port,clinic,port"], "port stands there twice"),
        (["--host", "lab.example.org:8000"], "--port takes the port"),
        (["--host", "*.example.org"], "allowed is a name or an address alone"),
        (["--host", "0.0.0.0"], "nobody can connect to that"),
        (["--host", "::1", "--host", "lab"], "an IPv6 address stands alone"),
        (["--port", "0"], "allowed are 1 to 65535"),
        (["--port", "many"], "invalid int value"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, capsys, options, said):
    try:
        status = main(["deploy", "init", str(tmp_path / "deep" / "fed"), *options])
    except SystemExit as exit_:
        status = exit_.code
    told = capsys.readouterr().err
    assert (status, told.count("\n")) == (2, 1)
    assert said in told
    assert list(tmp_path.iterdir()) == []


def test_a_deployment_gets_another_organization_and_keeps_the_others(deployment, tmp_path, capsys):
    folder = tmp_path / "fed"
    making.make(folder, making.wish("port", [], 8000, secure=True))
    before = _everything(folder)
    assert main(["deploy", "add", str(folder), "clinic", "school"]) == 0
    after = _everything(folder)
    assert {name: after[name] for name in before} == before
    assert {name for name in after if name not in before and "school" in name} == {
        "node-school/ca.pem",
        "node-school/deployment.toml",
        "node-school/node.key",
        "node-school/policy.toml",
        "node-school/start.sh",
        "server/nodes/school.pub",
    }
    assert main(["deploy", "add", str(folder), "lab", "port"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert _everything(folder) == after


def test_of_two_that_add_an_organization_at_once_the_later_leaves_what_the_other_made(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "fed"
    making.make(folder, making.wish("port", [], 8000, secure=True))
    new_node, found = keys.new_node, {}

    def overtaken(name: str) -> keys.Pair:
        monkeypatch.setattr(keys, "new_node", new_node)
        making.add(folder, [name])
        found.update(_everything(folder))
        return new_node(name)

    monkeypatch.setattr(keys, "new_node", overtaken)
    assert main(["deploy", "add", str(folder), "clinic"]) == 2
    assert "node-clinic/node.key" in found
    assert _everything(folder) == found
    assert "node-clinic is there already; name another" in capsys.readouterr().err


def test_a_renewed_certificate_is_by_the_same_authority_and_may_be_for_other_hosts(tmp_path, capsys):
    folder = tmp_path / "fed"
    making.make(folder, making.wish("port", ["old.example.org"], 8000, secure=True))
    before = _everything(folder)
    assert main(["deploy", "renew", str(folder), "--host", "new.example.org"]) == 0
    after = _everything(folder)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"server/server.pem", "server/server.key", "server/deployment.toml"}
    certificate = keys.read_certificate(folder / "server" / "server.pem")
    # Nodes go on to ask by the name that they were given.
    assert {"new.example.org", "old.example.org", "localhost"} <= set(keys.hosts_of(certificate))
    assert keys.is_signed_by(certificate, keys.read_certificate(folder / "authority" / "ca.pem"))
    (folder / "authority" / "ca.key").unlink()
    assert main(["deploy", "renew", str(folder)]) == 2
    assert "bring back what was kept of it" in capsys.readouterr().err
    assert _everything(folder) == {name: text for name, text in after.items() if name != "authority/ca.key"}


def test_a_certificate_that_cannot_be_written_is_told_in_one_line(tmp_path, capsys):
    folder = tmp_path / "fed"
    making.make(folder, making.wish("port", ["lab.example.org"], 8000, secure=True))
    (folder / "server" / "server.key").unlink()
    (folder / "server" / "server.key").mkdir()
    assert main(["deploy", "renew", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("server.key: it cannot be written (Is a directory); mend that, and renew once more")


def test_insecure_is_there_by_name_alone_and_says_so_everywhere(tmp_path, capsys):
    folder = tmp_path / "fed"
    assert main(["deploy", "init", str(folder), "--insecure"]) == 0
    assert "INSECURE" in capsys.readouterr().err
    assert list(folder.rglob("*.key")) + list(folder.rglob("*.pem")) == []
    assert "INSECURE" in (folder / "README.md").read_text()
    for place in (folder / "server", folder / "node-org-01"):
        assert "    --insecure" in (place / "start.sh").read_text()
        assert layout.read_about(place).secure is False
    assert "insecure = true" in (folder / "operator" / "config.toml").read_text()
    assert main(["deploy", "renew", str(folder)]) == 2
