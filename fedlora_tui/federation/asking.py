"""What a check asks a SuperLink by Flower's own client: whether a key is let in, and which nodes are registered."""

from __future__ import annotations

from pathlib import Path

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedlora_tui.federation.roll import Roll, read_keys

LET_IN, NOT_REGISTERED = "", "this node's key is not registered"
CONNECTED = "online"
IMPOSSIBLE = 0
"""A heartbeat's interval that Flower refuses, after it has looked for the key: so asking connects nobody."""


def refusal_of_key(address: str, authority: bytes, private: bytes) -> str:
    """Ask a SuperLink whether it lets a node's key (OpenSSH's format) in: `LET_IN`, or why not, in its words."""
    key = serialization.load_ssh_private_key(private, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    asking: list[ProtobufClientInterceptor] = [
        RuntimeVersionHttpInterceptor(component_name="SuperNode"),
        NodeAuthHttpInterceptor(key, key.public_key()),
    ]
    with FleetHttpClient.from_server_address(address, False, authority, interceptors=asking) as client:
        try:
            request = ActivateNodeRequest(
                public_key=public_key_to_bytes(key.public_key()), heartbeat_interval=IMPOSSIBLE
            )
            client.ActivateNode(request)
        except httpx.HTTPStatusError as error:
            said = FlowerError.from_json(error.response.text)
            code = said.code if said else 0
            if code == ApiErrorCode.FLEET_INVALID_HEARTBEAT_INTERVAL:
                return LET_IN
            if code == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
                return NOT_REGISTERED
            return said.message if said else f"it answers {error.response.status_code}: {error.response.text[:200]}"
    return LET_IN


def nodes_of(address: str, authority: bytes | None, folder: Path | None) -> tuple[list[str], list[str], int]:
    """Ask a SuperLink for its nodes: whose key of `folder` is not registered, who is connected, how many there are.

    Names are those of the folder's files; of keys that are not there, the SuperLink's numbers.
    """
    keys = read_keys(folder) if folder is not None else {}
    with Roll(address, authority) as roll:
        members = roll.members()
    known = {member.key for member in members}
    missing = [name for key, name in keys.items() if key not in known]
    connected = [keys.get(member.key, str(member.node)) for member in members if member.status == CONNECTED]
    return missing, sorted(connected), len(members)
