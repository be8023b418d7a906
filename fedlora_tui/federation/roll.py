"""The roll of nodes: a folder of public keys, and the SuperLink's own list, kept equal to it.

Whoever's key lies in the folder is let in, within seconds; whoever's key is taken out is let in no more.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    RegisterNodeRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import FlowerError
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

_log = logging.getLogger(__name__)
GONE = "unregistered"


@dataclass(frozen=True)
class Member:
    """A node that the SuperLink knows: its number there, its key (PEM), whether it is connected now, whose it is.

    `name` is empty where it was registered without one.
    """

    node: int
    key: bytes
    status: str
    name: str = ""


class Roll:
    """The SuperLink's list of nodes, by its control API."""

    def __init__(self, address: str, authority: bytes | None) -> None:
        """Ask at `address` (host:port); `authority` is the CA's certificate in PEM, None without TLS."""
        self._client = control_client(address, authority)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def members(self) -> list[Member]:
        """Give all nodes that are registered."""
        listed = self._client.ListNodes(ListNodesRequest()).nodes_info
        return [Member(node.node_id, node.public_key, node.status, node.name) for node in listed if node.status != GONE]

    def names(self) -> dict[bytes, str]:
        """Give the organization of each key that was ever registered, of those that were taken out, too."""
        listed = self._client.ListNodes(ListNodesRequest()).nodes_info
        return {node.public_key: node.name for node in listed if node.name}

    def let_in(self, folder: Path) -> list[str]:
        """Give whose keys of a folder's .pub files are registered: one that was taken out before is not."""
        registered = {member.key for member in self.members()}
        return sorted(name for key, name in read_keys(folder).items() if key in registered)

    def agree(self, folder: Path) -> None:
        """Register the keys of a folder's .pub files, and take out whoever's key is not among them any more.

        Whoever is taken out is never let in again: so nobody is while a file holds no key, as one does that is being
        copied. Raises OSError where the folder is not here.
        """
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the folder of public keys is not here", str(folder))
        wanted, without = _read(folder)
        known = {member.key: member for member in self.members()}
        for key, name in wanted.items():
            if key not in known:
                self._register(key, name)
        if without and known.keys() - wanted.keys():
            _log.error("Nobody is taken out while %s holds no public key: mend it or remove it", without[0])
            return
        for key, member in known.items():
            if key not in wanted:
                self._client.UnregisterNode(UnregisterNodeRequest(node_id=member.node))
                whose = member.name or f"Node {member.node}"
                _log.warning("%s is let in no more: its key is not in %s any more", whose, folder)

    def _register(self, key: bytes, name: str) -> None:
        try:
            self._client.RegisterNode(RegisterNodeRequest(public_key=key, name=name))
            _log.info("The node of %s is let in", name)
        except httpx.HTTPStatusError as error:
            said = FlowerError.from_json(error.response.text)
            reason = said.message if said else error
            _log.error("The key of %s is not taken (one that was taken out is never let in again): %s", name, reason)


def control_client(address: str, authority: bytes | None) -> ControlHttpClient:
    """Give the way to a SuperLink's control API at `address` (host:port); `authority` (PEM) is None without TLS."""
    return ControlHttpClient.from_server_address(
        server_address=address,
        insecure=authority is None,
        root_certificates=authority,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="fedlora-tui")],
    )


def read_keys(folder: Path) -> dict[bytes, str]:
    """Read the public keys (OpenSSH's format) of a folder: PEM, and the organization after which the file is named."""
    return _read(folder)[0]


def _read(folder: Path) -> tuple[dict[bytes, str], list[Path]]:
    """Read them, and give the files, too, that hold none."""
    found: dict[bytes, str] = {}
    without: list[Path] = []
    for file in sorted(folder.glob("*.pub")):
        try:
            key = serialization.load_ssh_public_key(file.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            _log.error("%s is passed over, for it holds no public key: %s", file, error)
            without.append(file)
            continue
        if isinstance(key, ec.EllipticCurvePublicKey):
            found[public_key_to_bytes(key)] = file.stem
    return found, without
