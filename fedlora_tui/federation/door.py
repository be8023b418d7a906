"""The SuperLink's door: what of it may be asked from where, and a count of all who were refused.

Flower 1.41 serves three APIs on one port: that of the SuperNodes, that of its operator and that of the processes it
starts. Only the first knows who asks. The other two would take orders from whoever reaches the port: register a key, or
run a program on every node. So the door lets SuperNodes in from everywhere, and the rest from this machine alone.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from typing import Any

from cryptography.hazmat.primitives import serialization
from flwr.common.constant import TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.supercore.error import ApiErrorCode
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata
from flwr.supercore.version import package_version

from fedlora_tui import __version__, ssh_keys
from fedlora_tui.federation.refusals import Refusals
from fedlora_tui.versions import FLOWER_HEADER, OWN_HEADER

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NODES, ALIVE = "/v1/fleet/", "/health"
NOT_FROM_HERE = "the SuperLink takes orders from its own machine alone"
NOT_REGISTERED = "its key is not registered, or a node with it is connected already"
NO_KEY = "it has no key of its own"
WRONG_KEY = "its signature does not belong to a node that is let in"
WRONG_CLOCK = "its clock differs from the server's by more than five minutes"
NOT_OPEN = "the SuperLink has just started and reads who is let in: ask again"
LONGEST_BODY = 4096
VERSION = re.compile(r"[0-9A-Za-z.+-]{1,32}")


class Door:
    """ASGI middleware, outermost of all, in front of Flower's SuperLink."""

    def __init__(self, app: App, refusals: Refusals, opened: threading.Event) -> None:
        """Nodes wait until it is `opened`: until the SuperLink knows who is let in."""
        self._app = app
        self._refusals = refusals
        self._opened = opened
        self._own = RuntimeVersionMetadata.from_local_component("SuperLink")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, by a refusal or by what Flower says to it."""
        if scope["type"] != "http":
            # What is neither a request nor the server's own start and end has nobody here who would judge it.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        path, headers = scope["path"], _headers(scope)
        if path.startswith(NODES):
            await self._node(scope, receive, send, headers)
        elif path == ALIVE or _is_here(scope):
            await self._app(scope, receive, _with_versions(send))
        else:
            self._refusals.count(NOT_FROM_HERE, _address(scope))
            await _refuse(send, 403, 0, f"{NOT_FROM_HERE}; over ssh -L it is asked as if from there")

    async def _node(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        peer, unreadable = RuntimeVersionMetadata.from_metadata(tuple(headers.items()))
        theirs = peer.package_version if peer else ""
        # A stranger's header ends on consoles and in journals.
        theirs = theirs if VERSION.fullmatch(theirs) else "unknown"
        if peer is None or unreadable or self._own.check_compatibility(peer):
            differ = f"it has Flower {theirs}, the SuperLink {package_version}"
            self._refusals.count(differ, _address(scope), _key(headers))
            await _refuse(send, 412, ApiErrorCode.RUNTIME_VERSION_INCOMPATIBLE, f"versions differ: {differ}")
            return
        if not self._opened.is_set():
            await _refuse(send, 503, 0, NOT_OPEN)
            return
        answer = _Answer(_with_versions(send))
        await self._app(scope, receive, answer)
        reason = _reason(answer, headers)
        if reason:
            self._refusals.count(reason, _address(scope), _key(headers))
        else:
            self._refusals.write()


class _Answer:
    """Sends an answer on and keeps its status, and the beginning of its body where it is a refusal."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif self.status >= 400 and len(self.body) < LONGEST_BODY:
            self.body += message.get("body", b"")[:LONGEST_BODY]
        await self._send(message)


def _reason(answer: _Answer, headers: dict[str, str]) -> str:
    """Say why Flower refused a node; empty where it did not, or where a run of its was over."""
    if answer.status == 401:
        return WRONG_CLOCK if _off(headers) else WRONG_KEY
    if answer.status != 412:
        return ""
    try:
        code = json.loads(answer.body)["code"]
    except (ValueError, KeyError, TypeError):
        return ""
    reasons: dict[int, str] = {
        ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED: NOT_REGISTERED,
        ApiErrorCode.FLEET_SUPERNODE_REGISTRATION_DISABLED: NO_KEY,
    }
    return reasons.get(code, "")


def _off(headers: dict[str, str]) -> bool:
    """Tell whether what a node signed names a time too far from now."""
    try:
        signed = datetime.fromisoformat(headers.get(TIMESTAMP_HEADER, ""))
        return abs((datetime.now(UTC) - signed).total_seconds()) > TIMESTAMP_TOLERANCE
    except (ValueError, TypeError):
        return False


def fingerprint(pem: bytes) -> str:
    """Give a public key's fingerprint as `ssh-keygen -l` shows it; empty where it is no key."""
    try:
        key = serialization.load_pem_public_key(pem)
        line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    except Exception:  # whatever a stranger sends as its key
        return ""
    return ssh_keys.fingerprint(line)


def _key(headers: dict[str, str]) -> str:
    try:
        return fingerprint(base64.b64decode(headers.get(FLEET_HTTP_PUBLIC_KEY_HEADER, ""), validate=True))
    except (binascii.Error, ValueError):
        return ""


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


def _is_here(scope: Scope) -> bool:
    """Tell whether who asks is on this machine: by the loopback, or from the very address that it came to."""
    client, server = scope.get("client"), scope.get("server")
    if client is None:
        return False
    try:
        address = ip_address(client[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or (server is not None and client[0] == server[0])


def _with_versions(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = ((FLOWER_HEADER, package_version), (OWN_HEADER, __version__))
            added = [(name.encode(), value.encode()) for name, value in own]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, code: int, detail: str) -> None:
    """Answer in the form of Flower's own errors, which its clients print."""
    body = json.dumps({"code": int(code), "detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await _with_versions(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
