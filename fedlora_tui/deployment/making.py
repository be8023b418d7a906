"""`deploy init`, `add` and `renew`: what they write, all of it or nothing."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from fedlora_tui import __version__
from fedlora_tui.deployment import keys, layout
from fedlora_tui.deployment.guide import guide
from fedlora_tui.deployment.layout import NODE, OPERATOR, SERVER, About
from fedlora_tui.deployment.scripts import start_script
from fedlora_tui.errors import UserError
from fedlora_tui.node_policy import policy_toml
from fedlora_tui.ssh_keys import fingerprint
from fedlora_tui.whole_file import replace_file

MOST_ORGANIZATIONS = 1000
HERE = ("localhost", "127.0.0.1", "::1")
"""Every certificate is for these, too: the SuperLink's own processes, and its operator, ask it by them."""
ORGANIZATION = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,46}[a-z0-9])?")
HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
SECRET, OPEN, SCRIPT = 0o600, 0o644, 0o755

CONFIG_TEXT = """\
# A run on this deployment's SuperLink; fedlora-tui init --defaults writes every key that may stand here.
[federation]
runtime = "superlink"
min_organizations = {least}
rounds = 20

[superlink]
address = "{superlink}"
{protection}

[runs]
# Where the server keeps its runs, seen from the server's folder and from this one beside it.
dir = "../server/runs"
"""


@dataclass(frozen=True)
class Wish:
    """What a deployment is to be: checked, so that nothing is written for a mistake.

    `hosts` are the server's names and addresses as others reach it; nodes are told the first.
    """

    organizations: tuple[str, ...]
    hosts: tuple[str, ...]
    port: int
    secure: bool


def wish(organizations: str, hosts: Sequence[str], port: int, secure: bool) -> Wish:
    """Read what was asked for on the command line; UserError where it cannot be."""
    if not 1 <= port <= 65535:
        raise UserError(f"--port {port}: allowed are 1 to 65535")
    return Wish(_organizations(organizations), _hosts(hosts), port, secure)


def _organizations(written: str) -> tuple[str, ...]:
    place = f"--organizations {written}"
    if re.fullmatch(r"\d+", written.strip()):
        count = int(written)
        if not 1 <= count <= MOST_ORGANIZATIONS:
            raise UserError(f"{place}: allowed are 1 to {MOST_ORGANIZATIONS}, or names like port,clinic,school")
        width = max(2, len(str(count)))
        return tuple(f"org-{number:0{width}}" for number in range(1, count + 1))
    names = tuple(name.strip() for name in written.split(","))
    for name in names:
        check_name(name, place)
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise UserError(f"{place}: {doubled} stands there twice; each organization has a name of its own")
    return names


def check_name(name: str, place: str) -> None:
    """Check the name of an organization: it is part of a folder's name, and stands in scripts as it is."""
    if not ORGANIZATION.fullmatch(name):
        allowed = "allowed are a-z, 0-9, - and _, up to 48 of them, like port-authority"
        raise UserError(f"{place}: {name!r} cannot be the name of an organization here; {allowed}")


def _hosts(written: Sequence[str]) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(_host(host) for host in written))
    six = [host for host in hosts if ":" in host]
    if six and len(six) < len(hosts):
        # Where Python listens on ::, it takes no IPv4.
        raise UserError(
            f"--host {six[0]}: an IPv6 address stands alone or beside others of its kind; use a name for both"
        )
    return hosts


def _host(written: str) -> str:
    name = written.strip().lower().rstrip(".").strip("[]")
    try:
        address = ipaddress.ip_address(name)
        if address.is_unspecified or address.is_multicast:
            raise UserError(f"--host {written}: nobody can connect to that; name the address that nodes connect to")
        return str(address)
    except ValueError:
        pass
    if len(name) > 253 or not HOST.fullmatch(name):
        allowed = "a name or an address alone, like lab.example.org or 192.0.2.7; --port takes the port"
        raise UserError(f"--host {written}: allowed is {allowed}")
    return name


def make(folder: Path, wanted: Wish, now: datetime | None = None) -> None:
    """Write a deployment's folder, whole or not at all; UserError where something stands there already."""
    _refuse_to_overwrite(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"{folder}: it cannot be written ({error.strerror}); name a folder elsewhere") from None
    try:
        _fill(aside, folder.absolute().name, wanted, now or datetime.now(UTC))
        # Renaming takes an empty folder's place, and fails where somebody was faster.
        os.rename(aside, folder)
    except OSError as error:
        raise UserError(f"{folder}: it could not be written ({error.strerror}); nothing was left there") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _refuse_to_overwrite(folder: Path) -> None:
    try:
        taken = os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise UserError(f"{folder}: nobody can look there ({error.strerror}); name a folder elsewhere") from None
    if taken:
        remedy = "deploy add gives it another organization, deploy renew a new certificate; or name another folder"
        raise UserError(f"{folder}: something is there already, and its keys are never overwritten; {remedy}")


def _fill(folder: Path, name: str, wanted: Wish, now: datetime) -> None:
    about = _about_server(wanted)
    operator = _versions(About(OPERATOR, layout.joined(about.own_address, wanted.port), wanted.secure, "", ""))
    replace_file(folder / ".gitignore", b"# Private keys stand here.\n*\n", OPEN)
    replace_file(folder / "README.md", guide(about, wanted.organizations).encode(), OPEN)
    for role in (about, operator):
        (folder / role.role).mkdir(mode=0o700)
        _role(folder / role.role, role)
    (folder / SERVER / layout.NODES).mkdir(mode=0o700)
    protection = "insecure = true" if not wanted.secure else f'certificate = "{layout.CA}"'
    least = min(2, len(wanted.organizations))
    config = CONFIG_TEXT.format(superlink=operator.superlink, protection=protection, least=least)
    replace_file(folder / OPERATOR / layout.CONFIG, config.encode(), OPEN)
    if wanted.secure:
        authority = keys.new_authority(f"fedlora-tui deployment {name[:40]}", now)
        (folder / layout.AUTHORITY).mkdir(mode=0o700)
        replace_file(folder / layout.AUTHORITY / layout.CA, authority.public, OPEN)
        replace_file(folder / layout.AUTHORITY / layout.CA_KEY, authority.private, SECRET)
        replace_file(folder / SERVER / layout.CA, authority.public, OPEN)
        replace_file(folder / OPERATOR / layout.CA, authority.public, OPEN)
        _certify(folder / SERVER, authority, about.hosts, now)
    for organization in wanted.organizations:
        _node(folder, about, organization)


def _about_server(wanted: Wish) -> About:
    first = wanted.hosts[0] if wanted.hosts else "localhost"
    local = all(host in HERE for host in wanted.hosts)
    everywhere, here = ("::", "::1") if ":" in first else ("0.0.0.0", "127.0.0.1")
    listen = here if local else everywhere
    hosts = tuple(dict.fromkeys((*wanted.hosts, *HERE)))
    return _versions(
        About(SERVER, layout.joined(first, wanted.port), wanted.secure, "", "", listen=listen, hosts=hosts)
    )


def _versions(about: About) -> About:
    return replace(about, fedlora_tui=__version__, flwr=version("flwr"))


def _role(folder: Path, about: About) -> None:
    replace_file(folder / layout.ABOUT, layout.to_toml(about).encode(), OPEN)
    replace_file(folder / layout.START, start_script(about).encode(), SCRIPT)


def _certify(server: Path, authority: keys.Pair, hosts: tuple[str, ...], now: datetime) -> None:
    pair = keys.new_server(authority, hosts, now)
    replace_file(server / layout.CERTIFICATE_KEY, pair.private, SECRET)
    replace_file(server / layout.CERTIFICATE, pair.public, OPEN)


def _node(folder: Path, server: About, name: str) -> None:
    """Make a node's folder whole or not at all. Raises OSError, and leaves what somebody else made there."""
    about = About(NODE, server.superlink, server.secure, server.fedlora_tui, server.flwr, organization=name)
    place, pair = folder / layout.node_folder(name), keys.new_node(name)
    place.mkdir(mode=0o700)
    try:
        _role(place, replace(about, key=fingerprint(pair.public)) if server.secure else about)
        (place / layout.DATA).mkdir(mode=0o700)
        replace_file(place / layout.POLICY, policy_toml().encode(), OPEN)
        if server.secure:
            replace_file(place / layout.NODE_KEY, pair.private, SECRET)
            replace_file(place / layout.CA, (folder / SERVER / layout.CA).read_bytes(), OPEN)
            replace_file(folder / SERVER / layout.NODES / f"{name}.pub", pair.public, OPEN)
    except OSError:
        shutil.rmtree(place, ignore_errors=True)
        raise


def add(folder: Path, names: Sequence[str]) -> None:
    """Give a deployment more organizations; UserError, before anything is written, where one is there already."""
    server = _server_of(folder)
    for name in names:
        check_name(name, f"deploy add {name}")
        taken = [folder / layout.node_folder(name), folder / SERVER / layout.NODES / f"{name}.pub"]
        standing = next((place for place in taken if os.path.lexists(place)), None)
        if standing is not None or names.count(name) > 1:
            raise _taken(name, standing or name)
    for name in names:
        try:
            _node(folder, _versions(server), name)
        except FileExistsError as error:
            raise _taken(name, error.filename) from None
        except OSError as error:
            raise UserError(f"deploy add {name}: {error.filename}: {error.strerror}; nothing of it is left") from None


def _taken(name: str, by: object) -> UserError:
    return UserError(f"deploy add {name}: {by} is there already; name another, or remove it first")


def renew(folder: Path, hosts: Sequence[str], now: datetime | None = None) -> About:
    """Give the server a new certificate, for the hosts as they were or others; give what it now says of itself."""
    about = _server_of(folder)
    if not about.secure:
        raise UserError(f"{folder}: it was made with --insecure and has no certificate; make another without")
    place = folder / layout.AUTHORITY
    try:
        authority = keys.Pair((place / layout.CA_KEY).read_bytes(), (place / layout.CA).read_bytes())
    except OSError as error:
        raise UserError(
            f"{error.filename}: it cannot be read ({error.strerror}); bring back what was kept of it"
        ) from None
    if hosts:
        wanted = Wish((), _hosts(hosts), about.port, secure=True)
        changed = _about_server(wanted)
        # Nodes go on to connect where they were told to.
        about = replace(changed, superlink=about.superlink, hosts=tuple(dict.fromkeys((*changed.hosts, about.host))))
    try:
        _certify(folder / SERVER, authority, about.hosts, now or datetime.now(UTC))
        replace_file(folder / SERVER / layout.ABOUT, layout.to_toml(about).encode(), OPEN)
        replace_file(folder / SERVER / layout.START, start_script(about).encode(), SCRIPT)
    except ValueError:
        raise UserError(f"{place}: no whole authority is there; bring back what was kept of it") from None
    except OSError as error:
        where = error.filename2 or error.filename
        raise UserError(
            f"deploy renew: {where}: it cannot be written ({error.strerror}); mend that, and renew once more"
        ) from None
    return about


def _server_of(folder: Path) -> About:
    if not (folder / SERVER / layout.ABOUT).is_file():
        raise UserError(f"{folder}: no deployment is here; name the folder that fedlora-tui deploy init wrote")
    return layout.read_about(folder / SERVER)
