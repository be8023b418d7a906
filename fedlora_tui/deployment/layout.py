"""What stands where in a deployment's folder, and what each of its role folders says of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import tomli

from fedlora_tui.errors import UserError

SERVER, NODE, OPERATOR = "server", "node", "operator"
ROLES = (SERVER, NODE, OPERATOR)
AUTHORITY = "authority"
ABOUT = "deployment.toml"
START = "start.sh"
CA, CA_KEY = "ca.pem", "ca.key"
CERTIFICATE, CERTIFICATE_KEY = "server.pem", "server.key"
NODE_KEY = "node.key"
NODES = "nodes"
DATA = "data"
POLICY = "policy.toml"
JOURNAL = "journal"
CONFIG = "config.toml"
REFUSED = "refused.json"
DATABASE = "superlink.db"
LOG = "superlink.log"


@dataclass(frozen=True)
class About:
    """What a role folder says of itself, in its deployment.toml.

    `superlink` is where that role finds the SuperLink (host:port), `listen` and `hosts` are the server's: the address
    that it listens on, and the names and addresses that its certificate is for. `key` is a node's: the fingerprint of
    the key that its folder was made with.
    """

    role: str
    superlink: str
    secure: bool
    fedlora_tui: str
    flwr: str
    organization: str = ""
    listen: str = ""
    hosts: tuple[str, ...] = field(default=())
    key: str = ""

    @property
    def host(self) -> str:
        return self.superlink.rpartition(":")[0].strip("[]")

    @property
    def own_address(self) -> str:
        """The address by which the server's own machine asks its SuperLink."""
        return "::1" if ":" in self.listen else "127.0.0.1"

    @property
    def port(self) -> int:
        return int(self.superlink.rpartition(":")[2])


COMMENTS = {
    "role": "what this folder is for; fedlora-tui deploy check reads this file",
    "superlink": "where the SuperLink is",
    "secure": "TLS and authentication of nodes; false only where --insecure was asked for",
    "fedlora_tui": "with which versions the folder was made",
    "organization": "the name under which it takes part",
    "listen": "the address that the SuperLink listens on",
    "key": "the fingerprint of the node.key that this folder was made with",
    "hosts": "names and addresses in its certificate; fedlora-tui deploy renew changes them",
}


def to_toml(about: About) -> str:
    """Write what a role folder says of itself."""
    lines: list[str] = []
    for name, value in vars(about).items():
        if value in ("", ()):
            continue
        if name in COMMENTS:
            lines.append(f"# {COMMENTS[name]}")
        # What JSON writes of text, of true and false and of lists of text, TOML reads alike.
        lines.append(f"{name} = {json.dumps(list(value) if isinstance(value, tuple) else value)}")
    return "\n".join(lines) + "\n"


def read_about(folder: Path) -> About:
    """Read what a role folder says of itself; UserError where it says nothing that can be read."""
    file = folder / ABOUT
    try:
        found = tomli.loads(file.read_text(encoding="utf-8"))
        about = About(
            role=_text(found, "role"),
            superlink=_text(found, "superlink"),
            secure=found["secure"] is not False,
            fedlora_tui=_text(found, "fedlora_tui"),
            flwr=_text(found, "flwr"),
            organization=str(found.get("organization", "")),
            listen=str(found.get("listen", "")),
            hosts=tuple(str(host) for host in found.get("hosts", ())),
            key=str(found.get("key", "")),
        )
        if about.role not in ROLES or not 1 <= about.port <= 65535 or not about.host:
            raise ValueError(f"role is {about.role!r}, superlink is {about.superlink!r}")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; name a folder that fedlora-tui deploy init wrote") from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{file}: it cannot be read ({reason}); copy it anew from where it was made") from None
    return about


def joined(host: str, port: int) -> str:
    """Write a host and a port as one address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def role_folders(folder: Path) -> list[Path]:
    """Give the role folders that `folder` is or holds: the server's, the nodes' by name, the operator's."""
    if (folder / ABOUT).exists():
        return [folder]
    inside = [place.parent for place in sorted(folder.glob(f"*/{ABOUT}"))] if folder.is_dir() else []
    if not inside:
        raise UserError(f"{folder}: no deployment is here; fedlora-tui deploy init {folder} writes one")
    return sorted(inside, key=lambda place: (ROLES.index(read_about(place).role), place.name))


def node_folder(organization: str) -> str:
    """Give the name of an organization's folder."""
    return f"{NODE}-{organization}"


def _text(found: dict[str, object], name: str) -> str:
    value = found[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value
